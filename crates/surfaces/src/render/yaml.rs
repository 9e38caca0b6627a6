//! Manifests as people read them.

use std::fmt::Write as _;

use serde_json::Value;

/// What YAML 1.1 takes for something other than text.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// A `List` as YAML, a document for each of its items; anything else as one document.
///
/// YAML takes JSON's strings as they are, so every text that could be taken for something else is
/// written as one.
pub fn yaml(manifest: &Value) -> String {
    let mut out = String::new();
    let items = manifest.get("items").and_then(Value::as_array);
    let documents = items.map_or(std::slice::from_ref(manifest), Vec::as_slice);
    for document in documents {
        out.push_str("---\n");
        block(&mut out, document, 0);
    }
    out
}

/// Writes a value at the beginning of a line, which it ends.
fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (index, (name, value)) in members.iter().enumerate() {
                indent(out, if index == 0 { 0 } else { depth });
                out.push_str(&text(name));
                out.push(':');
                member(out, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                indent(out, if index == 0 { 0 } else { depth });
                out.push_str("- ");
                block(out, item, depth + 1);
            }
        }
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

/// Writes what a name stands for, behind its colon.
fn member(out: &mut String, value: &Value, depth: usize) {
    let deeper = match value {
        Value::Object(members) if !members.is_empty() => depth + 1,
        // Items stand below their name.
        Value::Array(items) if !items.is_empty() => depth,
        other => {
            let _ = writeln!(out, " {}", scalar(other));
            return;
        }
    };
    out.push('\n');
    indent(out, deeper);
    block(out, value, deeper);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text_) => text(text_),
        other => other.to_string(),
    }
}

/// A text: plain where it can be taken for nothing else, in quotes otherwise.
fn text(text: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    // Numbers and dates begin with a digit, a sign or a dot.
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(inner)
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        // What JSON may hold as it is and YAML may not, or would take for the end of a line.
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}')
        {
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_in_quotes() {
        let list = json!({ "kind": "List", "items": [
            { "kind": "Job", "args": ["true", "No", "1", "-x", "a: b", "", "$(HF)", "\u{85}\n\u{feff}"] },
            { "spec": { "containers": [{ "name": "main", "env": [{ "name": "A", "value": "1e3" }] }],
                "empty": {}, "none": [], "count": 2, "is": true } },
        ] });
        let expected = r#"---
args:
- "true"
- "No"
- "1"
- "-x"
- "a: b"
- ""
- "$(HF)"
- "\u0085\n\ufeff"
kind: Job
---
spec:
  containers:
  - env:
    - name: A
      value: "1e3"
    name: main
  count: 2
  empty: {}
  is: true
  none: []
"#;
        assert_eq!(yaml(&list), expected);
    }
}
