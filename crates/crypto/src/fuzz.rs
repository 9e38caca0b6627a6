//! What `fuzz/` calls. Each function answers whether it accepted its input.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Plaintext, SecretType, Timestamp, Uid};
use ring::digest::{SHA256, digest};

use crate::hazmat::{self, Cipher, KEY_BYTES, NONCE_BYTES};
use crate::keyring_file::KeyringFile;
use crate::keys::{DataKey, KeyBytes};
use crate::{JwtClaims, Keyring, PayloadContext, RootKey, SealedVersion, StoreId};

const CONTEXT: PayloadContext = PayloadContext {
    uid: Uid::from_bytes(*b"uid of a secret."),
    version: 1,
    kind: SecretType::Opaque,
};
const STORE_KEY: &[u8] = b"store key";

/// A root key that no input was made under.
fn root() -> &'static RootKey {
    static ROOT: LazyLock<RootKey> = LazyLock::new(|| RootKey::make().expect("random bytes"));
    &ROOT
}

/// Random keys, so that no input can be made under them.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let keyring = Keyring::make(StoreId::from_bytes([1; 16]), root(), Timestamp::default());
    let keyring = keyring.expect("random bytes");
    keyring.set_uses(0, 2);
    let version = keyring.seal_payload(&CONTEXT, &Plaintext::new(b"value".to_vec()));
    let metadata = keyring.seal_metadata(STORE_KEY, b"labels");
    Fixture {
        version: version.expect("a use is reserved"),
        metadata: metadata.expect("a use is reserved").into_bytes(),
        keyring,
    }
});

struct Fixture {
    keyring: Keyring,
    version: SealedVersion,
    metadata: Vec<u8>,
}

/// A wrap, a payload and a metadata record open exactly as they were sealed. The first byte says how
/// much of a sealed record is cut off, the others are what is changed in it; and all of it is
/// offered as a record too.
pub fn envelope(input: &[u8]) -> bool {
    let Fixture { keyring, version, metadata } = &*FIXTURE;
    let (wrap, payload) = (version.wrapped_key.as_bytes(), version.payload.as_bytes());
    let opens = |wrap: &[u8], payload: &[u8]| keyring.open_payload(&CONTEXT, wrap, payload).is_ok();
    let metadata_opens = |record: &[u8]| keyring.open_metadata(STORE_KEY, record).is_ok();
    // The fuzzer sees what is compared, and may offer it.
    assert_eq!(opens(input, payload), input == wrap);
    assert_eq!(opens(wrap, input), input == payload);
    assert_eq!(metadata_opens(input), input == metadata);
    assert_eq!(keyring.open_metadata(input, metadata).is_ok(), input == STORE_KEY);
    assert!(!opens(input, input));
    let Some((cut, change)) = input.split_first() else { return false };
    let altered = |record| altered(record, usize::from(*cut), change);
    let records = [altered(wrap), altered(payload), altered(metadata)];
    let [new_wrap, new_payload, new_metadata] = &records;
    let same = [new_wrap == wrap, new_payload == payload, new_metadata == metadata];
    let opened = [opens(new_wrap, payload), opens(wrap, new_payload), metadata_opens(new_metadata)];
    assert_eq!(opened, same, "a record opens that was not sealed so, or does not although it was");
    opened == [true; 3]
}

fn altered(record: &[u8], cut: usize, change: &[u8]) -> Vec<u8> {
    let kept = record.len().saturating_sub(cut);
    let mut bytes: Vec<u8> = record.iter().take(kept).copied().collect();
    bytes.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
    bytes.extend(change.iter().skip(kept));
    bytes
}

/// A keyring file, given without its checksum, is read only when it is what would be written, and
/// never opens under a root key that it was not made with.
pub fn keyring_file(content: &[u8]) -> bool {
    let file = [content, digest(&SHA256, content).as_ref()].concat();
    assert!(Keyring::open(content, root()).is_err() && Keyring::open(&file, root()).is_err());
    let read = KeyringFile::decode(&file);
    if let Ok(read) = &read {
        assert!(read.encode() == file, "a keyring file has a second spelling");
    }
    read.is_ok()
}

