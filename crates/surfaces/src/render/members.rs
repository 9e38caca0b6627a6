//! A JSON object, read member by member, by a reader who knows which members were never asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use domain::Invalid;
use serde_json::{Map, Value};

/// The most members that are listed as not used.
const MAX_LISTED: usize = 64;
/// As much of a member's name as is repeated.
const MAX_SHOWN: usize = 64;

/// An object and where it is.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    path: String,
    used: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Members<'a> {
    /// The outermost object.
    pub(crate) fn new(object: &'a Map<String, Value>) -> Self {
        Self { object, path: String::new(), used: RefCell::default() }
    }

    /// The JSON path of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A member that is there; `null` is as good as nothing.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        let (known, value) = self.object.get_key_value(name)?;
        self.used.borrow_mut().insert(known);
        Some(value).filter(|value| !value.is_null())
    }

    /// Takes members as used that change nothing in a manifest.
    pub(crate) fn ignore(&self, names: &[&str]) {
        for name in names {
            self.value(name);
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        Ok(Some(value.as_str().ok_or_else(|| Invalid::new(self.at(name), "must be a string"))?))
    }

    pub(crate) fn required(&self, name: &str) -> Result<&'a str, Invalid> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| {
            Invalid::new(self.at(name), "must be given, as a string that is not empty")
        })
    }

    /// A whole number that fits, if there is one.
    pub(crate) fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        // JSON knows no whole numbers; 5.0 is one.
        let whole = value.as_u64().or_else(|| {
            let float = value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        let number = whole.and_then(|whole| u32::try_from(whole).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        let fix = || format!("must be a whole number from {least} to {most}");
        Ok(Some(number.ok_or_else(|| Invalid::new(self.at(name), fix()))?))
    }

    pub(crate) fn port(&self, name: &str) -> Result<Option<u16>, Invalid> {
        let number = self.number(name, 1, u16::MAX.into())?;
        Ok(number.and_then(|number| u16::try_from(number).ok()))
    }

    /// A port that is written as text.
    pub(crate) fn text_port(&self, name: &str) -> Result<Option<u16>, Invalid> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let port = text.parse().ok().filter(|port: &u16| *port > 0 && !text.starts_with('+'));
        let fix = "must be a port as a string, such as \"8000\"";
        Ok(Some(port.ok_or_else(|| Invalid::new(self.at(name), fix))?))
    }

    /// A list of objects; none when it is not there.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Members<'a>>, Invalid> {
        let items = self.list(name)?.iter().enumerate().map(|(index, item)| {
            let path = format!("{}[{index}]", self.at(name));
            let object = item.as_object();
            let object = object.ok_or_else(|| Invalid::new(&path, "must be a JSON object"))?;
            Ok(Members { object, path, used: RefCell::default() })
        });
        items.collect()
    }

    /// A list of strings; none when it is not there.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let items = self.list(name)?.iter().enumerate().map(|(index, item)| {
            let text = item.as_str().map(str::to_owned);
            let at = || format!("{}[{index}]", self.at(name));
            text.ok_or_else(|| Invalid::new(at(), "must be a string"))
        });
        items.collect()
    }

    /// An object, if it is there.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Members<'a>>, Invalid> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let object = value.as_object();
        let object = object.ok_or_else(|| Invalid::new(self.at(name), "must be a JSON object"))?;
        Ok(Some(Members { object, path: self.at(name), used: RefCell::default() }))
    }

    /// The strings of an object whose members are its content: where each is, its name, the string.
    pub(crate) fn text_map(&self, name: &str) -> Result<Vec<(String, &'a str, &'a str)>, Invalid> {
        let Some(map) = self.object(name)? else { return Ok(Vec::new()) };
        let entries = map.object.iter().map(|(key, value)| {
            let at = format!("{}.{}", self.at(name), shown(key));
            let text = value.as_str();
            Ok((
                at.clone(),
                key.as_str(),
                text.ok_or_else(|| Invalid::new(at, "must be a string"))?,
            ))
        });
        entries.collect()
    }

    /// The members that nobody asked for, by name.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let unused = self.object.keys().filter(|name| !used.contains(name.as_str()));
        unused.map(|name| self.at(&shown(name))).collect()
    }

    /// Refuses members that nobody asked for.
    pub(crate) fn done(&self) -> Result<(), Invalid> {
        match self.unused().into_iter().next() {
            Some(member) => Err(Invalid::new(member, "is not known here; leave it out")),
            None => Ok(()),
        }
    }

    fn list(&self, name: &str) -> Result<&'a [Value], Invalid> {
        let Some(value) = self.value(name) else { return Ok(&[]) };
        let list = value.as_array();
        Ok(list.ok_or_else(|| Invalid::new(self.at(name), "must be a list"))?)
    }
}

/// What is left out, said member by member.
pub(crate) fn warnings(unused: Vec<String>) -> Vec<String> {
    let more = unused.len().saturating_sub(MAX_LISTED);
    let listed = unused.into_iter().take(MAX_LISTED);
    let mut warnings: Vec<_> = listed.map(|name| format!("{name} is not used")).collect();
    if more > 0 {
        warnings.push(format!("{more} more members are not used"));
    }
    warnings
}

/// A name that was sent, bounded and printable.
pub(crate) fn shown(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(MAX_SHOWN).collect()
}
