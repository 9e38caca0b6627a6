//! Label selectors, in the syntax of Kubernetes
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use std::collections::BTreeSet;
use std::fmt;

use crate::labels::{is_label_key, is_label_word};
use crate::{Invalid, Labels};

const MAX_BYTES: usize = 4096;
const FIELD: &str = "labelSelector";

/// What labels must be like: every requirement holds. None at all selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(BTreeSet<String>),
    /// As in Kubernetes, labels without the key pass too.
    NotIn(BTreeSet<String>),
}

impl LabelSelector {
    /// Reads a selector: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, separated
    /// by commas.
    ///
    /// # Errors
    /// Says which requirement is wrong, by its place, and what would be right.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_BYTES {
            return Err(Invalid::new(FIELD, format!("must be at most {MAX_BYTES} bytes")));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let requirements = split(text).enumerate().map(|(index, part)| {
            requirement(part.trim()).ok_or_else(|| {
                let fix = format!(
                    "its requirement number {} must be `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` or `!key`, with labels as Kubernetes allows them",
                    index + 1
                );
                Invalid::new(FIELD, fix)
            })
        });
        requirements.collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels are selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.as_map().get(&self.key);
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
        }
    }
}

/// The selector in its one canonical spelling.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let joined = |values: &BTreeSet<String>| {
                values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
            };
            match test {
                Test::Exists => write!(f, "{key}")?,
                Test::Absent => write!(f, "!{key}")?,
                Test::In(values) => write!(f, "{key} in ({})", joined(values))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", joined(values))?,
            }
        }
        Ok(())
    }
}

/// The requirements: what stands between the commas that are not inside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(key) = text.strip_prefix('!') {
        return of(key.trim(), Test::Absent);
    }
    if let Some(list) = text.strip_suffix(')') {
        return set(list);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key.trim(), Test::NotIn(one(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key.trim(), Test::In(one(value)?));
    }
    of(text, Test::Exists)
}

/// `key in (a,b` or `key notin (a,b`.
fn set(text: &str) -> Option<Requirement> {
    let (head, list) = text.split_once('(')?;
    let (key, operator) = head.trim_end().rsplit_once(char::is_whitespace)?;
    let values = list.split(',').map(word).collect::<Option<BTreeSet<_>>>()?;
    match operator {
        "in" => of(key.trim(), Test::In(values)),
        "notin" => of(key.trim(), Test::NotIn(values)),
        _ => None,
    }
}

fn of(key: &str, test: Test) -> Option<Requirement> {
    is_label_key(key).then(|| Requirement { key: key.to_owned(), test })
}

fn one(value: &str) -> Option<BTreeSet<String>> {
    word(value).map(|value| BTreeSet::from([value]))
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    (text.is_empty() || is_label_word(text)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Labels::parse(pairs.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn selects(selector: &str, pairs: &[(&str, &str)]) -> bool {
        LabelSelector::parse(selector).unwrap().matches(&labels(pairs))
    }

    /// The cases of Kubernetes' own documentation, and the corners of its rules.
    #[test]
    fn each_requirement_means_what_it_means_in_kubernetes() {
        let prod = [("environment", "production"), ("tier", "frontend")];
        for (selector, expected) in [
            ("", true),
            ("environment=production", true),
            ("environment == production", true),
            ("environment=production,tier!=frontend", false),
            ("environment in (production, qa)", true),
            ("environment in (qa)", false),
            ("tier notin (frontend,backend)", false),
            ("partition", false),
            ("!partition", true),
            ("partition notin (a)", true),
            ("partition!=a", true),
            ("partition=", false),
            ("environment,environment notin (qa)", true),
            ("environment in (production),tier in (backend)", false),
        ] {
            assert_eq!(selects(selector, &prod), expected, "{selector}");
        }
        assert!(selects("a=", &[("a", "")]));
        assert!(selects("example.org/team in (,x)", &[("example.org/team", "")]));
    }

    #[test]
    fn what_is_no_selector_is_refused_by_its_place() {
        for wrong in [
            ",",
            "a,",
            "=b",
            "a=b=c",
            "a in b",
            "a in (b",
            "a in b)",
            "a of (b)",
            "a in ((b))",
            "a b",
            "!",
            "!a=b",
            "-a",
            "a=b c",
            "a in ()x",
            "a!b",
            "ä=b",
        ] {
            let refused = LabelSelector::parse(wrong).err();
            assert_eq!(refused.map(|wrong| wrong.field).as_deref(), Some(FIELD), "{wrong:?}");
        }
        let second = LabelSelector::parse("a=b,SECRET VALUE").unwrap_err();
        assert!(second.fix.contains("number 2") && !second.fix.contains("SECRET"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again_as_the_same(text in "[ab!=,() in]{0,24}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string()).unwrap();
                prop_assert_eq!(again, selector);
            }
        }
    }
}