/// A token opens only when it was signed here. Then the claims are read only when they are what
/// would be written, to the byte: the input, signed, stands for claims that a bug could sign.
pub fn jwt(input: &[u8]) -> bool {
    let keyring = &FIXTURE.keyring;
    let now = Timestamp::default();
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(keyring.read_jwt(text, now).is_none(), "a token is taken that nobody signed");
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(br#"{"alg":"EdDSA","typ":"JWT","kid":"1"}"#);
    let signed = format!("{header}.{}", encode(input));
    let text = format!("{signed}.{}", encode(&keyring.sign_token(signed.as_bytes())));
    let Some(token) = keyring.read_jwt(&text, now) else { return false };
    let claims: serde_json::Value = serde_json::from_slice(input).expect("claims are JSON");
    let seconds = |claim: &str| {
        let seconds = claims.get(claim).and_then(serde_json::Value::as_u64);
        Timestamp::default().plus_seconds(seconds.expect("a time is a number"))
    };
    let (issued_at, expires_at) = (seconds("iat"), seconds("exp"));
    // Milliseconds end sooner than seconds; a time behind that end is not one that is written.
    if expires_at.unix_millis().max(issued_at.unix_millis()) < u64::MAX {
        let name = claims.get("sub").and_then(serde_json::Value::as_str).expect("a name is text");
        let written = keyring.make_jwt(&JwtClaims { jti: token.jti, name, issued_at, expires_at });
        assert!(*written == text, "claims have a second spelling");
    }
    true
}

/// A root key's text is read only as the same key that its canonical text names.
pub fn root_key(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(key) = RootKey::from_text(text) else { return false };
    let canonical = key.to_text();
    let again = RootKey::from_text(&canonical).map(|key| key.to_text());
    assert!(again.is_ok_and(|again| again == canonical), "a key is not read back");
    let text = text.trim_ascii();
    text.len() == 2 * KEY_BYTES || text == *canonical
}

/// ring and aes-gcm agree on every key, nonce, associated data and plaintext, and on what does not
/// open. The input begins with the key, the nonce, the length of the associated data, and where a
/// bit is flipped.
pub fn ciphers(input: &[u8]) -> bool {
    let Some((key, input)) = input.split_first_chunk::<KEY_BYTES>() else { return false };
    let Some((nonce, input)) = input.split_first_chunk::<NONCE_BYTES>() else { return false };
    let Some(([length, flip], input)) = input.split_first_chunk::<2>() else { return false };
    let Some((associated, plaintext)) = input.split_at_checked(usize::from(*length)) else {
        return false;
    };
    let key = || KeyBytes::copied_from(key);
    let (ring, aes_gcm) = (|| DataKey::new(key()), Cipher::new(&key()));

    let (mut ours, mut theirs) = (plaintext.to_vec(), plaintext.to_vec());
    let Ok(tag) = hazmat::seal_once(ring(), *nonce, associated, &mut ours) else { return false };
    assert_eq!(tag, aes_gcm.seal(*nonce, associated, &mut theirs), "tags differ");
    assert_eq!(ours, theirs, "ciphertexts differ");

    let mut sealed = [ours.as_slice(), &tag].concat();
    assert_eq!(opened(ring(), &aes_gcm, nonce, associated, &sealed).as_deref(), Some(plaintext));
    let at = usize::from(*flip) % (8 * sealed.len());
    if let Some(byte) = sealed.get_mut(at / 8) {
        *byte ^= 1 << (at % 8);
    }
    assert_eq!(opened(ring(), &aes_gcm, nonce, associated, &sealed), None);
    true
}

/// What both open it to.
fn opened(
    ring: DataKey,
    aes_gcm: &Cipher,
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (content, tag) = sealed.split_last_chunk()?;
    let (mut ours, mut theirs) = (sealed.to_vec(), content.to_vec());
    let by_ring = hazmat::open_once(ring, *nonce, associated, &mut ours).is_ok();
    let by_aes_gcm = aes_gcm.open(*nonce, associated, &mut theirs, *tag).is_ok();
    assert_eq!(by_ring, by_aes_gcm, "one opens what the other refuses");
    ours.truncate(content.len());
    assert!(!by_ring || ours == theirs, "plaintexts differ");
    by_ring.then_some(ours)
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;
    use super::*;

    #[test]
    fn every_seed_of_the_envelope_holds() {
        replay("envelope", envelope, &[("sealed", vec![0]), ("no_change", vec![0; 30])]);
        // Cut, changed, extended.
        for altered in [vec![1], vec![0, 1], vec![0; 100]] {
            assert!(!envelope(&altered));
        }
    }

    #[test]
    fn every_seed_of_the_keyring_file_holds() {
        let other = RootKey::make().unwrap();
        let made = Keyring::make(StoreId::from_bytes([1; 16]), &other, Timestamp::default());
        let file = made.unwrap().to_file();
        let content = file[..file.len() - 32].to_vec();
        assert!(!keyring_file(&file) && !keyring_file(&content[1..]));
        replay("keyring_file", keyring_file, &[("first", content)]);
    }

    #[test]
    fn every_seed_of_a_jwt_holds() {
        let claims = |name: &str| {
            format!(
                r#"{{"iss":"tresor","aud":"{}","sub":"{name}","identity":"{name}","jti":"{}","iat":0,"exp":9}}"#,
                "01".repeat(16),
                "02".repeat(16),
            )
        };
        let seeds = [("user", claims("alice")), ("escaped", claims(r#"a\"\\b"#))];
        replay("jwt", jwt, &seeds.map(|(name, claims)| (name, claims.into_bytes())));
        assert!(!jwt(claims("alice").replace("tresor", "other").as_bytes()));
        assert!(!jwt(claims("alice").replace(":9", ":0").as_bytes()));
    }

    #[test]
    fn every_seed_of_the_root_key_holds() {
        let (hex, base64) = ("0f".repeat(32), format!("{}=", "Dw8P".repeat(11).split_at(43).0));
        let padded = format!(" {base64}\n");
        let texts = [("hex", hex), ("base64", base64), ("white_space", padded)];
        replay("root_key", root_key, &texts.map(|(name, text)| (name, text.into_bytes())));
        assert!(!root_key(b"0f"));
    }

    #[test]
    fn every_seed_of_the_ciphers_holds() {
        let seed = |associated: u8, plaintext: usize| {
            let mut seed = vec![7; KEY_BYTES + NONCE_BYTES];
            seed.extend([associated, 200]);
            seed.extend(vec![9; usize::from(associated) + plaintext]);
            seed
        };
        let made = [("empty", seed(0, 0)), ("block", seed(16, 16)), ("odd", seed(50, 200))];
        replay("ciphers", ciphers, &made);
        assert!(!ciphers(&[7; KEY_BYTES]));
    }
}
