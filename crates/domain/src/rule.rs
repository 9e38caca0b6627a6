//! Where a project's secrets appear in Kubernetes.

use crate::{
    HASH_DIGITS, Invalid, Labels, Namespace, ProjectPath, SecretPath, is_dns_subdomain, short_hash,
};

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
    ///
    /// Where organization and project stand in one name, one of them that holds `--` could make it
    /// look like another pair's: such a name ends in a hash of the pair.
    pub fn apply_to_project(&self, project: &ProjectPath) -> String {
        let name = self.fill(project, "");
        let both = self.0.contains("{org}") && self.0.contains("{project}");
        match both && may_look_like_others(project) {
            true => format!("{name}-{}", short_hash(&project.to_string())),
            false => name,
        }
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

/// Whether organization and project, with hyphens between them, may look like those of another pair.
fn may_look_like_others(project: &ProjectPath) -> bool {
    let parts = [project.org.as_str(), project.project.as_str()];
    parts.iter().any(|part| part.contains("--") || part.starts_with('-') || part.ends_with('-'))
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

/// The namespace that a project gets by itself: text in which `{project}` and `{org}` stand for the
/// project's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePattern(String);

impl NamespacePattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// When it holds an unknown placeholder or could not make a namespace.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let filled = text.replace("{project}", "a").replace("{org}", "a");
        if text.len() > 128 || text.contains("{name}") || text.contains('.') || !is_pattern(text) {
            let fix = "may hold {project}, {org} and otherwise lower-case letters, digits and `-`, at most 128 bytes";
            return Err(Invalid::new("namespace", fix));
        }
        Namespace::parse(&filled)?;
        Ok(Self(text.to_owned()))
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A project's namespace; a name that is none of Kubernetes' becomes one that ends in a hash.
    /// None where that would be a namespace of Kubernetes itself.
    pub fn apply(&self, project: &ProjectPath) -> Option<Namespace> {
        const MAX_STEM: usize = 63 - 1 - HASH_DIGITS;
        let fill = self.0.replace("{org}", project.org.as_str());
        let fill = fill.replace("{project}", project.project.as_str());
        if (!may_look_like_others(project) || fill == self.0)
            && let Ok(namespace) = Namespace::parse(&fill)
        {
            return Some(namespace);
        }
        let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let stem: String = fill.chars().map(safe).take(MAX_STEM).collect();
        let stem = stem.trim_matches('-');
        let name = match stem.is_empty() {
            true => short_hash(&project.to_string()),
            false => format!("{stem}-{}", short_hash(&project.to_string())),
        };
        Namespace::parse(&name).ok()
    }
}

/// A rule that projects get when they are made, where the configuration says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTemplate {
    /// How secrets are laid out.
    pub mode: ProjectionMode,
    /// The namespace they appear in.
    pub namespace: NamespacePattern,
    /// What they are called there.
    pub name_pattern: NamePattern,
}

impl RuleTemplate {
    /// A project's rule.
    pub fn apply(&self, project: &ProjectPath) -> Option<ProjectionRule> {
        let namespace = self.namespace.apply(project)?;
        Some(ProjectionRule::new(self.mode, namespace, self.name_pattern.clone()))
    }
}

/// The label that each Kubernetes Secret of ours has.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// One projection rule of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionRule {
    /// How secrets are laid out.
    pub mode: ProjectionMode,
    /// The namespace they appear in.
    pub namespace: Namespace,
    /// What they are called there.
    pub name_pattern: NamePattern,
    /// The labels that each Kubernetes Secret gets.
    pub labels: Labels,
    /// Whether each gets the labels of its secret too, where the rule has none of the same key.
    /// Whoever writes a secret then says what the cluster's own controllers find by a label.
    pub secret_labels: bool,
}

