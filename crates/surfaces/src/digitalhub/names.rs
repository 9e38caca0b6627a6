//! What the platform calls things: names, identities, and where a secret's value lies.

use domain::{Invalid, OrgName, ProjectName, ProjectPath, SecretName, SecretPath};

/// The longest name or identity, in bytes, as the platform's clients have it.
const MAX_BYTES: usize = 256;
/// How long the name of a new project is.
const PROJECT_BYTES: std::ops::RangeInclusive<usize> = 2..=38;
/// A segment of the path that is no identity.
const TAKEN_ID: &str = "data";

/// Whether a text is a name of the platform's: `[a-zA-Z0-9._+-]+`.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    (1..=MAX_BYTES).contains(&text.len()) && text.chars().all(fits)
}

fn check_name(field: &str, text: &str) -> Result<(), Invalid> {
    if is_name(text) {
        return Ok(());
    }
    let fix = format!("must be 1 to {MAX_BYTES} letters, digits, `.`, `_`, `+` or `-` of ASCII");
    Err(Invalid::new(field, fix))
}

/// The project of a path, if one can have that name here.
pub(super) fn project(text: &str) -> Option<ProjectPath> {
    let project = ProjectName::parse(text).ok().filter(|_| is_name(text))?;
    Some(ProjectPath { org: OrgName::default_org(), project })
}

/// A project that is to be made.
///
/// # Errors
/// When the platform gives none that name.
pub(super) fn new_project(text: &str) -> Result<ProjectPath, Invalid> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let well_formed = PROJECT_BYTES.contains(&text.len()) && text.chars().all(fits);
    project(text).filter(|_| well_formed).ok_or_else(|| {
        Invalid::new("name", "must be 2 to 38 lower-case letters, digits or `-` of ASCII")
    })
}

/// A secret of a project.
///
/// # Errors
/// When none can have that name here.
pub(super) fn secret(project: &ProjectPath, text: &str) -> Result<SecretPath, Invalid> {
    check_name("name", text)?;
    let name = SecretName::parse(text).map_err(|wrong| Invalid::new("name", wrong.fix))?;
    Ok(SecretPath { project: project.clone(), name })
}

/// An identity that a client chose.
///
/// # Errors
/// When it is no name, or a path that means something else.
pub(super) fn check_id(text: &str) -> Result<(), Invalid> {
    check_name("id", text)?;
    if matches!(text, TAKEN_ID | "." | "..") {
        return Err(Invalid::new("id", "must not be `data`, `.` or `..`, which no path reaches"));
    }
    Ok(())
}

/// Where the value of a secret lies, as clients are told and as they say: in an entry of its own
/// name. Up to 0.6 they also named the Kubernetes Secret, in three spellings over time.
///
/// # Errors
/// When it is somewhere else.
pub(super) fn check_value_path(path: &str, secret: &SecretPath) -> Result<(), Invalid> {
    let (project, name) = (secret.project.project.as_str(), secret.name.as_str());
    let is_own = |place: &str| {
        let home = ["dhcore-proj-secrets-", "proj-secrets--", "proj-secrets-"];
        home.iter().any(|prefix| place.strip_prefix(prefix) == Some(project))
    };
    let old = || path.strip_prefix("kubernetes://").and_then(|rest| rest.split_once('/'));
    let is_right = match path.strip_prefix("secret://") {
        Some(key) => key == name,
        None => old().is_some_and(|(place, key)| is_own(place) && key == name),
    };
    if is_right {
        return Ok(());
    }
    Err(Invalid::new("spec.path", "invalid or missing path in spec: must be secret://NAME"))
}

/// Where the value of a secret lies.
pub(super) fn value_path(name: &str) -> String {
    format!("secret://{name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn home() -> ProjectPath {
        project("ml").unwrap()
    }

    #[test]
    fn names_have_dots_and_plus_signs_and_nothing_that_ends_a_segment() {
        for name in ["a", "with.dot", "plus+sign", "under_score", "UPPER", "0", &"x".repeat(256)] {
            assert_eq!(secret(&home(), name).unwrap().name.as_str(), name);
        }
        for name in ["", ".", "..", "a/b", "a,b", "a b", "a:b", "\u{e4}", "a\n", &"x".repeat(257)] {
            assert_eq!(secret(&home(), name).unwrap_err().field, "name", "{name}");
        }
    }

    #[test]
    fn a_new_project_has_a_name_that_kubernetes_takes() {
        for name in ["ab", "project-secrets", "0-", &"x".repeat(38)] {
            assert_eq!(new_project(name).unwrap().project.as_str(), name);
        }
        for name in ["", "a", "A-b", "a.b", "a_b", "\u{e4}\u{e4}", &"x".repeat(39)] {
            assert_eq!(new_project(name).unwrap_err().field, "name", "{name}");
        }
    }

    #[test]
    fn an_identity_is_one_that_a_path_reaches() {
        assert!(check_id("fc35ff67-519a-4841-a6e2-cb47ff96f611").is_ok());
        for id in ["", "data", ".", "..", "a/b", "a?"] {
            assert_eq!(check_id(id).unwrap_err().field, "id", "{id}");
        }
    }

    #[test]
    fn a_value_lies_under_its_own_name_in_its_own_project() {
        let path = secret(&home(), "a.b").unwrap();
        for right in [
            "secret://a.b",
            "kubernetes://dhcore-proj-secrets-ml/a.b",
            "kubernetes://proj-secrets--ml/a.b",
            "kubernetes://proj-secrets-ml/a.b",
        ] {
            check_value_path(right, &path).unwrap();
        }
        for wrong in [
            "",
            "a.b",
            "secret://",
            "secret://b",
            "secret://a.b/c",
            "kubernetes://a.b",
            "kubernetes://proj-secrets-other/a.b",
            "kubernetes://proj-secrets-ml/b",
            "kubernetes://kube-root/a.b",
            "vault://a.b",
        ] {
            let refused = check_value_path(wrong, &path).unwrap_err();
            assert_eq!(refused.field, "spec.path", "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_kept_as_it_is(text in "\\PC{0,40}|[a-zA-Z0-9._+-]{1,260}") {
            if let Ok(path) = secret(&home(), &text) {
                prop_assert_eq!(path.name.as_str(), &text);
                prop_assert!(is_name(&text));
                prop_assert!(check_value_path(&value_path(&text), &path).is_ok());
            }
            if let Ok(path) = new_project(&text) {
                prop_assert_eq!(Some(path), project(&text));
            }
            let _ = check_id(&text);
        }
    }
}
