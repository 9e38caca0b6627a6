//! JSON values as they were sent: numbers keep their digits, members their order.
//!
//! serde_json reads each level as unparsed slices of the one below. It checks all of the grammar
//! of RFC 8259; what is added here is that names are unique and that depth is bounded.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// How many lists and objects may lie in one another. Each level costs one more look at its text.
pub(super) const MAX_DEPTH: usize = 64;

/// A member's name and value.
pub(super) type Member<'a> = (Zeroizing<String>, Json<'a>);

/// A JSON value.
pub(super) enum Json<'a> {
    List(Vec<Json<'a>>),
    /// A number, `true`, `false` or `null`, as it was sent.
    Literal(&'a str),
    Object(Vec<Member<'a>>),
    Text(Zeroizing<String>),
}

/// Why text is not a JSON value that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Depth,
    Duplicate,
    Syntax,
}

impl<'a> Json<'a> {
    /// Reads a value; white space may surround it.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let raw = serde_json::from_str::<&RawValue>(text).map_err(|_| Refusal::Syntax)?;
        Self::read(raw.get(), 0)
    }

    fn read(text: &'a str, depth: usize) -> Result<Self, Refusal> {
        let below = depth + 1;
        let opens = text.as_bytes().first();
        if matches!(opens, Some(b'[' | b'{')) && below > MAX_DEPTH {
            return Err(Refusal::Depth);
        }
        match opens {
            Some(b'"') => Ok(Self::Text(Zeroizing::new(slice(text)?))),
            Some(b'[') => {
                let items: Vec<&RawValue> = slice(text)?;
                let items = items.into_iter().map(|item| Self::read(item.get(), below));
                items.collect::<Result<_, _>>().map(Self::List)
            }
            Some(b'{') => {
                let Members(members) = slice(text)?;
                check_unique(&members)?;
                let members = members
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::read(value.get(), below)?)));
                members.collect::<Result<_, _>>().map(Self::Object)
            }
            _ => Ok(Self::Literal(text)),
        }
    }

    /// Appends the value in the one form that is stored: without white space, with the shortest
    /// escapes. It is never longer than what was read.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    separate(index, out);
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    separate(index, out);
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::Text(text) => write_text(text, out),
        }
    }

    /// This value after a merge patch, RFC 7396 section 2.
    pub(super) fn merge(self, patch: Self) -> Self {
        let Self::Object(changes) = patch else { return patch };
        let members = if let Self::Object(members) = self { members } else { Vec::new() };
        let mut changes: BTreeMap<String, Self> = changes
            .into_iter()
            .map(|(mut name, value)| (std::mem::take(&mut *name), value))
            .collect();
        let mut merged = Vec::with_capacity(members.len() + changes.len());
        for (name, value) in members {
            match changes.remove(name.as_str()) {
                None => merged.push((name, value)),
                Some(change) if change.is_null() => {}
                Some(change) => merged.push((name, value.merge(change))),
            }
        }
        let new = changes.into_iter().filter(|(_, change)| !change.is_null());
        merged.extend(
            new.map(|(name, change)| (Zeroizing::new(name), Self::Literal("null").merge(change))),
        );
        Self::Object(merged)
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Literal("null"))
    }
}

fn slice<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|_| Refusal::Syntax)
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "text always serializes into memory");
}

fn check_unique(members: &[(Zeroizing<String>, &RawValue)]) -> Result<(), Refusal> {
    let mut names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
    if twice { Err(Refusal::Duplicate) } else { Ok(()) }
}

/// An object's members, in order, the values unparsed.
struct Members<'a>(Vec<(Zeroizing<String>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Zeroizing<String>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = access.next_entry::<String, &RawValue>()? {
            members.push((Zeroizing::new(name), value));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn compact(text: &str) -> Result<String, Refusal> {
        let mut out = Vec::new();
        Json::parse(text)?.write(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    fn merged(target: &str, patch: &str) -> Value {
        let mut out = Vec::new();
        Json::parse(target).unwrap().merge(Json::parse(patch).unwrap()).write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    /// RFC 7396 section 2, as its pseudocode has it.
    fn pseudocode(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut target =
            if let Value::Object(target) = target { target } else { Default::default() };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let old = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, pseudocode(old, value));
            }
        }
        Value::Object(target)
    }

    /// All of RFC 7396 appendix A: original, patch, result.
    const APPENDIX_A: [(&str, &str, &str); 15] = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];

    #[test]
    fn the_examples_of_rfc_7396_merge_as_printed_there() {
        for (target, patch, result) in APPENDIX_A {
            let result: Value = serde_json::from_str(result).unwrap();
            assert_eq!(merged(target, patch), result, "{target} + {patch}");
            let (target, patch) = (serde_json::from_str(target), serde_json::from_str(patch));
            assert_eq!(pseudocode(target.unwrap(), patch.unwrap()), result);
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_members_their_order() {
        let text =
            r#"{"z":1.0,"a":[1e400,-0,12345678901234567890.10,0.1E-7],"m":{"y":true,"b":null}}"#;
        assert_eq!(compact(text).unwrap(), text);
        assert_eq!(compact(" { \"a\\u0062\" :\t[ 1 ,\n2 ] } ").unwrap(), r#"{"ab":[1,2]}"#);
        let kept = r#"{"n":1.000,"o":{"p":1e5}}"#;
        let mut out = Vec::new();
        let patch = Json::parse(r#"{"o":{"q":2.50}}"#).unwrap();
        Json::parse(kept).unwrap().merge(patch).write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"n":1.000,"o":{"p":1e5,"q":2.50}}"#);
    }

    #[test]
    fn what_is_ambiguous_or_no_json_is_refused() {
        for text in
            [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#, r#"[{"x":[{"b":{"c":1,"c":1}}]}]"#]
        {
            assert_eq!(compact(text), Err(Refusal::Duplicate), "{text}");
        }
        for text in [
            "",
            "{",
            "01",
            "1.",
            "+1",
            "NaN",
            "{'a':1}",
            "[1,]",
            "1 2",
            r#""\ud800""#,
            "\"\n\"",
            r#"{"\ud800":1}"#,
        ] {
            assert_eq!(compact(text), Err(Refusal::Syntax), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(compact(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(compact(&nested(MAX_DEPTH + 1)), Err(Refusal::Depth));
        assert_eq!(compact(&nested(1 << 19)), Err(Refusal::Depth));
        assert_eq!(compact(&"[".repeat(1 << 20)), Err(Refusal::Syntax));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-d]{0,2}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn merging_is_what_the_pseudocode_of_rfc_7396_says(target in any_json(), patch in any_json()) {
            let (target, patch) = (target.to_string(), patch.to_string());
            // Read again, since serde_json reads a number's last digit differently than it wrote it.
            let read = |text: &str| serde_json::from_str(text).unwrap();
            let expected = pseudocode(read(&target), read(&patch));
            prop_assert_eq!(merged(&target, &patch), expected);
        }

        #[test]
        fn a_value_survives_and_has_one_form(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let once = compact(&pretty).unwrap();
            prop_assert_eq!(&once, &value.to_string());
            prop_assert_eq!(&compact(&once).unwrap(), &once);
        }

        #[test]
        fn the_written_form_is_never_longer(text in "[\\[\\]{}\",:\\\\/a-f0-9u .e-]{0,30}|\"(\\\\u[0-9a-f]{4}|\\\\/|[a-z]){0,8}\"") {
            if let Ok(written) = compact(&text) {
                prop_assert!(written.len() <= text.len());
            }
        }
    }
}
