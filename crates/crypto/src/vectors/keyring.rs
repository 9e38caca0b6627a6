//! Keyring files.

use ring::digest::{SHA256, digest};

use super::*;
use crate::Argon2Cost;

// Where things are in a file with two KEKs, two keys of each kind and two slots (FORMAT.md section 4).
const FORMAT: usize = 8;
const STORE_ID: usize = 10;
const GENERATION: usize = 26;
const CURRENT: usize = 34;
const KEK_COUNT: usize = 38;
const KEK_1: usize = 39;
const KEK_2: usize = KEK_1 + 73;
const KEY_COUNT: usize = KEK_2 + 73;
const KEY_1: usize = KEY_COUNT + 1;
const KEY_2: usize = KEY_1 + 69;
const AUDIT_1: usize = KEY_2 + 69;
const AUDIT_2: usize = AUDIT_1 + 69;
const TOKEN_1: usize = AUDIT_2 + 69;
const TOKEN_2: usize = TOKEN_1 + 69;
const SLOT_COUNT: usize = TOKEN_2 + 69;
const SLOT_1: usize = SLOT_COUNT + 1;
const SLOT_BYTES: usize = 14 + 60;
const SLOT_2: usize = SLOT_1 + SLOT_BYTES;
const TAG_NONCE: usize = SLOT_2 + SLOT_BYTES;
const TAG: usize = TAG_NONCE + 12;
const CHECKSUM: usize = TAG + 16;

/// What an attacker writes: the content changed, the checksum made anew.
fn rechecked(content: &[u8]) -> Vec<u8> {
    [content, digest(&SHA256, content).as_ref()].concat()
}

#[test]
fn keyring_vectors_are_those_committed() {
    let fixture = Fixture::make();
    let file = fixture.file(STORE, 2).encode();
    assert_eq!(file.len(), CHECKSUM + 32);
    let mut out = Vectors::new(
        "Keyring files. `-forged` vectors carry a fresh checksum, as an attacker would write it.",
        steps::of_keyring,
    );
    out.add(
        "base",
        "success",
        "two KEKs, two keys of each kind, two slots, opened by the current root key",
        &[("root", root_hex(&fixture.root)), ("keyring", hex(&file))],
    );
    let previous = root_hex(&fixture.previous_root);
    out.add("previous-root", "success", "opened by the previous root key", &[("root", previous)]);
    out.add(
        "stranger",
        "wrong-root-key",
        "a root key without a slot",
        &[("root", "07".repeat(32))],
    );
    let first = scripted::with_seed(30, || {
        Keyring::make(STORE, &fixture.root, Timestamp::from_unix_millis(1)).unwrap().to_file()
    });
    out.add("fresh", "success", "as a new store's keyring is made", &[("keyring", hex(&first))]);

    add_plain_damage(&mut out, &file);
    add_forged_fields(&mut out, &file);
    add_forged_structure(&mut out, &fixture, &file);
    add_passphrase(&mut out, &fixture);
    out.compare("keyring.json");
}

fn add_plain_damage(out: &mut Vectors, file: &[u8]) {
    let damaged = [
        ("magic", "not a keyring file", flipped(file, 0)),
        ("format-0", "no such format", with_byte(file, FORMAT + 1, 0)),
        ("checksum", "the checksum's first byte", flipped(file, CHECKSUM)),
        ("checksum-end", "the checksum's last byte", flipped(file, CHECKSUM + 31)),
        ("nothing", "an empty file", Vec::new()),
        ("header-only", "magic and format, no more", file[..10].to_vec()),
        ("truncated", "the last byte is missing", file[..file.len() - 1].to_vec()),
        ("extended", "one byte too many", extended(file)),
    ];
    for (name, comment, bytes) in damaged {
        out.add(name, "damaged", comment, &[("keyring", hex(&bytes))]);
    }
    let newer = [
        ("format-4", "the next format", with_byte(file, FORMAT + 1, 4)),
        ("format-256", "the format's first byte", with_byte(file, FORMAT, 1)),
        (
            "format-4-only",
            "nothing behind a later format is looked at",
            b"TRESORKR\x00\x04".to_vec(),
        ),
    ];
    for (name, comment, bytes) in newer {
        out.add(name, "newer-format", comment, &[("keyring", hex(&bytes))]);
    }
    for format in [1, 2] {
        let older = ("keyring", hex(&with_byte(file, FORMAT + 1, format)));
        let (name, comment) = (format!("format-{format}"), "a format of before the first release");
        out.add(&name, "older-format", comment, &[older]);
    }
}

