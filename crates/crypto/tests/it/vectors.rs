//! Checks the committed vectors: by the crate, and by hand with each library.

use std::collections::BTreeMap;

use crypto::{
    KekId, Keyring, KeyringError, Passphrase, PayloadContext, PublicKey, RootKey, verify_signature,
};
use domain::{SecretType, Timestamp, Uid};
use ring::signature::Ed25519KeyPair;

use crate::by_hand::{LIBRARIES, Place, label, slots};

/// A vector's fields, with what it inherits.
struct Vector(BTreeMap<String, String>);

impl Vector {
    fn text(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("{:?} lacks {field}", self.0.get("name")))
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let digits = self.text(field).as_bytes();
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn root(&self) -> RootKey {
        RootKey::from_text(self.text("root")).unwrap()
    }

    /// Opens the keyring with the passphrase, if there is one, and else with the root key.
    fn open(&self) -> Result<Keyring, KeyringError> {
        let file = self.bytes("keyring");
        match self.0.get("passphrase") {
            Some(text) => Keyring::open(&file, &Passphrase::from_text(text).unwrap()),
            None => Keyring::open(&file, &self.root()),
        }
    }

    /// What opening should give: the plaintext, or nothing.
    fn expected(&self) -> Option<Vec<u8>> {
        match self.text("expect") {
            "success" => Some(self.bytes("plaintext")),
            "refused" => None,
            other => panic!("unknown expectation {other}"),
        }
    }
}

/// The vectors of a file; each inherits from the first one.
fn read(file: &str) -> Vec<Vector> {
    #[derive(serde::Deserialize)]
    struct File {
        vectors: Vec<BTreeMap<String, String>>,
    }
    let stated = serde_json::from_str::<File>(file).unwrap().vectors;
    assert!(stated.len() > 10, "the file was not understood");
    let first = stated[0].clone();
    stated.into_iter().map(|own| Vector(first.clone().into_iter().chain(own).collect())).collect()
}

/// One use of AES-GCM that a vector states: what is sealed under which key and bound to what.
struct Step<'a> {
    key: &'a [u8],
    associated: &'a [u8],
    plaintext: &'a [u8],
    /// Nonce, ciphertext and tag.
    sealed: &'a [u8],
}

impl Step<'_> {
    /// It is so with both libraries, in both directions, and not without its associated data.
    fn holds(&self, name: &str) {
        let (nonce, sealed) = self.sealed.split_at(12);
        for library in &LIBRARIES {
            let made = (library.seal)(self.key, nonce, self.associated, self.plaintext);
            assert_eq!(made, sealed, "{} {name}", library.name);
            let open = |associated| (library.open)(self.key, nonce, associated, sealed);
            assert_eq!(open(self.associated).as_deref(), Some(self.plaintext), "{name}");
            assert_eq!(open(&[]), None, "{} {name} without what binds it", library.name);
        }
    }

    /// A record that is refused under the key and associated data of where it is read.
    fn is_refused(&self, name: &str) {
        for library in LIBRARIES.iter().filter(|_| self.sealed.len() >= 28) {
            let (nonce, sealed) = self.sealed.split_at(12);
            let opened = (library.open)(self.key, nonce, self.associated, sealed);
            assert_eq!(opened, None, "{} {name}", library.name);
        }
    }
}

