//! Tokens.

use domain::Uid;

use super::*;
use crate::JwtClaims;

const CLAIMS: JwtClaims<'static> = JwtClaims {
    jti: Uid::from_bytes(*b"uid of a token.."),
    name: "alice",
    issued_at: Timestamp::from_unix_millis(1_763_769_600_000),
    expires_at: Timestamp::from_unix_millis(1_763_773_200_000),
};

#[test]
fn token_vectors_are_those_committed() {
    let fixture = Fixture::make();
    let (keyring, older) = (fixture.keyring(STORE, 2), fixture.keyring(STORE, 1));
    let make = |keyring: &Keyring, claims: &JwtClaims<'_>| {
        ("token", keyring.make_jwt(claims).as_str().to_owned())
    };
    let good = keyring.make_jwt(&CLAIMS);
    let mut out = Vectors::new(
        "Tokens. `now` is in seconds; `jti` is hexadecimal, as in the claims.",
        steps::none,
    );
    out.add(
        "base",
        "success",
        "by the newest token key",
        &[
            ("root", root_hex(&fixture.root)),
            ("keyring", hex(&fixture.file(STORE, 2).encode())),
            ("now", "1763769600".to_owned()),
            ("jti", CLAIMS.jti.to_string()),
            make(&keyring, &CLAIMS),
        ],
    );
    out.add("older-key", "success", "by an older one", &[make(&older, &CLAIMS)]);
    let escaped = JwtClaims { name: "a\"b\\c/\u{e9}", ..CLAIMS };
    out.add("escaped", "success", "a name with escapes", &[make(&keyring, &escaped)]);
    let nameless = JwtClaims { name: "", ..CLAIMS };
    out.add("nameless", "success", "a name without characters", &[make(&keyring, &nameless)]);
    let now = |seconds: u64| ("now", seconds.to_string());
    out.add("last-second", "success", "the last second", &[now(1_763_773_199)]);
    out.add("expired", "refused", "the second of its expiry", &[now(1_763_773_200)]);
    let other = make(&fixture.keyring(OTHER_STORE, 2), &CLAIMS);
    out.add("other-store", "refused", "same keys, another store", &[other]);
    out.add(
        "newer-key",
        "refused",
        "a key that this keyring does not have",
        &[("keyring", hex(&fixture.file(STORE, 1).encode()))],
    );
    let (signed, _) = good.rsplit_once('.').unwrap();
    for (name, comment, text) in [
        ("extended", "one character more", format!("{}A", *good)),
        ("padded", "padding", format!("{}==", *good)),
        ("cut", "one character less", good.split_at(good.len() - 1).0.to_owned()),
        ("unsigned", "no third segment", signed.to_owned()),
        ("signature-empty", "an empty one", format!("{signed}.")),
    ] {
        out.add(name, "refused", comment, &[("token", text)]);
    }
    out.compare("token.json");
}