/// Each field changed to another value that could stand there (the tag refuses), or to one that
/// could not (the layout does).
fn add_forged_fields(out: &mut Vectors, file: &[u8]) {
    let content = &file[..CHECKSUM];
    let fields = [
        ("store-id", "wrong-root-key", flipped(content, STORE_ID)),
        ("generation", "damaged", with_byte(content, GENERATION + 7, 9)),
        ("generation-0", "damaged", with_byte(content, GENERATION + 7, 0)),
        ("current-retired", "damaged", with_byte(content, CURRENT + 3, 1)),
        ("current-unknown", "damaged", with_byte(content, CURRENT + 3, 9)),
        ("kek-count-0", "damaged", with_byte(content, KEK_COUNT, 0)),
        ("kek-count-1", "damaged", with_byte(content, KEK_COUNT, 1)),
        ("kek-count-3", "damaged", with_byte(content, KEK_COUNT, 3)),
        ("kek-id-0", "damaged", with_byte(content, KEK_1 + 3, 0)),
        ("kek-id-twice", "damaged", with_byte(content, KEK_1 + 3, 2)),
        ("kek-created-at", "damaged", flipped(content, KEK_1 + 11)),
        ("kek-state-0", "damaged", with_byte(content, KEK_1 + 12, 0)),
        ("kek-state-current-twice", "damaged", with_byte(content, KEK_1 + 12, 1)),
        ("kek-state-retired-all", "damaged", with_byte(content, KEK_2 + 12, 2)),
        ("kek-state-3", "damaged", with_byte(content, KEK_2 + 12, 3)),
        ("kek-nonce", "damaged", flipped(content, KEK_1 + 13)),
        ("kek-wrapped", "damaged", flipped(content, KEK_1 + 25)),
        ("kek-tag", "damaged", flipped(content, KEK_1 + 57)),
        ("key-count-0", "damaged", with_byte(content, KEY_COUNT, 0)),
        ("key-count-1", "damaged", with_byte(content, KEY_COUNT, 1)),
        ("key-count-5", "damaged", with_byte(content, KEY_COUNT, 5)),
        ("key-count-7", "damaged", with_byte(content, KEY_COUNT, 7)),
        ("key-kind-1", "damaged", with_byte(content, KEY_1, 1)),
        ("key-kind-3", "damaged", with_byte(content, KEY_1, 3)),
        ("key-kind-5", "damaged", with_byte(content, TOKEN_2, 5)),
        ("key-kind-audit-as-token", "damaged", with_byte(content, AUDIT_2, 4)),
        ("key-kind-token-as-audit", "damaged", with_byte(content, TOKEN_1, 3)),
        ("key-id", "damaged", with_byte(content, KEY_2 + 4, 9)),
        ("key-id-0", "damaged", with_byte(content, KEY_1 + 4, 0)),
        ("key-id-twice", "damaged", with_byte(content, KEY_1 + 4, 2)),
        ("key-kek", "damaged", with_byte(content, KEY_1 + 8, 2)),
        ("key-kek-unknown", "damaged", with_byte(content, KEY_1 + 8, 9)),
        ("key-nonce", "damaged", flipped(content, KEY_1 + 9)),
        ("key-wrapped", "damaged", flipped(content, KEY_1 + 21)),
        ("key-tag", "damaged", flipped(content, KEY_1 + 53)),
        ("audit-key-id-0", "damaged", with_byte(content, AUDIT_1 + 4, 0)),
        ("audit-key-id-twice", "damaged", with_byte(content, AUDIT_1 + 4, 2)),
        ("audit-key-kek-unknown", "damaged", with_byte(content, AUDIT_1 + 8, 9)),
        ("audit-key-older-wrapped", "damaged", flipped(content, AUDIT_1 + 21)),
        ("audit-key-wrapped", "damaged", flipped(content, AUDIT_2 + 21)),
        ("token-key-id-0", "damaged", with_byte(content, TOKEN_1 + 4, 0)),
        ("token-key-id-twice", "damaged", with_byte(content, TOKEN_1 + 4, 2)),
        ("token-key-kek-unknown", "damaged", with_byte(content, TOKEN_1 + 8, 9)),
        ("token-key-older-wrapped", "damaged", flipped(content, TOKEN_1 + 21)),
        ("token-key-wrapped", "damaged", flipped(content, TOKEN_2 + 21)),
        ("slot-count-0", "damaged", with_byte(content, SLOT_COUNT, 0)),
        ("slot-count-1", "damaged", with_byte(content, SLOT_COUNT, 1)),
        ("slot-count-3", "damaged", with_byte(content, SLOT_COUNT, 3)),
        ("slot-id-0", "damaged", with_byte(content, SLOT_1, 0)),
        ("slot-id-3", "damaged", with_byte(content, SLOT_2, 3)),
        ("slot-id-twice", "damaged", with_byte(content, SLOT_1, 2)),
        ("slot-source-0", "damaged", with_byte(content, SLOT_1 + 1, 0)),
        ("slot-source-2", "damaged", with_byte(content, SLOT_1 + 1, 2)),
        ("slot-source-3", "damaged", with_byte(content, SLOT_1 + 1, 3)),
        ("slot-created-at", "wrong-root-key", flipped(content, SLOT_1 + 9)),
        ("slot-parameters", "damaged", with_byte(content, SLOT_1 + 13, 1)),
        ("slot-parameters-huge", "damaged", with_byte(content, SLOT_1 + 10, 0xff)),
        ("slot-nonce", "wrong-root-key", flipped(content, SLOT_1 + 14)),
        ("slot-wrapped", "wrong-root-key", flipped(content, SLOT_1 + 26)),
        ("slot-tag", "wrong-root-key", flipped(content, SLOT_1 + 58)),
        ("slot-tag-end", "wrong-root-key", flipped(content, SLOT_2 - 1)),
        ("other-slot", "damaged", flipped(content, SLOT_2 + 26)),
        ("tag-nonce", "damaged", flipped(content, TAG_NONCE)),
        ("tag", "damaged", flipped(content, TAG)),
        ("tag-end", "damaged", flipped(content, CHECKSUM - 1)),
    ];
    for (field, expect, changed) in fields {
        let plain = [&changed, &file[CHECKSUM..]].concat();
        let comment = format!("{field} changed on a bad disk");
        out.add(field, "damaged", &comment, &[("keyring", hex(&plain))]);
        let (name, comment) = (format!("{field}-forged"), format!("{field} changed on purpose"));
        out.add(&name, expect, &comment, &[("keyring", hex(&rechecked(&changed)))]);
    }
}

