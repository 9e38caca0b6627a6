//! New keys beside old ones, and without them.

use crypto::{
    KekId, Keyring, KeyringError, MAX_USES, PayloadContext, RootKey, RotateError, SealError,
    SlotError, StoreId, metadata_key_of, wrapping_kek,
};
use domain::{Plaintext, SecretType, Timestamp, Uid};

const CONTEXT: PayloadContext =
    PayloadContext { uid: Uid::from_bytes([1; 16]), version: 1, kind: SecretType::Opaque };
const NOW: Timestamp = Timestamp::from_unix_millis(7);

fn made() -> (RootKey, Keyring) {
    let root = RootKey::make().unwrap();
    let keyring = Keyring::make(StoreId::make().unwrap(), &root, Timestamp::default()).unwrap();
    keyring.set_uses(0, 1000);
    (root, keyring)
}

fn text() -> Plaintext {
    Plaintext::new(b"value".to_vec())
}

#[test]
fn a_rotated_keyring_seals_under_new_keys_and_opens_what_the_old_ones_sealed() {
    let (root, keyring) = made();
    let sealed = keyring.seal_payload(&CONTEXT, &text()).unwrap();
    let record = keyring.seal_metadata(b"place", b"record").unwrap();
    let rotated = keyring.rotated(NOW).unwrap();
    assert_eq!(rotated.generation(), keyring.generation() + 1);
    let keks: Vec<_> =
        rotated.kek_infos().iter().map(|kek| (kek.id.get(), kek.is_current)).collect();
    assert_eq!((keks, rotated.metadata_key_ids()), (vec![(1, false), (2, true)], vec![1, 2]));
    // Nothing is reserved of the new keys.
    assert_eq!(
        rotated.seal_payload(&CONTEXT, &text()).err(),
        Some(SealError::ReservationExhausted)
    );
    rotated.set_uses(0, 1000);

    let opened = Keyring::open(&rotated.to_file(), &root).unwrap();
    for keyring in [&rotated, &opened] {
        let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
        // EXPOSE: a test compares the value.
        assert_eq!(keyring.open_payload(&CONTEXT, wrap, payload).unwrap().expose(), b"value");
        // EXPOSE: as above.
        assert_eq!(keyring.open_metadata(b"place", record.as_bytes()).unwrap().expose(), b"record");
    }
    let new = rotated.seal_payload(&CONTEXT, &text()).unwrap();
    assert_eq!(wrapping_kek(new.wrapped_key.as_bytes()), Ok(KekId::new(2)));
    assert_eq!(metadata_key_of(rotated.seal_metadata(b"p", b"").unwrap().as_bytes()), Ok(2));
    // Audit and token keys are the same, under the new KEK.
    assert_eq!(rotated.audit_key(), keyring.audit_key());
    assert_eq!(rotated.token_key(), keyring.token_key());
}

#[test]
fn a_rewrapped_key_opens_in_its_place_alone_and_the_old_wrap_no_more() {
    let (root, keyring) = made();
    let sealed = keyring.seal_payload(&CONTEXT, &text()).unwrap();
    let (old, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
    let rotated = keyring.rotated(NOW).unwrap();
    rotated.set_uses(0, 2);
    for other in [
        PayloadContext { uid: Uid::from_bytes([2; 16]), ..CONTEXT },
        PayloadContext { version: 2, ..CONTEXT },
        PayloadContext { kind: SecretType::Variable, ..CONTEXT },
    ] {
        assert!(rotated.rewrap(&other, old).is_err());
    }
    let anew = rotated.rewrap(&CONTEXT, old).unwrap().unwrap();
    assert_eq!(rotated.uses(), 1);
    assert_eq!(rotated.rewrap(&CONTEXT, anew.as_bytes()), Ok(None), "it is under the new one");
    for length in 0..old.len() {
        assert!(rotated.rewrap(&CONTEXT, &old[..length]).is_err());
    }
    let finished = Keyring::open(&rotated.without_older(1).unwrap().to_file(), &root).unwrap();
    assert!(finished.open_payload(&CONTEXT, anew.as_bytes(), payload).is_ok());
    assert!(finished.open_payload(&CONTEXT, old, payload).is_err());
    assert!(keyring.open_payload(&CONTEXT, anew.as_bytes(), payload).is_err());
}

#[test]
fn a_finished_keyring_has_the_current_kek_alone_and_goes_on_counting() {
    let (root, keyring) = made();
    let record = keyring.seal_metadata(b"place", b"record").unwrap();
    let rotated = keyring.rotated(NOW).unwrap();
    rotated.set_uses(0, 10);
    rotated.seal_metadata(b"place", b"record").unwrap();
    let kept = rotated.without_older(1).unwrap();
    assert_eq!((kept.kek_infos().len(), kept.metadata_key_ids()), (1, vec![1, 2]));
    assert!(kept.open_metadata(b"place", record.as_bytes()).is_ok());
    let bare = rotated.without_older(2).unwrap();
    assert_eq!(bare.metadata_key_ids(), [2]);
    assert!(bare.open_metadata(b"place", record.as_bytes()).is_err());
    // The newest metadata key stays whatever is asked for.
    assert_eq!(rotated.without_older(u32::MAX).unwrap().metadata_key_ids(), [2]);
    // The keys are the same, and so is their count.
    bare.seal_metadata(b"place", b"record").unwrap();
    assert_eq!((rotated.uses(), bare.uses(), bare.uses_left()), (2, 2, 8));
    assert_eq!(keyring.uses(), 1);
    assert!(Keyring::open(&bare.to_file(), &root).is_ok());
    rotated.set_uses(MAX_USES, u64::MAX);
    assert_eq!(bare.seal_metadata(b"p", b"").err(), Some(SealError::Exhausted));
}

#[test]
fn a_second_root_key_is_added_without_the_first() {
    let (first, keyring) = made();
    let second = RootKey::make().unwrap();
    let both = keyring.with_root_added((&second).into(), NOW).unwrap();
    assert_eq!((both.generation(), both.slot_infos().len()), (keyring.generation(), 2));
    let file = both.rotated(NOW).unwrap().to_file();
    for root in [&first, &second] {
        assert!(Keyring::open(&file, root).is_ok());
    }
    let again = both.with_root_added((&RootKey::make().unwrap()).into(), NOW);
    assert_eq!(again.err(), Some(SlotError::Full));
    let same = keyring.with_root_added((&first).into(), NOW);
    assert_eq!(same.err(), Some(SlotError::SameKey(1)));
    assert_eq!(Keyring::open(&keyring.to_file(), &second).err(), Some(KeyringError::WrongRootKey));
}

#[test]
fn a_keyring_that_is_full_refuses_and_a_finished_one_does_not() {
    let (root, mut keyring) = made();
    // Each adds a KEK and a metadata key; an audit key and a token key are there too.
    for _ in 1..=252 {
        keyring = keyring.rotated(NOW).unwrap();
    }
    assert!(Keyring::open(&keyring.to_file(), &root).is_ok());
    assert_eq!(keyring.rotated(NOW).err(), Some(RotateError::Full));
    let finished = keyring.without_older(u32::MAX).unwrap();
    assert_eq!(finished.rotated(NOW).unwrap().current_kek(), KekId::new(254));
}