/// The steps that a vector states, key by key, and nothing of this crate: whoever has AES-GCM can
/// follow them.
#[test]
fn every_step_of_every_vector_holds_with_each_library() {
    for vector in read(include_str!("../vectors/payload.json")) {
        let [wrap, payload, kek, data_key, payload_ad, plaintext] =
            ["wrap", "payload", "kek", "data-key", "payload-ad", "plaintext"]
                .map(|field| vector.bytes(field));
        let wrap_ad = vector.bytes("wrap-ad");
        let (wrapped, sealed) = (wrap.get(5..).unwrap_or(&[]), payload.get(1..).unwrap_or(&[]));
        let outer = Step { key: &kek, associated: &wrap_ad, plaintext: &data_key, sealed: wrapped };
        let inner = Step { key: &data_key, associated: &payload_ad, plaintext: &plaintext, sealed };
        let name = vector.text("name");
        if vector.expected().is_some() {
            outer.holds(name);
            inner.holds(name);
        } else if name.starts_with("wrap-bound-") {
            outer.is_refused(name);
            inner.holds(name);
        } else if name.starts_with("payload-bound-") {
            outer.holds(name);
            inner.is_refused(name);
        }
        let number = |field: &str| vector.text(field).parse::<u64>().unwrap();
        let (version, kind) = (number("version"), u8::try_from(number("type")).unwrap());
        let (store, uid) = (&vector.bytes("keyring")[10..26], vector.bytes("uid"));
        let place = [store, &uid, &version.to_be_bytes(), &[kind]].concat();
        assert_eq!(payload_ad, [&label("tresor/1/payload"), &place[..]].concat(), "{name}");
        if let Some(kek_id) = wrap.get(1..5) {
            assert_eq!(wrap_ad, [&label("tresor/1/wrap"), &place, kek_id].concat(), "{name}");
        }
    }
    for vector in read(include_str!("../vectors/metadata.json")) {
        let [key, associated, record, plaintext] =
            ["metadata-key", "metadata-ad", "record", "plaintext"].map(|field| vector.bytes(field));
        let sealed = record.get(5..).unwrap_or(&[]);
        let step = Step { key: &key, associated: &associated, plaintext: &plaintext, sealed };
        if let Some(id) = record.get(1..5) {
            let (store, store_key) = (&vector.bytes("keyring")[10..26], vector.bytes("store-key"));
            let bound = [&label("tresor/1/metadata"), store, id, &store_key].concat();
            assert!(associated == bound || record[0] != 1, "{}", vector.text("name"));
        }
        match vector.expected() {
            Some(_) => step.holds(vector.text("name")),
            // What begins with another format number or key is refused before it is tried.
            None if record.first() == Some(&1) && record[1..5] == [0, 0, 0, 2] => {
                step.is_refused(vector.text("name"));
            }
            None => {}
        }
    }
    let keyrings = read(include_str!("../vectors/keyring.json"));
    for vector in keyrings.iter().filter(|vector| vector.text("expect") == "success") {
        every_step_of_a_keyring_holds(vector);
    }
}

fn every_step_of_a_keyring_holds(vector: &Vector) {
    let (name, file) = (vector.text("name"), vector.bytes("keyring"));
    let (body, tag) = file[..file.len() - 32].split_at(file.len() - 60);
    let keyring_key = vector.bytes("keyring-key");
    let root = vector.bytes(if vector.0.contains_key("passphrase") { "derived" } else { "root" });
    let keks_end = 39 + 73 * usize::from(body[38]);
    let keys_end = keks_end + 1 + 69 * usize::from(body[keks_end]);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let holds = |key: &[u8], associated: &str, plaintext: &[u8], sealed: &[u8]| {
        let associated = vector.bytes(associated);
        Step { key, associated: &associated, plaintext, sealed }.holds(name);
    };
    for (head, wrap) in slots(&body[keys_end + 1..]) {
        if head[0].to_string() == vector.text("slot") {
            holds(&root, &format!("slot-{}-ad", head[0]), &keyring_key, wrap);
        }
    }
    holds(&keyring_key, "tag-ad", b"", tag);
    for entry in body[39..keks_end].chunks(73) {
        let kek = format!("kek-{}", number(&entry[..4]));
        holds(&keyring_key, &format!("{kek}-ad"), &vector.bytes(&kek), &entry[13..]);
    }
    for entry in body[keks_end + 1..keys_end].chunks(69) {
        let key = format!("key-{}-{}", entry[0], number(&entry[1..5]));
        let kek = vector.bytes(&format!("kek-{}", number(&entry[5..9])));
        holds(&kek, &format!("{key}-ad"), &vector.bytes(&key), &entry[9..]);
    }
}

#[test]
fn payload_vectors_hold() {
    for vector in read(include_str!("../vectors/payload.json")) {
        let (uid, version) = (vector.bytes("uid"), vector.text("version").parse().unwrap());
        let kind: u8 = vector.text("type").parse().unwrap();
        let (wrap, payload) = (vector.bytes("wrap"), vector.bytes("payload"));
        let context = PayloadContext {
            uid: Uid::from_bytes(uid[..].try_into().unwrap()),
            version,
            kind: SecretType::from_code(kind).unwrap(),
        };
        let keyring = Keyring::open(&vector.bytes("keyring"), &vector.root()).unwrap();
        let opened = keyring.open_payload(&context, &wrap, &payload).ok();
        // EXPOSE: a test compares the bytes.
        let opened = opened.map(|plaintext| plaintext.expose().to_vec());
        assert_eq!(opened, vector.expected(), "{}", vector.text("name"));
        for library in &LIBRARIES {
            let place = Place { uid: &uid, version, kind };
            let keys = library.open_keyring(&vector.bytes("keyring"), &vector.bytes("root"));
            let opened = library.open_payload(&keys.unwrap(), &place, &wrap, &payload);
            assert_eq!(opened, vector.expected(), "{} {}", library.name, vector.text("name"));
        }
    }
}

