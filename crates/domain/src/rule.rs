//! Where a project's secrets appear in Kubernetes.

use crate::{Invalid, Namespace, SecretPath};

/// How a rule lays secrets out in its namespace. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProjectionMode {
    /// One Kubernetes Secret per secret.
    Each = 1,
}

impl ProjectionMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known modes.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "each" => Ok(Self::Each),
            _ => Err(Invalid::new("mode", "must be each")),
        }
    }

    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The mode with a stored number, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Each),
            _ => None,
        }
    }
}

/// How a Kubernetes Secret is named: text in which `{name}`, `{project}` and `{org}` stand for the
/// secret's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(String);

impl NamePattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// When it lacks `{name}`, holds an unknown placeholder, or could not make a Kubernetes name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |fix: &str| Err(Invalid::new("namePattern", fix));
        if text.len() > 128 {
            return refuse("must be at most 128 bytes");
        }
        if !text.contains("{name}") {
            return refuse("must contain {name}, so that each secret gets a name of its own");
        }
        let literal = text.replace("{name}", "").replace("{project}", "").replace("{org}", "");
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if !literal.chars().all(allowed) {
            return refuse(
                "may hold {name}, {project}, {org} and otherwise lower-case letters, digits, `-` and `.`",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that the pattern gives a secret; it need not be a Kubernetes name yet.
    pub fn apply(&self, secret: &SecretPath) -> String {
        // One pass, so that a placeholder's text inside a name is never expanded again.
        let mut out = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (placeholder, tail) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(match placeholder {
                "name" => secret.name.as_str(),
                "project" => secret.project.project.as_str(),
                _ => secret.project.org.as_str(),
            });
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        Self("{name}".to_owned())
    }
}

/// One projection rule of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionRule {
    /// How secrets are laid out.
    pub mode: ProjectionMode,
    /// The namespace they appear in.
    pub namespace: Namespace,
    /// What they are called there.
    pub name_pattern: NamePattern,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrgName, ProjectName, ProjectPath, SecretName};

    fn secret(name: &str) -> SecretPath {
        let project =
            ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() };
        SecretPath { project, name: SecretName::parse(name).unwrap() }
    }

    #[test]
    fn a_pattern_is_filled_in_once() {
        let pattern = NamePattern::parse("{org}-{project}.{name}-x").unwrap();
        assert_eq!(pattern.apply(&secret("hf")), "default-ml.hf-x");
        assert_eq!(pattern.apply(&secret("{org}")), "default-ml.{org}-x");
    }

    #[test]
    fn a_pattern_that_cannot_make_distinct_kubernetes_names_is_refused() {
        for text in ["", "fixed", "{name}{user}", "A-{name}", "{name}/x", "{{name}}"] {
            assert_eq!(NamePattern::parse(text).unwrap_err().field, "namePattern", "{text}");
        }
    }
}
