//! Tokens in the shape of a JWT, offered by someone who knows the standard and means harm; and by a
//! bug that signs what it should not.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use crypto::{JwtClaims, JwtToken, Keyring, RootKey, StoreId};
use domain::{MAX_NAME_BYTES, Timestamp, Uid};
use proptest::prelude::*;

use crate::by_hand::LIBRARIES;

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"1"}"#;
const JTI: Uid = Uid::from_bytes([2; 16]);
const EXPIRY: u64 = 2_000;

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| keyring([1; 16]));

fn keyring(store: [u8; 16]) -> Keyring {
    let root = RootKey::from_text(&"07".repeat(32)).unwrap();
    Keyring::make(StoreId::from_bytes(store), &root, Timestamp::default()).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1000 * seconds)
}

fn claims(name: &str) -> JwtClaims<'_> {
    JwtClaims { jti: JTI, name, issued_at: at(1_000), expires_at: at(EXPIRY) }
}

/// The claims of a good token, as text.
fn payload(name: &str) -> String {
    let (aud, jti) = ("01".repeat(16), "02".repeat(16));
    format!(
        r#"{{"iss":"tresor","aud":"{aud}","sub":"{name}","identity":"{name}","jti":"{jti}","iat":1000,"exp":2000}}"#
    )
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with any header and payload, rightly signed.
fn signed(header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encoded(header), encoded(payload));
    format!("{input}.{}", encoded(KEYRING.sign_token(input.as_bytes())))
}

fn read(text: &str) -> Option<JwtToken> {
    KEYRING.read_jwt(text, at(1_500))
}

#[track_caller]
fn all_are_refused(texts: impl IntoIterator<Item = String>) {
    for text in texts {
        assert_eq!(read(&text), None, "{text}");
    }
}

#[test]
fn a_token_is_what_its_format_says_and_is_read_back() {
    let text = KEYRING.make_jwt(&claims("alice"));
    assert_eq!(*text, signed(HEADER, &payload("alice")));
    assert_eq!(read(&text), Some(JwtToken { jti: JTI, expires_at: at(EXPIRY) }));
    let keys = LIBRARIES[0].open_keyring(&KEYRING.to_file(), &[7; 32]).unwrap();
    assert_eq!(keys.read_jwt(&text, 1_500), Some([2; 16].to_vec()));
}

#[test]
fn a_token_is_refused_from_the_second_of_its_expiry_on() {
    let text = KEYRING.make_jwt(&claims("alice"));
    let read = |millis| KEYRING.read_jwt(&text, Timestamp::from_unix_millis(millis)).is_some();
    assert!(read(0) && read(1000 * EXPIRY - 1));
    assert!(!read(1000 * EXPIRY) && !read(1000 * EXPIRY + 1) && !read(u64::MAX));
    // A part of a second is dropped, so that no token lives longer than was meant.
    let expires_at = Timestamp::from_unix_millis(1000 * EXPIRY + 999);
    let text = KEYRING.make_jwt(&JwtClaims { expires_at, ..claims("alice") });
    assert_eq!(KEYRING.read_jwt(&text, at(EXPIRY)), None);
}

#[test]
fn the_longest_name_still_fits() {
    for char in ["x", "\"", "\\", "\u{e4}"] {
        let name = char.repeat(MAX_NAME_BYTES / char.len());
        assert!(read(&KEYRING.make_jwt(&claims(&name))).is_some(), "{char}");
    }
}

#[test]
fn a_text_is_looked_at_up_to_its_limit() {
    // With this, header and signature leave 3958 characters for the claims, or 2968 bytes.
    let longest = |seconds: u64| {
        let claims = JwtClaims { expires_at: at(seconds), ..claims("") };
        let name = "x".repeat((2_968 - payload("").len()) / 2);
        KEYRING.make_jwt(&JwtClaims { name: &name, ..claims })
    };
    let texts: Vec<_> = [2_000, 20_000, 200_000].map(longest).into();
    let lengths: Vec<_> = texts.iter().map(|text| text.len()).collect();
    let read: Vec<_> = texts.iter().map(|text| read(text).is_some()).collect();
    assert_eq!(read, lengths.iter().map(|length| *length <= 4096).collect::<Vec<_>>());
    assert!(lengths.contains(&4096) && lengths.contains(&4097), "{lengths:?}");
}