#[test]
fn metadata_vectors_hold() {
    for vector in read(include_str!("../vectors/metadata.json")) {
        let (store_key, record) = (vector.bytes("store-key"), vector.bytes("record"));
        let keyring = Keyring::open(&vector.bytes("keyring"), &vector.root()).unwrap();
        let opened = keyring.open_metadata(&store_key, &record).ok();
        // EXPOSE: a test compares the bytes.
        let opened = opened.map(|plaintext| plaintext.expose().to_vec());
        assert_eq!(opened, vector.expected(), "{}", vector.text("name"));
        for library in &LIBRARIES {
            let keys = library.open_keyring(&vector.bytes("keyring"), &vector.bytes("root"));
            let opened = library.open_metadata(&keys.unwrap(), &store_key, &record);
            assert_eq!(opened, vector.expected(), "{} {}", library.name, vector.text("name"));
        }
    }
}

/// What the layout refuses is refused before any key is tried: the answer of [`Keyring::slots`],
/// which has none.
#[test]
fn a_keyring_out_of_form_is_refused_by_its_layout() {
    let faults = [
        "generation-0-forged",
        "current-retired-forged",
        "current-unknown-forged",
        "kek-id-0-forged",
        "kek-id-twice-forged",
        "kek-state-0-forged",
        "kek-state-current-twice-forged",
        "kek-state-retired-all-forged",
        "kek-state-3-forged",
        "keks-descend",
        "key-kind-1-forged",
        "key-kind-3-forged",
        "key-kind-5-forged",
        "key-id-0-forged",
        "key-id-twice-forged",
        "key-kek-unknown-forged",
        "audit-key-id-0-forged",
        "audit-key-kek-unknown-forged",
        "token-key-id-twice-forged",
        "token-key-kek-unknown-forged",
        "no-metadata-key-tagged",
        "no-audit-key-tagged",
        "no-token-key-tagged",
        "kinds-descend-tagged",
        "kinds-mixed-tagged",
        "ids-descend-tagged",
        "slot-id-0-forged",
        "slot-id-3-forged",
        "slot-id-twice-forged",
        "slots-exchanged",
        "left-over",
    ];
    let vectors = read(include_str!("../vectors/keyring.json"));
    for fault in faults {
        let vector = vectors.iter().find(|vector| vector.text("name") == fault).unwrap();
        let slots = Keyring::slots(&vector.bytes("keyring"));
        assert_eq!(slots.err(), Some(KeyringError::Damaged), "{fault}");
    }
    assert!(Keyring::slots(&vectors[0].bytes("keyring")).is_ok());
}

/// The first keyring is one as a rotation leaves it.
#[test]
fn the_newest_key_of_each_kind_is_current() {
    let vectors = read(include_str!("../vectors/keyring.json"));
    let keyring = vectors[0].open().unwrap();
    assert_eq!((keyring.generation(), keyring.current_kek()), (2, KekId::new(2)));
    assert_eq!((keyring.audit_key().id, keyring.token_key().id), (2, 2));
}

#[test]
fn signature_vectors_hold() {
    for vector in read(include_str!("../vectors/signature.json")) {
        let (name, id) = (vector.text("name"), vector.text("id").parse().unwrap());
        let (message, signature) = (vector.bytes("message"), vector.bytes("signature"));
        let public: [u8; 32] = vector.bytes("public").try_into().unwrap();
        let expected = vector.text("expect") == "success";
        let keyring = Keyring::open(&vector.bytes("keyring"), &vector.root()).unwrap();
        let verifies = if vector.text("kind") == "token" {
            keyring.verify_token(id, &message, &signature)
        } else {
            assert_eq!(keyring.audit_key(), PublicKey { id, bytes: public });
            verify_signature(&public, &message, &signature)
        };
        assert_eq!(verifies, expected, "{name}");
        let keys = LIBRARIES[0].open_keyring(&vector.bytes("keyring"), &vector.bytes("root"));
        let by_hand = keys.unwrap().verify(vector.text("kind"), id, &message, &signature);
        assert_eq!(by_hand, expected, "{name} by hand");
        if expected {
            let pair = Ed25519KeyPair::from_seed_unchecked(&vector.bytes("seed")).unwrap();
            assert_eq!(pair.sign(&message).as_ref(), signature, "{name} is made again");
        }
    }
}

