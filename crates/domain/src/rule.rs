//! Where a project's secrets appear in Kubernetes.

use crate::{Invalid, Namespace, ProjectPath, SecretPath, is_dns_subdomain};

/// How a rule lays secrets out in its namespace. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProjectionMode {
    /// One Kubernetes Secret per secret.
    Each = 1,
    /// One Kubernetes Secret per project, with an entry for each of its `variable` secrets.
    Merged = 2,
}

impl ProjectionMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Merged => "merged",
        }
    }

    /// Reads a name from the wire.
    ///
    /// # Errors
    /// Lists the known modes.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "each" => Ok(Self::Each),
            "merged" => Ok(Self::Merged),
            _ => Err(Invalid::new("mode", "must be each or merged")),
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
            2 => Some(Self::Merged),
            _ => None,
        }
    }
}

/// How a Kubernetes Secret is named: text in which `{name}`, `{project}` and `{org}` stand for the
/// secret's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(String);

impl NamePattern {
    /// Checks a pattern for a rule of that mode.
    ///
    /// # Errors
    /// When it holds an unknown placeholder, could not make a Kubernetes name, lacks the `{name}`
    /// that tells one secret's copy from another's, or has it although the copy is one for all.
    pub fn parse(mode: ProjectionMode, text: &str) -> Result<Self, Invalid> {
        let refuse = |fix: &str| Err(Invalid::new("namePattern", fix));
        if text.len() > 128 {
            return refuse("must be at most 128 bytes");
        }
        match (mode, text.contains("{name}")) {
            (ProjectionMode::Each, false) => {
                return refuse("must contain {name}, so that each secret gets a name of its own");
            }
            (ProjectionMode::Merged, true) => {
                return refuse("must not contain {name}: a merged rule makes one Secret for all");
            }
            (ProjectionMode::Merged, false) if text.is_empty() => {
                return refuse("must not be empty");
            }
            _ => {}
        }
        if !is_pattern(text) {
            return refuse(
                "may hold {name}, {project}, {org} and otherwise lower-case letters, digits, `-` and `.`",
            );
        }
        // With names that are no trouble themselves, what it makes has to be a Kubernetes name.
        let filled = ["{name}", "{project}", "{org}"]
            .into_iter()
            .fold(text.to_owned(), |filled, placeholder| filled.replace(placeholder, "a"));
        if !is_dns_subdomain(&filled) {
            return refuse(
                "must make a Kubernetes name: each part between dots must start and end with a letter, digit or placeholder",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a rule of that mode uses when it names no pattern.
    pub fn default_for(mode: ProjectionMode) -> Self {
        Self(match mode {
            ProjectionMode::Each => "{name}".to_owned(),
            ProjectionMode::Merged => "{project}".to_owned(),
        })
    }

    /// The name that the pattern gives the copy of one secret; it need not be a Kubernetes name
    /// yet.
    pub fn apply(&self, secret: &SecretPath) -> String {
        self.fill(&secret.project, secret.name.as_str())
    }

    /// The name that the pattern of a merged rule gives the copy of a project.
    pub fn apply_to_project(&self, project: &ProjectPath) -> String {
        self.fill(project, "")
    }

    fn fill(&self, project: &ProjectPath, name: &str) -> String {
        // One pass, so that a placeholder's text inside a name is never expanded again.
        let mut out = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (placeholder, tail) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(match placeholder {
                "name" => name,
                "project" => project.project.as_str(),
                _ => project.org.as_str(),
            });
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// Read as it is filled in: in one pass, so that nothing becomes a placeholder when another is taken
/// out of it.
fn is_pattern(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_part = |part: &str| {
        part.split_once('}').is_some_and(|(placeholder, literal)| {
            matches!(placeholder, "name" | "project" | "org") && literal.chars().all(allowed)
        })
    };
    let (first, rest) = text.split_once('{').map_or((text, None), |(a, b)| (a, Some(b)));
    first.chars().all(allowed) && rest.is_none_or(|rest| rest.split('{').all(is_part))
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
    use crate::{OrgName, ProjectName, SecretName};

    fn secret(name: &str) -> SecretPath {
        let project =
            ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() };
        SecretPath { project, name: SecretName::parse(name).unwrap() }
    }

    #[test]
    fn a_pattern_is_filled_in_once() {
        let pattern = NamePattern::parse(ProjectionMode::Each, "{org}-{project}.{name}-x").unwrap();
        assert_eq!(pattern.apply(&secret("hf")), "default-ml.hf-x");
        assert_eq!(pattern.apply(&secret("{org}")), "default-ml.{org}-x");
    }

    #[test]
    fn a_pattern_that_cannot_make_distinct_kubernetes_names_is_refused() {
        for text in [
            "-{name}",
            "{name}-",
            ".{name}",
            "{name}..x",
            "{name}.-x",
            "",
            "fixed",
            "{name}{user}",
            "A-{name}",
            "{name}/x",
            "{{name}}",
            "{{name}org}",
        ] {
            let refused = NamePattern::parse(ProjectionMode::Each, text).unwrap_err();
            assert_eq!(refused.field, "namePattern", "{text}");
        }
    }

    #[test]
    fn a_merged_pattern_is_one_for_all_secrets_of_the_project() {
        let parse = |text| NamePattern::parse(ProjectionMode::Merged, text);
        let pattern = parse("proj-secrets-{project}").unwrap();
        assert_eq!(pattern.apply_to_project(&secret("hf").project), "proj-secrets-ml");
        for text in ["", "{name}", "x-{name}", "{user}", "A", "-a", "a.", "{project}-"] {
            assert_eq!(parse(text).unwrap_err().field, "namePattern", "{text}");
        }
    }
}
