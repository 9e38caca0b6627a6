//! Signatures.

use super::*;

#[test]
fn signature_vectors_are_those_committed() {
    let fixture = Fixture::make();
    let keyring = fixture.keyring(STORE, 2);
    let older = fixture.keyring(STORE, 1);
    let message = b"\x19tresor/1/audit-checkpoint and more";
    let audit = keyring.sign_audit(message);
    let mut out =
        Vectors::new("Signatures. The newest key signs; an older token key verifies.", steps::none);
    out.add(
        "base",
        "success",
        "by the newest audit key",
        &[
            ("root", root_hex(&fixture.root)),
            ("keyring", hex(&fixture.file(STORE, 2).encode())),
            ("kind", "audit".to_owned()),
            ("id", "2".to_owned()),
            ("public", hex(&keyring.audit_key().bytes)),
            ("seed", hex(fixture.audit_keys[1].as_bytes())),
            ("message", hex(message)),
            ("signature", hex(&audit)),
        ],
    );
    let token = |id: &str, keyring: &Keyring, message: &[u8]| {
        [
            ("kind", "token".to_owned()),
            ("id", id.to_owned()),
            ("seed", hex(fixture.token_keys[usize::from(id != "1")].as_bytes())),
            ("public", hex(&keyring.token_key().bytes)),
            ("message", hex(message)),
            ("signature", hex(&keyring.sign_token(message))),
        ]
    };
    out.add("token", "success", "by the newest token key", &token("2", &keyring, b"e30.e30"));
    out.add("token-older", "success", "by an older one", &token("1", &older, b"e30.e30"));
    out.add("token-empty", "success", "of nothing", &token("2", &keyring, b""));
    out.add("token-id", "refused", "under another number", &token("1", &keyring, b"e30.e30"));
    out.add("token-unknown", "refused", "of a number without a key", &token("3", &keyring, b""));
    let by_audit = [("kind", "token".to_owned()), ("signature", hex(&audit))];
    out.add("audit-as-token", "refused", "an audit key's, as a token key's", &by_audit);
    for (name, comment, signature) in [
        ("commitment", "the first half changed", flipped(&audit, 0)),
        ("scalar", "the second half changed", flipped(&audit, 32)),
        ("scalar-high", "a scalar beyond the order", with_byte(&audit, 63, 0xff)),
        ("short", "one byte less", audit[..63].to_vec()),
        ("long", "one byte more", extended(&audit)),
        ("zero", "nothing but zero", vec![0; 64]),
        ("empty", "no signature", Vec::new()),
    ] {
        out.add(name, "refused", comment, &[("signature", hex(&signature))]);
    }
    out.add("message", "refused", "another message", &[("message", hex(&flipped(message, 30)))]);
    out.compare("signature.json");
}