#[test]
fn token_vectors_hold() {
    for vector in read(include_str!("../vectors/token.json")) {
        let (name, text) = (vector.text("name"), vector.text("token"));
        let now: u64 = vector.text("now").parse().unwrap();
        let jti = (vector.text("expect") == "success").then(|| vector.bytes("jti"));
        let keyring = Keyring::open(&vector.bytes("keyring"), &vector.root()).unwrap();
        let token = keyring.read_jwt(text, Timestamp::from_unix_millis(1000 * now));
        assert_eq!(token.map(|token| token.jti.as_bytes().to_vec()), jti, "{name}");
        let keys = LIBRARIES[0].open_keyring(&vector.bytes("keyring"), &vector.bytes("root"));
        assert_eq!(keys.unwrap().read_jwt(text, now), jti, "{name} by hand");
    }
}

#[test]
fn keyring_vectors_hold() {
    for vector in read(include_str!("../vectors/keyring.json")) {
        let (name, file) = (vector.text("name"), vector.bytes("keyring"));
        let outcome = match vector.open() {
            Ok(keyring) => {
                assert_eq!(keyring.to_file(), file, "{name} is written back as it was read");
                "success"
            }
            Err(KeyringError::Damaged) => "damaged",
            Err(KeyringError::NewerFormat { .. }) => "newer-format",
            Err(KeyringError::NoMemory) => "no-memory",
            Err(KeyringError::OlderFormat { .. }) => "older-format",
            Err(KeyringError::WrongRootKey) => "wrong-root-key",
        };
        assert_eq!(outcome, vector.text("expect"), "{name}");
        // The second reader assumes an honest layout, so it sees the vectors that have one. It
        // takes from the vector which root key the passphrase gives.
        if matches!(outcome, "success" | "wrong-root-key") {
            let root = if vector.0.contains_key("passphrase") { "derived" } else { "root" };
            for library in &LIBRARIES {
                let opened = library.open_keyring(&file, &vector.bytes(root));
                assert_eq!(opened.is_some(), outcome == "success", "{} {name}", library.name);
            }
        }
    }
}

/// Every accepted vector, cut at each length, longer by a byte, and with each bit flipped.
#[test]
fn no_shortened_lengthened_or_flipped_vector_is_accepted() {
    let files = [include_str!("../vectors/payload.json"), include_str!("../vectors/metadata.json")];
    for vector in files.iter().flat_map(|file| read(file)).filter(|v| v.expected().is_some()) {
        let keyring = Keyring::open(&vector.bytes("keyring"), &vector.root()).unwrap();
        let name = vector.text("name");
        if vector.0.contains_key("record") {
            let (store_key, record) = (vector.bytes("store-key"), vector.bytes("record"));
            let opens = |record: &[u8]| keyring.open_metadata(&store_key, record).is_ok();
            all_changes_are_refused(name, &record, opens);
        } else {
            let (wrap, payload) = (vector.bytes("wrap"), vector.bytes("payload"));
            let context = PayloadContext {
                uid: Uid::from_bytes(vector.bytes("uid")[..].try_into().unwrap()),
                version: vector.text("version").parse().unwrap(),
                kind: SecretType::from_code(vector.text("type").parse().unwrap()).unwrap(),
            };
            let opens =
                |wrap: &[u8], payload: &[u8]| keyring.open_payload(&context, wrap, payload).is_ok();
            all_changes_are_refused(name, &wrap, |wrap| opens(wrap, &payload));
            all_changes_are_refused(name, &payload, |payload| opens(&wrap, payload));
        }
    }
}

#[test]
fn no_shortened_lengthened_or_flipped_keyring_is_accepted() {
    for vector in read(include_str!("../vectors/keyring.json")) {
        if matches!(vector.text("name"), "base" | "fresh") {
            let (name, root) = (vector.text("name"), vector.root());
            let opens = |file: &[u8]| Keyring::open(file, &root).is_ok();
            all_changes_are_refused(name, &vector.bytes("keyring"), opens);
        }
    }
}

fn all_changes_are_refused(name: &str, good: &[u8], opens: impl Fn(&[u8]) -> bool) {
    assert!(opens(good), "{name}");
    for length in 0..good.len() {
        assert!(!opens(&good[..length]), "{name} cut to {length}");
    }
    for extra in [0, 1, 0xff] {
        assert!(!opens(&[good, &[extra]].concat()), "{name} with {extra} behind it");
    }
    for bit in 0..8 * good.len() {
        let mut changed = good.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&changed), "{name} with bit {bit} flipped");
    }
}
