//! Signatures: what each key signs, and what a strict verifier refuses.

use crypto::{Keyring, PublicKey, RootKey, StoreId, verify_signature};
use domain::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::by_hand::LIBRARIES;

fn keyring() -> Keyring {
    let root = RootKey::from_text(&"07".repeat(32)).unwrap();
    Keyring::make(StoreId::from_bytes([1; 16]), &root, Timestamp::default()).unwrap()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<_>>().try_into().unwrap()
}

/// The order of the group (RFC 8032 section 5.1), least significant byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// `S + L`, which is the same scalar: the second spelling of a signature.
fn malleated(mut signature: [u8; 64]) -> [u8; 64] {
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(bytes::<32>(ORDER)) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    signature
}

fn ring_verifies(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// Each key of a fresh keyring, with its seed as the second reader finds it.
fn pairs(keyring: &Keyring) -> [(PublicKey, Ed25519KeyPair); 2] {
    let keys = LIBRARIES[0].open_keyring(&keyring.to_file(), &[7; 32]).unwrap();
    let pair = |seeds: &[(u32, Vec<u8>)]| Ed25519KeyPair::from_seed_unchecked(&seeds[0].1).unwrap();
    [(keyring.audit_key(), pair(&keys.audit_keys)), (keyring.token_key(), pair(&keys.token_keys))]
}

#[test]
fn a_keyrings_keys_are_told_apart_and_survive_its_file() {
    let keyring = keyring();
    let (audit, token) = (keyring.audit_key(), keyring.token_key());
    assert_eq!((audit.id, token.id), (1, 1));
    assert_ne!(audit.bytes, token.bytes);
    for (public, pair) in pairs(&keyring) {
        assert_eq!(public.bytes, pair.public_key().as_ref());
    }
    let root = RootKey::from_text(&"07".repeat(32)).unwrap();
    let again = Keyring::open(&keyring.to_file(), &root).unwrap();
    assert_eq!((again.audit_key(), again.token_key()), (audit, token));
    assert_eq!(again.sign_audit(b"message"), keyring.sign_audit(b"message"));
    assert_eq!(again.sign_token(b"message"), keyring.sign_token(b"message"));

    let other = self::keyring();
    assert_ne!((other.audit_key(), other.token_key()), (audit, token));
}

#[test]
fn what_one_key_signs_no_other_verifies() {
    let keyring = keyring();
    let (audit, token) = (keyring.sign_audit(b"message"), keyring.sign_token(b"message"));
    assert!(verify_signature(&keyring.audit_key().bytes, b"message", &audit));
    assert!(!verify_signature(&keyring.audit_key().bytes, b"message", &token));
    assert!(!verify_signature(&keyring.token_key().bytes, b"message", &audit));
    assert!(keyring.verify_token(1, b"message", &token));
    assert!(!keyring.verify_token(1, b"message", &audit));
    for unknown in [0, 2, u32::MAX] {
        assert!(!keyring.verify_token(unknown, b"message", &token));
    }
}

/// RFC 8032 section 7.1, tests 1 to 3.
#[test]
fn the_vectors_of_rfc_8032_verify() {
    for (public, message, signature) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72][..],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            &[0xaf, 0x82][..],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let (public, signature) = (bytes(public), bytes::<64>(signature));
        assert!(verify_signature(&public, message, &signature));
        assert!(!verify_signature(&public, &[message, &[0]].concat(), &signature));
        assert!(!verify_signature(&public, message, &malleated(signature)));
    }
}

#[test]
fn no_flipped_cut_or_extended_signature_verifies() {
    let keyring = keyring();
    let (public, signature) = (keyring.audit_key().bytes, keyring.sign_audit(b"message"));
    for bit in 0..8 * 64 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify_signature(&public, b"message", &changed), "bit {bit}");
    }
    for bit in 0..8 * 32 {
        let mut changed = public;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify_signature(&changed, b"message", &signature), "bit {bit} of the key");
    }
    for length in 0..64 {
        assert!(!verify_signature(&public, b"message", &signature[..length]));
    }
    assert!(!verify_signature(&public, b"message", &[&signature[..], &[0]].concat()));
    assert!(!verify_signature(&public, b"message", &malleated(signature)));
}

/// The points of small order, and the spellings of them that are not reduced. With any of them as
/// the key, and itself as the commitment, zero is a signature of many messages to a lenient
/// verifier.
#[test]
fn a_point_of_small_order_is_no_key_and_no_commitment() {
    let points: [[u8; 32]; 8] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .map(bytes);
    let mut lenient = 0;
    for key in points {
        for commitment in points {
            let signature = [commitment, [0; 32]].concat();
            for message in 0..16_u8 {
                lenient += usize::from(ring_verifies(&key, &[message], &signature));
                assert!(!verify_signature(&key, &[message], &signature));
            }
        }
    }
    assert!(lenient > 0, "no verifier would take these, so that refusing them shows nothing");
}

proptest! {
    #[test]
    fn ring_signs_and_verifies_the_same(message in vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        for (at, (public, pair)) in pairs(&keyring).into_iter().enumerate() {
            let ours = if at == 0 { keyring.sign_audit(&message) } else { keyring.sign_token(&message) };
            let theirs = pair.sign(&message);
            prop_assert_eq!(&ours[..], theirs.as_ref());
            prop_assert!(ring_verifies(&public.bytes, &message, &ours));
            prop_assert!(verify_signature(&public.bytes, &message, theirs.as_ref()));
        }
    }

    #[test]
    fn no_bytes_make_a_verifier_panic(
        public: [u8; 32], message in vec(any::<u8>(), 0..50), signature in vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(!verify_signature(&public, &message, &signature));
    }
}
