//! Makes the test vectors of `tests/vectors` again and compares. They are checked from outside, in
//! `tests/it/vectors.rs`.

mod gcm;
mod keyring;
mod metadata;
mod payload;
mod signature;
mod steps;
mod token;

use domain::Timestamp;

use self::steps::{Fields, Steps};
use crate::keyring_file::{Body, KekEntry, KekState, KeyEntry, KeyKind, KeyringFile};
use crate::keys::{Kek, KeyBytes, KeyringKey};
use crate::random::scripted;
use crate::slot::Slot;
use crate::{KekId, Keyring, Passphrase, RootKey, StoreId, Unlock};

/// A file of vectors. The first one is complete; the others inherit what they do not state.
struct Vectors {
    about: String,
    steps: fn(&Fields) -> Steps,
    first: Fields,
    vectors: Vec<String>,
}

impl Vectors {
    fn new(about: &str, steps: fn(&Fields) -> Steps) -> Self {
        let (about, first) = (about.to_owned(), Fields::new());
        Self { about, steps, first, vectors: Vec::new() }
    }

    /// Adds a vector with what it states, and with the steps that follow from it.
    fn add(&mut self, name: &str, expect: &str, comment: &str, fields: &[(&str, String)]) {
        let said = [("name", name), ("expect", expect), ("comment", comment)];
        let said = said.map(|(field, value)| (field.to_owned(), value.to_owned()));
        let fields = fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone()));
        let mut stated: Vec<_> = said.into_iter().chain(fields).collect();
        let mut whole = self.first.clone();
        whole.extend(stated.iter().cloned());
        let follows = (self.steps)(&whole);
        stated.extend(follows.into_iter().filter(|(field, value)| whole.get(field) != Some(value)));
        let line = |(field, value): &(String, String)| {
            format!("      {}: {}", serde_json::json!(field), serde_json::json!(value))
        };
        let lines: Vec<_> = stated.iter().map(line).collect();
        self.vectors.push(format!("    {{\n{}\n    }}", lines.join(",\n")));
        if self.vectors.len() == 1 {
            self.first = stated.into_iter().collect();
        }
    }

    /// If you are here because this failed: a changed vector is a changed format, and old stores
    /// must still open. When the change is meant, run the test once with `UPDATE_VECTORS=1`.
    fn compare(&self, file: &str) {
        let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        let inherits = "a vector has each field of the first one that it does not state";
        let text = format!(
            "{{\n  \"about\": {},\n  \"inherits\": {},\n  \"vectors\": [\n{}\n  ]\n}}\n",
            serde_json::json!(self.about),
            serde_json::json!(inherits),
            self.vectors.join(",\n"),
        );
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == text, "{file} differs");
    }
}

/// Everything that is random, scripted.
struct Fixture {
    root: RootKey,
    previous_root: RootKey,
    keyring_key: KeyringKey,
    keks: [KeyBytes; 2],
    metadata_keys: [KeyBytes; 2],
    audit_keys: [KeyBytes; 2],
    token_keys: [KeyBytes; 2],
}

const STORE: StoreId = StoreId::from_bytes(*b"the first store.");
const OTHER_STORE: StoreId = StoreId::from_bytes(*b"another store...");

impl Fixture {
    fn make() -> Self {
        scripted::with_seed(1, || {
            let key = || KeyBytes::make().unwrap();
            Self {
                root: RootKey::make().unwrap(),
                previous_root: RootKey::make().unwrap(),
                keks: [key(), key()],
                metadata_keys: [key(), key()],
                keyring_key: KeyringKey::make().unwrap(),
                audit_keys: [key(), key()],
                token_keys: [key(), key()],
            }
        })
    }

    /// A keyring file with the first `count` KEKs and keys of each kind, the last ones current.
    fn file(&self, store: StoreId, count: usize) -> KeyringFile {
        scripted::with_seed(2, || self.tagged(self.body(store, count)))
    }

    /// The same with one KEK, the root key in slot 1 and a passphrase in slot 2.
    fn file_with_passphrase(&self, passphrase: &Passphrase) -> KeyringFile {
        scripted::with_seed(3, || {
            let mut body = self.body(STORE, 1);
            body.slots[1] = self.slot(STORE, 2, passphrase.into());
            self.tagged(body)
        })
    }

    /// The same, ready to seal.
    fn keyring(&self, store: StoreId, count: usize) -> Keyring {
        let keyring = Keyring::open(&self.file(store, count).encode(), &self.root).unwrap();
        keyring.set_uses(0, 1000);
        keyring
    }

    fn body(&self, store: StoreId, count: usize) -> Body {
        let current_kek = kek_id(count);
        let state = |id| if id == current_kek { KekState::Current } else { KekState::Retired };
        let keks = (1..=count).map(|n| {
            let at = Timestamp::from_unix_millis(1_763_769_600_000 + n as u64);
            let about = (at, state(kek_id(n)));
            let kek = &self.keks[n - 1];
            KekEntry::wrap(store, kek_id(n), about, kek, &self.keyring_key).unwrap()
        });
        let kinds = [
            (KeyKind::Metadata, &self.metadata_keys),
            (KeyKind::Audit, &self.audit_keys),
            (KeyKind::Token, &self.token_keys),
        ];
        let keys = kinds.into_iter().flat_map(|(kind, keys)| {
            (1..=count).map(move |n| {
                let kek = Kek::new(kek_id(n), &self.keks[n - 1]);
                KeyEntry::wrap(store, (kind, n as u32), &keys[n - 1], &kek).unwrap()
            })
        });
        Body {
            store,
            generation: count as u64,
            current_kek,
            keks: keks.collect(),
            keys: keys.collect(),
            slots: vec![
                self.slot(store, 1, (&self.root).into()),
                self.slot(store, 2, (&self.previous_root).into()),
            ],
        }
    }

    fn slot(&self, store: StoreId, id: u8, root: Unlock<'_>) -> Slot {
        let at = Timestamp::from_unix_millis(1_763_769_700_000 + u64::from(id));
        Slot::make(store, id, root, at, &self.keyring_key).unwrap()
    }

    /// Tags a body, whatever is in it.
    fn tagged(&self, body: Body) -> KeyringFile {
        KeyringFile::seal(body, &self.keyring_key).unwrap()
    }
}

fn kek_id(number: usize) -> KekId {
    KekId::new(u32::try_from(number).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn root_hex(root: &RootKey) -> String {
    use base64::Engine;
    let text = root.to_text();
    hex(&base64::engine::general_purpose::STANDARD.decode(text.as_str()).unwrap())
}

/// `bytes` with the byte at `at` replaced.
fn with_byte(bytes: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    assert_ne!(changed[at], byte, "the vector would change nothing");
    changed[at] = byte;
    changed
}

/// `bytes` with one bit of the byte at `at` flipped.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    with_byte(bytes, at, bytes[at] ^ 1)
}

fn extended(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}
