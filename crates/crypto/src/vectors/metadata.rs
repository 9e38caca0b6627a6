//! Metadata records.

use super::*;

const STORE_KEY: &[u8] = b"head/default/ml/hf-token";

fn seal(keyring: &Keyring, store_key: &[u8], seed: u64, text: &str) -> Vec<u8> {
    let seal = || keyring.seal_metadata(store_key, text.as_bytes()).unwrap();
    scripted::with_seed(seed, seal).into_bytes()
}

#[test]
fn metadata_vectors_are_those_committed() {
    let fixture = Fixture::make();
    let keyring = fixture.keyring(STORE, 2);
    let base = seal(&keyring, STORE_KEY, 20, "labels");
    let mut out = Vectors::new("Metadata records.", steps::of_metadata);
    out.add(
        "base",
        "success",
        "as sealed, under the newest metadata key",
        &[
            ("root", root_hex(&fixture.root)),
            ("keyring", hex(&fixture.file(STORE, 2).encode())),
            ("store-key", hex(STORE_KEY)),
            ("record", hex(&base)),
            ("plaintext", hex(b"labels")),
        ],
    );
    out.add(
        "empty",
        "success",
        "empty plaintext, empty store key",
        &[
            ("store-key", String::new()),
            ("record", hex(&seal(&keyring, b"", 21, ""))),
            ("plaintext", String::new()),
        ],
    );
    out.add(
        "older-key",
        "success",
        "sealed before the rotation",
        &[
            ("record", hex(&seal(&fixture.keyring(STORE, 1), STORE_KEY, 22, "old"))),
            ("plaintext", hex(b"old")),
        ],
    );

    let faults = [
        ("format-0", "no such format", with_byte(&base, 0, 0)),
        ("format-2", "a later format", with_byte(&base, 0, 2)),
        ("key-known", "names the older key, which does not open it", with_byte(&base, 4, 1)),
        ("key-unknown", "names a key that does not exist", with_byte(&base, 4, 3)),
        ("key-high", "the id's first byte", flipped(&base, 1)),
        ("nonce", "the nonce's first byte", flipped(&base, 5)),
        ("nonce-end", "the nonce's last byte", flipped(&base, 16)),
        ("ciphertext", "the ciphertext's first byte", flipped(&base, 17)),
        ("ciphertext-end", "the ciphertext's last byte", flipped(&base, 22)),
        ("tag", "the tag's first byte", flipped(&base, 23)),
        ("tag-end", "the tag's last byte", flipped(&base, 38)),
        ("nothing", "no byte at all", Vec::new()),
        ("truncated", "the last byte is missing", base[..38].to_vec()),
        ("extended", "one byte too many", extended(&base)),
        (
            "moved",
            "a record of another store key",
            seal(&keyring, b"head/default/ml/x", 20, "labels"),
        ),
    ];
    for (name, comment, record) in faults {
        out.add(name, "refused", comment, &[("record", hex(&record))]);
    }
    let store_keys = [
        ("store-key-byte", "the record was moved to a neighbour", flipped(STORE_KEY, 23)),
        ("store-key-shorter", "the last byte of its key is missing", STORE_KEY[..23].to_vec()),
        ("store-key-longer", "one byte more", extended(STORE_KEY)),
        ("store-key-empty", "no store key", Vec::new()),
    ];
    for (name, comment, store_key) in store_keys {
        out.add(name, "refused", comment, &[("store-key", hex(&store_key))]);
    }
    out.add(
        "store",
        "refused",
        "the same keys in another store",
        &[("keyring", hex(&fixture.file(OTHER_STORE, 2).encode()))],
    );
    out.compare("metadata.json");
}
