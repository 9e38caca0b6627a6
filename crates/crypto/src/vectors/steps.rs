//! What lies between a vector's inputs and its bytes: the keys and the associated data of each step,
//! so that a vector can be followed, and checked by any implementation of AES-GCM alone.

use std::collections::BTreeMap;

use domain::{SecretType, Uid};

use super::*;
use crate::PayloadContext;
use crate::associated;
use crate::keyring_file::KeyringFile;
use crate::record;
use crate::slots::Unlocked;

/// A vector's fields with what it inherits.
pub(super) type Fields = BTreeMap<String, String>;

/// The steps of one vector, by name.
pub(super) type Steps = Vec<(String, String)>;

pub(super) fn none(_: &Fields) -> Steps {
    Vec::new()
}

/// The associated data of both layers, at the place where the records are read; and where they open,
/// both keys.
pub(super) fn of_payload(vector: &Fields) -> Steps {
    let store = store(vector);
    let context = PayloadContext {
        uid: Uid::from_bytes(unhex(&vector["uid"]).try_into().unwrap()),
        version: vector["version"].parse().unwrap(),
        kind: SecretType::from_code(vector["type"].parse().unwrap()).unwrap(),
    };
    let mut steps = Steps::new();
    let wrap = unhex(&vector["wrap"]);
    let mut kek_id = None;
    if let Some(id) = wrap.get(1..5) {
        let id = KekId::new(u32::from_be_bytes(id.try_into().unwrap()));
        steps.push(("wrap-ad".into(), hex(&associated::data_key(store, &context, id))));
        kek_id = Some(id);
    }
    steps.push(("payload-ad".into(), hex(&associated::payload(store, &context))));
    if vector["expect"] == "success" {
        let Unlocked { file, key, .. } = unlocked(vector);
        let entry = file.body.keks.iter().find(|entry| Some(entry.id) == kek_id).unwrap();
        let kek = entry.unwrap(store, &key).ok().unwrap();
        let (id, wrapped) = record::decode_wrap(&wrap).unwrap();
        let wrap_ad = associated::data_key(store, &context, id);
        let data_key = Kek::new(id, &kek).unwrap_data_key(&wrapped, &wrap_ad).ok().unwrap();
        steps.push(("kek".into(), hex(kek.as_bytes())));
        steps.push(("data-key".into(), hex(data_key.as_bytes())));
    }
    steps
}

/// The associated data at the place where the record is read; and where it opens, the key.
pub(super) fn of_metadata(vector: &Fields) -> Steps {
    let (store, record) = (store(vector), unhex(&vector["record"]));
    let Ok(id) = record::metadata_key_of(&record) else { return Steps::new() };
    let associated = associated::metadata(store, id, &unhex(&vector["store-key"]));
    let mut steps = vec![("metadata-ad".into(), hex(&associated))];
    if vector["expect"] == "success" {
        let key = format!("key-{}-{id}", KeyKind::Metadata.code());
        let (_, key) = keys(vector).into_iter().find(|(name, _)| *name == key).unwrap();
        steps.push(("metadata-key".into(), key));
    }
    steps
}

/// Every key of a keyring that opens, and the associated data under which each is wrapped.
pub(super) fn of_keyring(vector: &Fields) -> Steps {
    if vector["expect"] == "success" { keys(vector) } else { Steps::new() }
}

fn keys(vector: &Fields) -> Steps {
    let Unlocked { file, key, slot } = unlocked(vector);
    let store = file.body.store;
    let mut steps = vec![
        ("slot".to_owned(), slot.to_string()),
        ("keyring-key".to_owned(), hex(key.as_bytes())),
        ("tag-ad".to_owned(), hex(&associated::keyring(&file.body.encode()))),
    ];
    for slot in &file.body.slots {
        let associated = associated::slot(store, &slot.head.encode());
        steps.push((format!("slot-{}-ad", slot.head.id), hex(&associated)));
    }
    let mut keks = Vec::new();
    for entry in &file.body.keks {
        let (id, bytes) = (entry.id, entry.unwrap(store, &key).ok().unwrap());
        steps.push((format!("kek-{}-ad", id.get()), hex(&associated::kek(store, id))));
        steps.push((format!("kek-{}", id.get()), hex(bytes.as_bytes())));
        keks.push(Kek::new(id, &bytes));
    }
    for entry in &file.body.keys {
        let (kind, id) = (entry.kind.code(), entry.id);
        let associated = associated::key(store, kind, id, entry.kek);
        let bytes = entry.unwrap(store, &keks).ok().unwrap();
        steps.push((format!("key-{kind}-{id}-ad"), hex(&associated)));
        steps.push((format!("key-{kind}-{id}"), hex(bytes.as_bytes())));
    }
    steps
}

fn unlocked(vector: &Fields) -> Unlocked {
    let file = unhex(&vector["keyring"]);
    match vector.get("passphrase") {
        Some(text) => Unlocked::open(&file, (&Passphrase::from_text(text).unwrap()).into()),
        None => Unlocked::open(&file, (&RootKey::from_text(&vector["root"]).unwrap()).into()),
    }
    .ok()
    .unwrap()
}

fn store(vector: &Fields) -> StoreId {
    KeyringFile::decode(&unhex(&vector["keyring"])).ok().unwrap().body.store
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}
