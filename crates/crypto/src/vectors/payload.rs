//! Payload and wrap records.

use domain::{Plaintext, SecretType, Uid};

use super::*;
use crate::{PayloadContext, SealedVersion};

const CONTEXT: PayloadContext = PayloadContext {
    uid: Uid::from_bytes(*b"uid of a secret."),
    version: 1,
    kind: SecretType::Opaque,
};

fn seal(keyring: &Keyring, context: &PayloadContext, seed: u64, text: &str) -> SealedVersion {
    let plaintext = Plaintext::new(text.as_bytes().to_vec());
    scripted::with_seed(seed, || keyring.seal_payload(context, &plaintext).unwrap())
}

#[test]
fn payload_vectors_are_those_committed() {
    let fixture = Fixture::make();
    let keyring = fixture.keyring(STORE, 2);
    let base = seal(&keyring, &CONTEXT, 10, "value");
    let (wrap, payload) = (base.wrapped_key.as_bytes(), base.payload.as_bytes());
    let next = PayloadContext { version: 2, ..CONTEXT };
    let second = seal(&keyring, &next, 11, "value 2");
    let (second_wrap, second_payload) =
        (hex(second.wrapped_key.as_bytes()), hex(second.payload.as_bytes()));

    let mut out =
        Vectors::new("Payload records and the wrap records of their keys.", steps::of_payload);
    out.add(
        "base",
        "success",
        "as sealed, under the current KEK",
        &[
            ("root", root_hex(&fixture.root)),
            ("keyring", hex(&fixture.file(STORE, 2).encode())),
            ("uid", hex(CONTEXT.uid.as_bytes())),
            ("version", CONTEXT.version.to_string()),
            ("type", CONTEXT.kind.code().to_string()),
            ("wrap", hex(wrap)),
            ("payload", hex(payload)),
            ("plaintext", hex(b"value")),
        ],
    );

    let empty = seal(&keyring, &CONTEXT, 12, "");
    out.add(
        "empty",
        "success",
        "an empty plaintext is a plaintext",
        &[
            ("wrap", hex(empty.wrapped_key.as_bytes())),
            ("payload", hex(empty.payload.as_bytes())),
            ("plaintext", String::new()),
        ],
    );
    let edge = PayloadContext { version: u64::MAX, kind: SecretType::Registry, ..CONTEXT };
    let sealed = seal(&keyring, &edge, 13, "value");
    out.add(
        "edge",
        "success",
        "the largest version, another type",
        &[
            ("version", u64::MAX.to_string()),
            ("type", SecretType::Registry.code().to_string()),
            ("wrap", hex(sealed.wrapped_key.as_bytes())),
            ("payload", hex(sealed.payload.as_bytes())),
        ],
    );
    let old = seal(&fixture.keyring(STORE, 1), &CONTEXT, 14, "old");
    out.add(
        "retired-kek",
        "success",
        "wrapped before the rotation, under the KEK that is retired now",
        &[
            ("wrap", hex(old.wrapped_key.as_bytes())),
            ("payload", hex(old.payload.as_bytes())),
            ("plaintext", hex(b"old")),
        ],
    );

    let mut refuse = |name: &str, comment: &str, fields: &[(&str, String)]| {
        out.add(name, "refused", comment, fields);
    };
    let wrap_faults = [
        ("wrap-format-0", "no such format", with_byte(wrap, 0, 0)),
        ("wrap-format-2", "a later format", with_byte(wrap, 0, 2)),
        ("wrap-kek-known", "names the retired KEK, which does not open it", with_byte(wrap, 4, 1)),
        ("wrap-kek-unknown", "names a KEK that does not exist", with_byte(wrap, 4, 3)),
        ("wrap-kek-high", "the id's first byte", flipped(wrap, 1)),
        ("wrap-nonce", "first bit of the nonce's first byte", flipped(wrap, 5)),
        ("wrap-nonce-end", "the nonce's last byte", flipped(wrap, 16)),
        ("wrap-key", "the wrapped key's first byte", flipped(wrap, 17)),
        ("wrap-key-end", "the wrapped key's last byte", flipped(wrap, 48)),
        ("wrap-tag", "the tag's first byte", flipped(wrap, 49)),
        ("wrap-tag-end", "the tag's last byte", flipped(wrap, 64)),
        ("wrap-empty", "nothing", Vec::new()),
        ("wrap-truncated", "the last byte is missing", wrap[..64].to_vec()),
        ("wrap-extended", "one byte too many", extended(wrap)),
    ];
    for (name, comment, bytes) in wrap_faults {
        refuse(name, comment, &[("wrap", hex(&bytes))]);
    }
    let payload_faults = [
        ("payload-format-0", "no such format", with_byte(payload, 0, 0)),
        ("payload-format-2", "a later format", with_byte(payload, 0, 2)),
        ("payload-nonce", "the nonce's first byte", flipped(payload, 1)),
        ("payload-nonce-end", "the nonce's last byte", flipped(payload, 12)),
        ("payload-ciphertext", "the ciphertext's first byte", flipped(payload, 13)),
        ("payload-ciphertext-end", "the ciphertext's last byte", flipped(payload, 17)),
        ("payload-tag", "the tag's first byte", flipped(payload, 18)),
        ("payload-tag-end", "the tag's last byte", flipped(payload, 33)),
        ("payload-empty", "nothing", Vec::new()),
        ("payload-truncated", "the last byte is missing", payload[..33].to_vec()),
        ("payload-no-ciphertext", "nonce and tag only", [&payload[..13], &payload[18..]].concat()),
        ("payload-extended", "one byte too many", extended(payload)),
        ("payload-is-wrap", "a record of another kind", wrap.to_vec()),
    ];
    for (name, comment, bytes) in payload_faults {
        refuse(name, comment, &[("payload", hex(&bytes))]);
    }
    refuse("uid", "served under another secret's identity", &[("uid", hex(b"uid of another.."))]);
    refuse("version", "served as another version", &[("version", "2".into())]);
    refuse("type", "read as another type", &[("type", SecretType::Registry.code().to_string())]);
    refuse(
        "store",
        "the same keys in another store",
        &[("keyring", hex(&fixture.file(OTHER_STORE, 2).encode()))],
    );
    refuse(
        "keyring-older",
        "the keyring does not hold the KEK yet",
        &[("keyring", hex(&fixture.file(STORE, 1).encode()))],
    );
    refuse(
        "wrap-swapped",
        "the wrap of version 2 beside the payload of version 1",
        &[("wrap", second_wrap.clone())],
    );
    refuse(
        "payload-moved",
        "the payload of version 2 beside the wrap of version 1",
        &[("payload", second_payload.clone())],
    );
    refuse(
        "version-moved",
        "wrap and payload of version 2 put in the place of version 1",
        &[("wrap", second_wrap), ("payload", second_payload)],
    );
    // Each layer's own binding shows only when the other does not refuse first: the same data key,
    // properly sealed or wrapped for the place that the record comes from.
    let moved = [
        ("uid", PayloadContext { uid: Uid::from_bytes(*b"uid of another.."), ..CONTEXT }),
        ("version", next),
        ("type", PayloadContext { kind: SecretType::Registry, ..CONTEXT }),
    ];
    for (field, moved) in moved {
        refuse_layers(&mut refuse, field, &seal(&keyring, &moved, 10, "value"));
    }
    let other_store = fixture.keyring(OTHER_STORE, 2);
    refuse_layers(&mut refuse, "store", &seal(&other_store, &CONTEXT, 10, "value"));
    out.compare("payload.json");
}

fn refuse_layers(
    refuse: &mut impl FnMut(&str, &str, &[(&str, String)]),
    field: &str,
    elsewhere: &SealedVersion,
) {
    let comment = format!("the wrap is right, the payload is of another {field}");
    let payload = hex(elsewhere.payload.as_bytes());
    refuse(&format!("payload-bound-{field}"), &comment, &[("payload", payload)]);
    let comment = format!("the payload is right, the wrap is of another {field}");
    let wrap = hex(elsewhere.wrapped_key.as_bytes());
    refuse(&format!("wrap-bound-{field}"), &comment, &[("wrap", wrap)]);
}
