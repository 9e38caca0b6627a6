//! The maps `data` and `stringData`: how they make and change a payload.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{DataKey, Fields, Invalid, Payload, Plaintext, SecretType};

use crate::{UniqueMap, WireText};

/// Which of the two maps.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Data,
    StringData,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::StringData => "stringData",
        }
    }
}

/// One entry of a map: a key that gets a value, or loses it.
pub(super) struct Entry<'a> {
    place: Place,
    /// Its place in the order of the map's keys, from 1.
    number: usize,
    key: &'a str,
    value: Option<&'a WireText>,
}

/// The entries of a map of values, `data` being base64.
pub(super) fn entries<'a>(
    place: Place,
    map: Option<&'a UniqueMap<WireText>>,
) -> impl Iterator<Item = Entry<'a>> {
    let pairs = map.into_iter().flat_map(|map| &map.0).enumerate();
    pairs.map(move |(index, (key, value))| Entry {
        place,
        number: index + 1,
        key,
        value: Some(value),
    })
}

/// As [`entries`], for a map in which `null` removes.
pub(super) fn changes<'a>(
    place: Place,
    map: Option<&'a UniqueMap<Option<WireText>>>,
) -> impl Iterator<Item = Entry<'a>> {
    let pairs = map.into_iter().flat_map(|map| &map.0).enumerate();
    pairs.map(move |(index, (key, value))| Entry {
        place,
        number: index + 1,
        key,
        value: value.as_ref(),
    })
}

impl Entry<'_> {
    /// The key, refused by its place in the order of keys: what is no key may be a value that was
    /// put in the wrong place.
    fn data_key(&self) -> Result<DataKey, Invalid> {
        DataKey::parse(self.key).map_err(|wrong| {
            let fix = format!("its key number {} {}", self.number, wrong.fix);
            Invalid::new(self.place.as_str(), fix)
        })
    }

    fn plaintext(&self, field: &str) -> Result<Option<Plaintext>, Invalid> {
        let Some(text) = self.value else { return Ok(None) };
        // EXPOSE: the value is decoded or copied into a plaintext of its own.
        let text = text.expose();
        let bytes = match self.place {
            Place::Data => STANDARD.decode(text).map_err(|_| {
                let fix = "must be standard base64 with padding; text goes into stringData";
                Invalid::new(field, fix)
            })?,
            Place::StringData => text.as_bytes().to_vec(),
        };
        Ok(Some(Plaintext::new(bytes)))
    }
}

/// A payload of keys and bytes, out of entries of which the later ones win.
pub(super) fn opaque<'a>(
    mut values: BTreeMap<DataKey, Plaintext>,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Result<Payload, Invalid> {
    for entry in entries {
        let key = entry.data_key()?;
        match entry.plaintext(&format!("{}[\"{key}\"]", entry.place.as_str()))? {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
    }
    Payload::opaque(values)
}

/// A payload of a type whose fields are fixed. A field that is wrong is named where it was sent.
pub(super) fn of_fields<'a>(
    kind: SecretType,
    mut fields: Fields,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Result<Payload, Invalid> {
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for entry in entries {
        let place = entry.place.as_str();
        // The name is checked first, since the messages about a value name it.
        fields.set(entry.key, None).map_err(|wrong| wrong.within(place))?;
        let value = entry.plaintext(&format!("{place}.{}", entry.key))?;
        fields.set(entry.key, value).map_err(|wrong| wrong.within(place))?;
        places.insert(entry.key, entry.place);
    }
    Payload::of_fields(kind, fields).map_err(|wrong| {
        let place = places.get(wrong.field.as_str()).copied().unwrap_or(Place::StringData);
        wrong.within(place.as_str())
    })
}

/// Which parts of a body that hold values are there.
pub(super) struct Parts {
    pub(super) data: bool,
    pub(super) string_data: bool,
    pub(super) registries: bool,
    pub(super) document: bool,
}

impl Parts {
    /// Refuses the parts that a type does not have.
    pub(super) fn fit(&self, kind: SecretType) -> Result<(), Invalid> {
        let of_maps = matches!(
            kind,
            SecretType::Opaque | SecretType::S3 | SecretType::Ssh | SecretType::Variable
        );
        let misfits = [
            ("data", self.data && !of_maps),
            ("stringData", self.string_data && !of_maps),
            ("registries", self.registries && kind != SecretType::Registry),
            ("document", self.document && kind != SecretType::Document),
        ];
        match misfits.iter().find(|(_, misfit)| *misfit) {
            Some((field, _)) => {
                Err(Invalid::new(*field, format!("must be left out: the type is {kind}")))
            }
            None => Ok(()),
        }
    }
}
