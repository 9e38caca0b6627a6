//! A command line, split as a POSIX shell splits one; nothing in it is expanded.

use domain::Invalid;

/// The words of a line. Apolo's client takes a command as one string and its platform splits it so.
pub(crate) fn words(field: &str, line: &str) -> Result<Vec<String>, Invalid> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, '\\') => word.get_or_insert_default().push(next(field, &mut chars)?),
            (Some('"'), '\\') => {
                let escaped = next(field, &mut chars)?;
                // Between double quotes a backslash is one before anything else.
                let word = word.get_or_insert_default();
                if !matches!(escaped, '"' | '\\') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(unfinished(field));
    }
    words.extend(word);
    Ok(words)
}

fn next(field: &str, chars: &mut std::str::Chars<'_>) -> Result<char, Invalid> {
    chars.next().ok_or_else(|| unfinished(field))
}

fn unfinished(field: &str) -> Invalid {
    Invalid::new(field, "must end each quote that it begins, and not end in a backslash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, split) in [
            ("", &[][..]),
            ("true", &["true"]),
            ("  python  -m x ", &["python", "-m", "x"]),
            ("bash -c 'echo \"$HF\" $(HF)'", &["bash", "-c", "echo \"$HF\" $(HF)"]),
            ("a\\ b \"c \\\"d\\n\" '' e''f", &["a b", "c \"d\\n", "", "ef"]),
        ] {
            assert_eq!(words("command", line).unwrap(), split, "{line}");
        }
        for line in ["'", "a \"b", "a\\", "\"\\"] {
            assert_eq!(words("command", line).unwrap_err().field, "command", "{line}");
        }
    }
}