fn add_forged_structure(out: &mut Vectors, fixture: &Fixture, file: &[u8]) {
    let content = &file[..CHECKSUM];
    let (body, rest) = content.split_at(SLOT_1);
    let (slots, tag) = rest.split_at(2 * SLOT_BYTES);
    let (one, two) = slots.split_at(SLOT_BYTES);
    let one_slot = |slot: &[u8]| [&with_byte(body, SLOT_COUNT, 1), slot, tag].concat();
    let kek_wraps_exchanged = [
        &content[..KEK_1 + 13],
        &content[KEK_2 + 13..KEY_COUNT],
        &content[KEK_2..KEK_2 + 13],
        &content[KEK_1 + 13..KEK_2],
        &content[KEY_COUNT..],
    ];
    let mut older = scripted::with_seed(31, || fixture.body(STORE, 2));
    older.generation = 1;
    let older = scripted::with_seed(32, || fixture.tagged(older)).encode();
    let mixed = [body, &older[SLOT_1..CHECKSUM]].concat();
    // KEK 1 renumbered to 3, in both places where its number stands.
    let keks_descend = with_byte(&with_byte(content, KEK_1 + 3, 3), KEY_1 + 8, 3);
    let forged = [
        ("keks-descend", "damaged", "KEK ids out of order", keks_descend),
        ("slot-dropped", "damaged", "the second slot cut off, count corrected", one_slot(one)),
        ("own-slot-dropped", "wrong-root-key", "the same with the first one", one_slot(two)),
        ("slots-exchanged", "damaged", "slots out of order", [body, two, one, tag].concat()),
        ("slot-doubled", "damaged", "a third slot", [body, slots, two, tag].concat()),
        (
            "slot-renumbered",
            "wrong-root-key",
            "the first slot put in the second one's place",
            [body, &with_byte(two, 0, 1), &with_byte(one, 0, 2), tag].concat(),
        ),
        (
            "keks-exchanged",
            "damaged",
            "the two KEKs' wraps exchanged",
            kek_wraps_exchanged.concat(),
        ),
        (
            "generations-mixed",
            "damaged",
            "slots and tag of an older generation under this body",
            mixed,
        ),
        ("left-over", "damaged", "a byte between the tag and the checksum", extended(content)),
    ];
    for (name, expect, comment, content) in forged {
        out.add(name, expect, comment, &[("keyring", hex(&rechecked(&content)))]);
    }
    add_tagged_mistakes(out, fixture);
}

