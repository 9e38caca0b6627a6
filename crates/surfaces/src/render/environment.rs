//! What a container has each of once: its variables, and the paths at which something is mounted.

use std::collections::BTreeMap;

use domain::Invalid;

/// The longest name that is taken.
const MAX_NAME_BYTES: usize = 253;
/// The longest path that is taken.
const MAX_PATH_BYTES: usize = 1024;

/// What is taken already, and where that was said. In Kubernetes the later of two would win or all
/// be refused, and which one was meant is not ours to guess.
#[derive(Default)]
struct Taken(BTreeMap<String, String>);

impl Taken {
    fn take(&mut self, field: &str, text: &str, what: &str) -> Result<(), Invalid> {
        match self.0.insert(text.to_owned(), field.to_owned()) {
            None => Ok(()),
            Some(first) => {
                Err(Invalid::new(field, format!("must be another {what}: {first} has it already")))
            }
        }
    }
}

/// The names of a container's variables.
#[derive(Default)]
pub(crate) struct Names(Taken);

impl Names {
    /// Takes a name, which `field` holds.
    pub(crate) fn take(&mut self, field: &str, name: &str) -> Result<String, Invalid> {
        if !is_name(name) {
            let fix = "must be the name of an environment variable: letters, digits, `_`, `-` and `.`, and no digit first";
            return Err(Invalid::new(field, fix));
        }
        self.0.take(field, name, "name")?;
        Ok(name.to_owned())
    }
}

/// The paths at which something is mounted.
#[derive(Default)]
pub(crate) struct Paths(Taken);

impl Paths {
    /// Takes a path, which `field` holds.
    pub(crate) fn take(&mut self, field: &str, path: &str) -> Result<String, Invalid> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if !is_path(path) {
            let fix = "must be an absolute path below /, without `:`, `.`, `..` and empty segments";
            return Err(Invalid::new(field, fix));
        }
        self.0.take(field, path, "path")?;
        Ok(path.to_owned())
    }
}

fn is_path(path: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment))
        && path.len() <= MAX_PATH_BYTES
        && !path.contains(|c: char| c == ':' || c.is_control())
}

/// What every supported Kubernetes takes; newer ones take more.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| inner(c) && !c.is_ascii_digit())
        && name.chars().all(inner)
        && name != "."
        && !name.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_that_kubernetes_takes_and_no_other_has() {
        let mut names = Names::default();
        for name in ["HF_TOKEN", "_a", "a-b.c", ".a"] {
            assert_eq!(names.take("first", name).unwrap(), name);
        }
        for name in ["", "1A", "A=B", "a b", ".", "..", "..a", "\u{e4}", "a/b", "A\n"] {
            let refused = names.take("f", name).unwrap_err();
            assert!(refused.field == "f" && refused.fix.starts_with("must be the name"), "{name}");
        }
        let twice = names.take("second", "HF_TOKEN").unwrap_err();
        assert_eq!(twice.to_string(), "second: must be another name: first has it already");
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_none() {
        let mut paths = Paths::default();
        for path in ["/config", "/a/b.c", "/data/"] {
            assert!(paths.take("first", path).is_ok(), "{path}");
        }
        for path in ["", "/", "//", "a", "/a/../b", "/.", "/a//b", "/a:b", "/a\n", "/config/"] {
            assert_eq!(paths.take("f", path).unwrap_err().field, "f", "{path}");
        }
    }
}
