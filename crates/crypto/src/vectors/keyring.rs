//! Keyring files.

use ring::digest::{SHA256, digest};

use super::*;

// Where things are in a file with two KEKs, two metadata keys and two slots (FORMAT.md section 4).
const FORMAT: usize = 8;
const STORE_ID: usize = 10;
const GENERATION: usize = 26;
const CURRENT: usize = 34;
const KEK_COUNT: usize = 38;
const KEK_1: usize = 39;
const KEK_2: usize = KEK_1 + 13;
const KEY_COUNT: usize = KEK_2 + 13;
const KEY_1: usize = KEY_COUNT + 1;
const KEY_2: usize = KEY_1 + 69;
const SLOT_COUNT: usize = KEY_2 + 69;
const SLOT_1: usize = SLOT_COUNT + 1;
const SLOT_BYTES: usize = 6 + 2 * 60 + 28;
const SLOT_2: usize = SLOT_1 + SLOT_BYTES;
const CHECKSUM: usize = SLOT_2 + SLOT_BYTES;

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
    );
    out.add(
        "base",
        "success",
        "two KEKs, two metadata keys, two slots, opened by the current root key",
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
    out.compare("keyring.txt");
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
        ("format-2", "the next format", with_byte(file, FORMAT + 1, 2)),
        ("format-256", "the format's first byte", with_byte(file, FORMAT, 1)),
        (
            "format-2-only",
            "nothing behind a later format is looked at",
            b"TRESORKR\x00\x02".to_vec(),
        ),
    ];
    for (name, comment, bytes) in newer {
        out.add(name, "newer-format", comment, &[("keyring", hex(&bytes))]);
    }
}