impl ProjectionRule {
    /// A rule that gives no labels.
    pub fn new(mode: ProjectionMode, namespace: Namespace, name_pattern: NamePattern) -> Self {
        let labels = Labels::default();
        Self { mode, namespace, name_pattern, labels, secret_labels: false }
    }

    /// Checks that the rule's parts go together.
    ///
    /// # Errors
    /// When a merged copy, which shows many secrets, is to have the labels of one; or a label is
    /// [`MANAGED_BY`].
    pub fn check(&self) -> Result<(), Invalid> {
        if self.mode == ProjectionMode::Merged && self.secret_labels {
            let fix = "must be left out of a merged rule, whose copy is one for many secrets";
            return Err(Invalid::new("secretLabels", fix));
        }
        if self.labels.as_map().contains_key(MANAGED_BY) {
            let fix = format!("must not hold {MANAGED_BY}, by which Tresor knows its own");
            return Err(Invalid::new("labels", fix));
        }
        Ok(())
    }
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
    fn a_merged_copy_has_no_secret_s_labels_and_no_rule_says_whose_a_copy_is() {
        let namespace = Namespace::parse("n").unwrap();
        for (mode, field) in
            [(ProjectionMode::Each, None), (ProjectionMode::Merged, Some("secretLabels"))]
        {
            let pattern = NamePattern::default_for(mode);
            let rule = ProjectionRule::new(mode, namespace.clone(), pattern);
            assert!(rule.check().is_ok());
            let passes_on = ProjectionRule { secret_labels: true, ..rule.clone() };
            assert_eq!(passes_on.check().err().map(|wrong| wrong.field).as_deref(), field);
            let labels = |key: &str| Labels::parse([(key.to_owned(), "x".to_owned())].into());
            let labelled = ProjectionRule { labels: labels("a").unwrap(), ..rule.clone() };
            assert!(labelled.check().is_ok());
            let ours = ProjectionRule { labels: labels(MANAGED_BY).unwrap(), ..rule };
            assert_eq!(ours.check().unwrap_err().field, "labels");
        }
    }

    fn path(org: &str, project: &str) -> ProjectPath {
        let (org, project) = (OrgName::parse(org).unwrap(), ProjectName::parse(project).unwrap());
        ProjectPath { org, project }
    }

    #[test]
    fn pairs_of_names_that_hold_the_separator_stay_apart() {
        let text = "project--{org}--{project}--secrets";
        let pattern = NamePattern::parse(ProjectionMode::Merged, text).unwrap();
        let name = |org, project| pattern.apply_to_project(&path(org, project));
        assert_eq!(name("acme", "ml"), "project--acme--ml--secrets");
        let pairs = [("a", "b--c"), ("a--b", "c"), ("a-", "b"), ("a", "-b"), ("a", "b")];
        let names: std::collections::BTreeSet<_> = pairs.map(|(o, p)| name(o, p)).into();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
    }

    #[test]
    fn a_namespace_pattern_makes_namespaces_and_none_of_kubernetes_own() {
        let pattern = NamespacePattern::parse("platform--{org}--{project}").unwrap();
        let of = |org, project| pattern.apply(&path(org, project)).unwrap().to_string();
        assert_eq!(of("acme", "ml"), "platform--acme--ml");
        assert!(
            of("acme", "Pro_J").starts_with("platform--acme--pro-j-"),
            "{}",
            of("acme", "Pro_J")
        );
        assert_ne!(of("a", "b--c"), of("a--b", "c"));
        assert_ne!(of("a-", "b"), of("a", "-b"));
        let all = NamespacePattern::parse("{project}").unwrap();
        assert_eq!(all.apply(&path("default", "kube-system")), None);
        assert_eq!(
            NamespacePattern::parse("fixed").unwrap().apply(&path("o", "a--b")).unwrap().as_str(),
            "fixed"
        );
        for text in ["", "A", "{name}", "a.b", "-a", "{user}", "kube-{project}"] {
            assert!(NamespacePattern::parse(text).is_err(), "{text}");
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