/// Of every byte all the characters that a token is made of, and a few that it is not.
#[test]
fn no_change_of_a_byte_is_taken() {
    let text = KEYRING.make_jwt(&claims("a"));
    let alphabet = (b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z').chain(*b"-_.=+/ \n\0\"");
    let alphabet: Vec<_> = alphabet.collect();
    for position in 0..text.len() {
        for byte in alphabet.iter().filter(|byte| **byte != text.as_bytes()[position]) {
            let mut changed = text.as_bytes().to_vec();
            changed[position] = *byte;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(read(&changed), None, "{changed}");
        }
    }
    for cut in 0..text.len() {
        let (before, after) = text.split_at(cut);
        assert_eq!((read(before), cut == 0 || read(after).is_none()), (None, true));
    }
}

#[test]
fn a_token_of_three_segments_is_the_only_form() {
    let text = KEYRING.make_jwt(&claims("alicia")).to_string();
    let [header, payload, signature] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
    let padded = |segment: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(segment).unwrap());
    assert!([header, payload, signature].iter().all(|segment| padded(segment).ends_with('=')));
    let repadded = format!("{}.{}", padded(header), padded(payload));
    let repadded =
        format!("{repadded}.{}", URL_SAFE.encode(KEYRING.sign_token(repadded.as_bytes())));
    all_are_refused([
        String::new(),
        "...".to_owned(),
        format!("{text}="),
        format!("{text}=="),
        format!("{text}."),
        format!(".{text}"),
        format!("{text} "),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{text}A"),
        format!("{text}AAAA"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{}", padded(signature)),
        format!("{header}.{}.{signature}", padded(payload)),
        format!("{header}.{payload}.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("Bearer {text}"),
        repadded,
    ]);
}

#[test]
fn no_other_header_is_taken_even_when_its_signature_fits() {
    let payload = payload("alice");
    let headers = [
        r#"{"alg":"none","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"ES256","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"Ed25519","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"eddsa","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"2"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"0"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"01"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":1}"#,
        r#"{"alg":"EdDSA","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","kid":"1"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"1","jwk":{}}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"1","crit":[]}"#,
        r#"{"typ":"JWT","alg":"EdDSA","kid":"1"}"#,
        r#"{"alg":"none","alg":"EdDSA","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"EdDSA", "typ":"JWT","kid":"1"}"#,
        r"{}",
        "",
    ];
    all_are_refused(headers.map(|header| signed(header, &payload)));
}

/// The two classics: no signature at all, and a MAC under what everybody knows.
#[test]
fn no_algorithm_can_be_chosen() {
    let payload = encoded(payload("alice"));
    for header in [HEADER, r#"{"alg":"none","typ":"JWT","kid":"1"}"#, r#"{"alg":"none"}"#] {
        let input = format!("{}.{payload}", encoded(header));
        all_are_refused([format!("{input}."), input.clone(), format!("{input}.AA")]);
    }
    let public = KEYRING.token_key().bytes;
    for header in [HEADER, r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#, r#"{"alg":"HS256"}"#] {
        let input = format!("{}.{payload}", encoded(header));
        for secret in [&public[..], encoded(public).as_bytes()] {
            for algorithm in [ring::hmac::HMAC_SHA256, ring::hmac::HMAC_SHA512] {
                let key = ring::hmac::Key::new(algorithm, secret);
                let mac = ring::hmac::sign(&key, input.as_bytes());
                all_are_refused([format!("{input}.{}", encoded(mac))]);
            }
        }
    }
}

#[test]
fn a_token_of_another_store_or_key_is_refused() {
    let of_other_key = keyring([1; 16]).make_jwt(&claims("alice"));
    let other_store = "03".repeat(16);
    let of_other_store = signed(HEADER, &payload("alice").replace(&"01".repeat(16), &other_store));
    all_are_refused([of_other_key.to_string(), of_other_store]);
    // What the audit key signs is no token, whatever it says.
    let input = format!("{}.{}", encoded(HEADER), encoded(payload("alice")));
    let by_audit_key = KEYRING.sign_audit(input.as_bytes());
    all_are_refused([format!("{input}.{}", encoded(by_audit_key))]);
}

/// These are signed, as a bug could: each claim missing, twice, of another type, or of a value that
/// is not written.
#[test]
fn only_the_claims_that_are_written_are_read() {
    let good = payload("alice");
    let (store, jti) = ("01".repeat(16), "02".repeat(16));
    assert!(read(&signed(HEADER, &good)).is_some());
    let change = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is not there");
        changed
    };
    let with = |more: &str| change("}", &format!(",{more}}}"));
    let mut payloads = vec![
        change(r#""iss":"tresor","#, ""),
        change(r#""sub":"alice","#, ""),
        change(r#""identity":"alice","#, ""),
        change(r#","exp":2000"#, ""),
        change(r#","iat":1000"#, ""),
        change(&format!(r#""aud":"{store}","#), ""),
        change(&format!(r#""jti":"{jti}","#), ""),
        change("tresor", ""),
        change("tresor", "Tresor"),
        change(&store, ""),
        change(&store, &"03".repeat(16)),
        change(&store, &"01".repeat(15)),
        change(&format!(r#""{store}""#), &format!(r#"["{store}"]"#)),
        change(&format!(r#""{store}""#), "null"),
        change(&jti, ""),
        change(&jti, "alice"),
        change(&jti, &"0g".repeat(16)),
        change(&jti, &"AB".repeat(16)),
        change(&jti, &"02".repeat(17)),
        change(r#""sub":"alice""#, r#""sub":"mallory""#),
        change("1000", "\"1000\""),
        change("2000", "\"2000\""),
        change("2000", "2000.5"),
        change("2000", "2e9"),
        change("2000", "-1"),
        change("2000", "02000"),
        change("2000", "99999999999999999999"),
        change("2000", "null"),
        change("2000", "true"),
        with(r#""nbf":0"#),
        with(r#""admin":true"#),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\0"),
        format!("{good}{good}"),
        format!("[{good}]"),
        change(",", ", "),
        change("alice", r"\u0061lice"),
        good.replace("alice", r"\u0061lice"),
        good.replace("alice", r"ali\/ce"),
        change(r#""iat":1000,"exp":2000"#, r#""exp":2000,"iat":1000"#),
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
    ];
    let claims = good.trim_matches(['{', '}']).split(',');
    payloads.extend(claims.map(with));
    all_are_refused(payloads.iter().map(|payload| signed(HEADER, payload)));
}

proptest! {
    #[test]
    fn whatever_is_made_is_read_back_until_it_expires(
        name in "\\PC{0,60}", jti: [u8; 16], issued_at: u64, expires_at: u64, now: u64,
    ) {
        let [issued_at, expires_at, now] =
            [issued_at, expires_at, now].map(Timestamp::from_unix_millis);
        let jti = Uid::from_bytes(jti);
        let text = KEYRING.make_jwt(&JwtClaims { jti, name: &name, issued_at, expires_at });
        let alive = now.unix_millis() / 1000 < expires_at.unix_millis() / 1000;
        let seconds = expires_at.unix_millis() / 1000;
        let read = JwtToken { jti, expires_at: Timestamp::from_unix_millis(seconds * 1000) };
        prop_assert_eq!(KEYRING.read_jwt(&text, now), alive.then_some(read));
        let keys = LIBRARIES[0].open_keyring(&KEYRING.to_file(), &[7; 32]).unwrap();
        let by_hand = keys.read_jwt(&text, now.unix_millis() / 1000);
        prop_assert_eq!(by_hand, alive.then_some(jti.as_bytes().to_vec()));
    }

    #[test]
    fn no_text_makes_a_reader_panic(
        text in "\\PC{0,200}", segments in "[A-Za-z0-9_.-]{0,200}", now: u64,
    ) {
        let now = Timestamp::from_unix_millis(now);
        prop_assert_eq!(KEYRING.read_jwt(&text, now), None);
        prop_assert_eq!(KEYRING.read_jwt(&segments, now), None);
        let text = signed(HEADER, &text);
        prop_assert_eq!(KEYRING.read_jwt(&text, now), None);
    }
}