/// What no attacker can write, and a bug could: the tag is right, what it covers is not.
fn add_tagged_mistakes(out: &mut Vectors, fixture: &Fixture) {
    let mut relabelled = scripted::with_seed(2, || fixture.body(STORE, 2));
    relabelled.keys[0].kek = KekId::new(2);
    let mut renumbered = scripted::with_seed(2, || fixture.body(STORE, 2));
    renumbered.keys[1].id = 9;
    let mut kek_renumbered = scripted::with_seed(2, || fixture.body(STORE, 2));
    kek_renumbered.keks[1].id = KekId::new(9);
    for key in kek_renumbered.keys.iter_mut().filter(|key| key.id == 2) {
        key.kek = KekId::new(9);
    }
    kek_renumbered.current_kek = KekId::new(9);
    let changed = |change: fn(&mut Vec<KeyEntry>)| {
        let mut body = scripted::with_seed(2, || fixture.body(STORE, 2));
        change(&mut body.keys);
        body
    };
    let without = |kind| {
        scripted::with_seed(2, || {
            let mut body = fixture.body(STORE, 2);
            body.keys.retain(|key| key.kind != kind);
            body
        })
    };
    for (name, comment, body) in [
        ("no-metadata-key-tagged", "no key of kind 2", without(KeyKind::Metadata)),
        ("no-audit-key-tagged", "no key of kind 3", without(KeyKind::Audit)),
        ("no-token-key-tagged", "no key of kind 4", without(KeyKind::Token)),
        ("kinds-descend-tagged", "kinds out of order", changed(|keys| keys.rotate_left(2))),
        ("kinds-mixed-tagged", "kinds in turn", changed(|keys| keys.swap(1, 2))),
        ("ids-descend-tagged", "ids of a kind out of order", changed(|keys| keys.swap(4, 5))),
        (
            "key-kind-tagged",
            "an audit key as a token key",
            changed(|keys| {
                keys.remove(4);
                keys[3].kind = KeyKind::Token;
                keys[3].id = 1;
            }),
        ),
        ("kek-id-tagged", "a KEK under another number", kek_renumbered),
        ("key-kek-tagged", "a metadata key under a KEK that did not wrap it", relabelled),
        ("key-id-tagged", "a metadata key under another number", renumbered),
    ] {
        let file = scripted::with_seed(33, || fixture.tagged(body)).encode();
        out.add(name, "damaged", comment, &[("keyring", hex(&file))]);
    }
}

// Where things are in the second slot of a file with one KEK and one key of each kind, when its root
// key comes from a passphrase.
const PASSPHRASE_SLOT: usize = SLOT_2 - 73 - 3 * 69;
const PARAMETERS_LENGTH: usize = PASSPHRASE_SLOT + 10;
const MEMORY: usize = PASSPHRASE_SLOT + 14;
const ITERATIONS: usize = MEMORY + 4;
const LANES: usize = ITERATIONS + 4;
const SALT: usize = LANES + 4;

const PASSPHRASE: &str = "correct horse battery staple";

fn add_passphrase(out: &mut Vectors, fixture: &Fixture) {
    let passphrase = Passphrase::from_text(PASSPHRASE).unwrap();
    let file = fixture.file_with_passphrase(&passphrase).encode();
    let salt = file[SALT..SALT + 16].try_into().unwrap();
    let derive = |passphrase: &Passphrase| {
        root_hex(&passphrase.derive_root_key(Argon2Cost::RECOMMENDED, salt).ok().unwrap())
    };
    let mut add = |name: &str, expect: &str, comment: &str, text: &str, file: &[u8]| {
        let derived = derive(&Passphrase::from_text(text).unwrap());
        let fields = [("passphrase", text.into()), ("derived", derived), ("keyring", hex(file))];
        out.add(name, expect, comment, &fields);
    };
    add("passphrase", "success", "slot 2, opened by its passphrase", PASSPHRASE, &file);
    add("passphrase-wrong", "wrong-root-key", "another passphrase", "Correct horse", &file);
    let content = &file[..file.len() - 32];
    let forged = [
        ("memory-more", "wrong-root-key", with_byte(content, MEMORY + 3, 1)),
        ("memory-less", "damaged", with_byte(content, MEMORY + 1, 0)),
        ("memory-huge", "damaged", with_byte(content, MEMORY, 0xff)),
        ("iterations-4", "wrong-root-key", with_byte(content, ITERATIONS + 3, 4)),
        ("iterations-2", "damaged", with_byte(content, ITERATIONS + 3, 2)),
        ("iterations-huge", "damaged", with_byte(content, ITERATIONS, 0xff)),
        ("lanes-3", "wrong-root-key", with_byte(content, LANES + 3, 3)),
        ("lanes-0", "damaged", with_byte(content, LANES + 3, 0)),
        ("lanes-17", "damaged", with_byte(content, LANES + 3, 17)),
        ("salt", "wrong-root-key", flipped(content, SALT)),
        ("length-27", "damaged", with_byte(content, PARAMETERS_LENGTH + 3, 27)),
        ("length-29", "damaged", with_byte(content, PARAMETERS_LENGTH + 3, 29)),
        ("source-raw", "damaged", with_byte(content, PASSPHRASE_SLOT + 1, 1)),
    ];
    for (name, expect, content) in forged {
        let (name, comment) = (format!("passphrase-{name}-forged"), format!("Argon2id: {name}"));
        add(&name, expect, &comment, PASSPHRASE, &rechecked(&content));
    }
    // Beside a passphrase's slot, a root key's own opens as ever.
    out.add("passphrase-other", "success", "slot 1 of it", &[("keyring", hex(&file))]);
}