/// Each field changed to another value that could stand there (the tag refuses), or to one that
/// could not (the layout does).
fn add_forged_fields(out: &mut Vectors, file: &[u8]) {
    let content = &file[..CHECKSUM];
    let fields = [
        ("store-id", "wrong-root-key", flipped(content, STORE_ID)),
        ("generation", "wrong-root-key", with_byte(content, GENERATION + 7, 9)),
        ("generation-0", "damaged", with_byte(content, GENERATION + 7, 0)),
        ("current-retired", "damaged", with_byte(content, CURRENT + 3, 1)),
        ("current-unknown", "damaged", with_byte(content, CURRENT + 3, 9)),
        ("kek-count-0", "damaged", with_byte(content, KEK_COUNT, 0)),
        ("kek-count-1", "damaged", with_byte(content, KEK_COUNT, 1)),
        ("kek-count-3", "damaged", with_byte(content, KEK_COUNT, 3)),
        ("kek-id-0", "damaged", with_byte(content, KEK_1 + 3, 0)),
        ("kek-id-twice", "damaged", with_byte(content, KEK_1 + 3, 2)),
        ("kek-created-at", "wrong-root-key", flipped(content, KEK_1 + 11)),
        ("kek-state-0", "damaged", with_byte(content, KEK_1 + 12, 0)),
        ("kek-state-current-twice", "damaged", with_byte(content, KEK_1 + 12, 1)),
        ("kek-state-retired-all", "damaged", with_byte(content, KEK_2 + 12, 2)),
        ("kek-state-3", "damaged", with_byte(content, KEK_2 + 12, 3)),
        ("key-count-0", "damaged", with_byte(content, KEY_COUNT, 0)),
        ("key-count-1", "damaged", with_byte(content, KEY_COUNT, 1)),
        ("key-count-3", "damaged", with_byte(content, KEY_COUNT, 3)),
        ("key-kind-1", "damaged", with_byte(content, KEY_1, 1)),
        ("key-kind-3", "damaged", with_byte(content, KEY_1, 3)),
        ("key-id", "wrong-root-key", with_byte(content, KEY_2 + 4, 9)),
        ("key-id-0", "damaged", with_byte(content, KEY_1 + 4, 0)),
        ("key-id-twice", "damaged", with_byte(content, KEY_1 + 4, 2)),
        ("key-kek", "wrong-root-key", with_byte(content, KEY_1 + 8, 2)),
        ("key-kek-unknown", "damaged", with_byte(content, KEY_1 + 8, 9)),
        ("key-nonce", "wrong-root-key", flipped(content, KEY_1 + 9)),
        ("key-wrapped", "wrong-root-key", flipped(content, KEY_1 + 21)),
        ("key-tag", "wrong-root-key", flipped(content, KEY_1 + 53)),
        ("slot-count-0", "damaged", with_byte(content, SLOT_COUNT, 0)),
        ("slot-count-1", "damaged", with_byte(content, SLOT_COUNT, 1)),
        ("slot-count-3", "damaged", with_byte(content, SLOT_COUNT, 3)),
        ("slot-id-0", "damaged", with_byte(content, SLOT_1, 0)),
        ("slot-id-twice", "damaged", with_byte(content, SLOT_1, 2)),
        ("slot-source-0", "damaged", with_byte(content, SLOT_1 + 1, 0)),
        ("slot-source-2", "damaged", with_byte(content, SLOT_1 + 1, 2)),
        ("slot-parameters", "damaged", with_byte(content, SLOT_1 + 5, 1)),
        ("slot-parameters-huge", "damaged", with_byte(content, SLOT_1 + 2, 0xff)),
        ("slot-kek-nonce", "wrong-root-key", flipped(content, SLOT_1 + 6)),
        ("slot-kek-wrapped", "wrong-root-key", flipped(content, SLOT_1 + 18)),
        ("slot-kek-tag", "wrong-root-key", flipped(content, SLOT_1 + 50)),
        ("slot-second-kek", "wrong-root-key", flipped(content, SLOT_1 + 66)),
        ("slot-tag-nonce", "wrong-root-key", flipped(content, SLOT_1 + 126)),
        ("slot-tag", "wrong-root-key", flipped(content, SLOT_1 + 138)),
        ("slot-tag-end", "wrong-root-key", flipped(content, SLOT_2 - 1)),
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
    let (body, slots) = content.split_at(SLOT_1);
    let (one, two) = slots.split_at(SLOT_BYTES);
    let one_slot = [&with_byte(body, SLOT_COUNT, 1), one].concat();
    let kek_wraps_exchanged = [
        &content[..SLOT_1 + 6],
        &content[SLOT_1 + 66..SLOT_1 + 126],
        &content[SLOT_1 + 6..SLOT_1 + 66],
        &content[SLOT_1 + 126..],
    ];
    let mut older = scripted::with_seed(31, || fixture.body(STORE, 2));
    older.generation = 1;
    let older = scripted::with_seed(32, || fixture.tagged(older)).encode();
    let mixed = [body, &older[SLOT_1..CHECKSUM]].concat();
    // KEK 1 renumbered to 3, in both places where its number stands.
    let keks_descend = with_byte(&with_byte(content, KEK_1 + 3, 3), KEY_1 + 8, 3);
    let forged = [
        ("keks-descend", "damaged", "KEK ids out of order", keks_descend),
        (
            "slot-dropped",
            "wrong-root-key",
            "the previous root key's slot cut off, count corrected",
            one_slot,
        ),
        ("slots-exchanged", "damaged", "slots out of order", [body, two, one].concat()),
        ("slot-doubled", "damaged", "a third slot", [content, two].concat()),
        (
            "keks-exchanged",
            "wrong-root-key",
            "the two KEKs exchanged in the slot",
            kek_wraps_exchanged.concat(),
        ),
        (
            "generations-mixed",
            "wrong-root-key",
            "slots of an older generation under this body",
            mixed,
        ),
        ("left-over", "damaged", "a byte between the slots and the checksum", extended(content)),
        (
            "other-slot",
            "success",
            "a slot does not answer for the other one",
            flipped(content, CHECKSUM - 1),
        ),
    ];
    for (name, expect, comment, content) in forged {
        out.add(name, expect, comment, &[("keyring", hex(&rechecked(&content)))]);
    }
    let previous = ("root", root_hex(&fixture.previous_root));
    let other = ("keyring", hex(&rechecked(&flipped(content, CHECKSUM - 1))));
    out.add(
        "other-slot-its-key",
        "wrong-root-key",
        "the same file, opened by the key of the slot that was changed",
        &[other, previous],
    );

    // What no attacker can write, and a bug could: tags are right, what they cover is not.
    let mut relabelled = scripted::with_seed(2, || fixture.body(STORE, 2));
    relabelled.metadata_keys[0].kek = KekId::new(2);
    let mut renumbered = scripted::with_seed(2, || fixture.body(STORE, 2));
    renumbered.metadata_keys[1].id = 9;
    for (name, comment, body) in [
        ("key-kek-tagged", "a metadata key under a KEK that did not wrap it", relabelled),
        ("key-id-tagged", "a metadata key under another number", renumbered),
    ] {
        let file = scripted::with_seed(33, || fixture.tagged(body)).encode();
        out.add(name, "damaged", comment, &[("keyring", hex(&file))]);
    }
}
