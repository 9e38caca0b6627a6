//! The configuration file: flat TOML, and each fault with its line.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::merge::{Given, Origin};
use super::{Form, Setting};

/// What must never lie in a file that is copied, committed and mounted like any other.
const SECRETS: [&str; 4] = ["root-key", "root_key", "passphrase", "token"];

/// The settings that a file gives, as texts. `shown` is the file's path, for messages.
///
/// # Errors
/// The first fault in the file: its line, the key where there is one, and what would be right. No
/// value is repeated.
pub(crate) fn parse(shown: &Path, text: &str) -> Result<BTreeMap<&'static str, Given>, String> {
    let at = |offset: usize| {
        let before = text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        format!("{}:{line}", shown.display())
    };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let what = match error.message() {
            "duplicate key" => "this key stands here a second time: keep one of the two",
            _ => "this is no TOML: write NAME = VALUE, and text in double quotes",
        };
        format!("{}: {what}", at(offset))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut given = BTreeMap::new();
    for (key, value) in entries {
        let line = at(key.span().start);
        let setting = known(key.get_ref()).map_err(|what| format!("{line}: {what}"))?;
        let origin = Origin::File(line);
        let text = as_text(setting.form, value.get_ref()).ok_or_else(|| {
            let found = value.get_ref().type_str();
            format!("{}: this is of type {found}; {}", origin.of(setting), setting.takes())
        })?;
        given.insert(setting.name, Given { text, origin });
    }
    Ok(given)
}

fn known(key: &str) -> Result<&'static Setting, String> {
    if SECRETS.contains(&key) {
        return Err(format!(
            "{key}: a secret does not belong in this file: name its file with root-key-file or \
             passphrase-file, or see the README for other places"
        ));
    }
    Setting::named(key).ok_or_else(|| match Setting::named(&key.replace('_', "-")) {
        Some(meant) => format!("{}: keys are written with hyphens: {}", key, meant.name),
        // Something pasted by mistake must not be repeated; a mistyped key may.
        None if key.len() <= 32 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
            format!("{key}: there is no such setting; tresor serve --help lists all")
        }
        None => "there is no such setting; tresor serve --help lists all".to_owned(),
    })
}

/// A value as it would stand in a flag, when it has the type that the setting takes.
fn as_text(form: Form, value: &DeValue<'_>) -> Option<String> {
    match (form, value) {
        (Form::Flag, DeValue::Boolean(value)) => Some(value.to_string()),
        (Form::Number(..), DeValue::Integer(value)) => Some(value.to_string()),
        (Form::Flag | Form::Number(..), _) => None,
        (_, DeValue::String(text)) => Some(text.to_string()),
        _ => None,
    }
}
