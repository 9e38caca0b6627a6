//! A keyring's life: faults told apart, uses counted, stores kept apart.

use crypto::{
    Argon2Cost, KekId, Keyring, KeyringError, MAX_PLAINTEXT_BYTES, MAX_USES, MakeError, OpenError,
    Passphrase, PayloadContext, RootKey, RootSource, SealError, SlotError, StoreId,
};
use domain::{Plaintext, Sealed, SecretType, Timestamp, Uid};

const CONTEXT: PayloadContext =
    PayloadContext { uid: Uid::from_bytes([7; 16]), version: 1, kind: SecretType::Opaque };

fn make() -> (Keyring, RootKey) {
    let root = RootKey::make().unwrap();
    let keyring = Keyring::make(StoreId::make().unwrap(), &root, Timestamp::default()).unwrap();
    (keyring, root)
}

fn plaintext(bytes: &[u8]) -> Plaintext {
    Plaintext::new(bytes.to_vec())
}

#[test]
fn a_keyring_survives_its_file() {
    let (keyring, root) = make();
    keyring.set_uses(0, 2);
    let sealed = keyring.seal_payload(&CONTEXT, &plaintext(b"value")).unwrap();
    let record = keyring.seal_metadata(b"key", b"labels").unwrap();

    let again = Keyring::open(&keyring.to_file(), &root).unwrap();
    assert_eq!(again.store_id(), keyring.store_id());
    assert_eq!((again.generation(), again.current_kek()), (1, KekId::new(1)));
    let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
    // EXPOSE: a test compares the bytes.
    assert_eq!(again.open_payload(&CONTEXT, wrap, payload).unwrap().expose(), b"value");
    // EXPOSE: a test compares the bytes.
    assert_eq!(again.open_metadata(b"key", record.as_bytes()).unwrap().expose(), b"labels");
}

#[test]
fn damage_a_wrong_root_key_and_a_newer_format_are_told_apart() {
    let (keyring, root) = make();
    let file = keyring.to_file();
    let fault = |file: &[u8], root: &RootKey| Keyring::open(file, root).err();
    assert_eq!(fault(&file, &root), None);
    let stranger = RootKey::make().unwrap();
    assert_eq!(fault(&file, &stranger), Some(KeyringError::WrongRootKey));

    let mut damaged = file.clone();
    damaged[60] ^= 1;
    // Damage is damage under any key.
    assert_eq!(fault(&damaged, &root), Some(KeyringError::Damaged));
    assert_eq!(fault(&damaged, &stranger), Some(KeyringError::Damaged));

    let newer = [b"TRESORKR\x00\x07", &file[10..40]].concat();
    assert_eq!(fault(&newer, &root), Some(KeyringError::NewerFormat { found: 7 }));
}

#[test]
fn nothing_is_sealed_beyond_what_is_reserved() {
    let (keyring, root) = make();
    let seal = || keyring.seal_payload(&CONTEXT, &plaintext(b"v")).map(|_| ());
    let seal_metadata = || keyring.seal_metadata(b"k", b"v").map(|_| ());
    assert_eq!(seal(), Err(SealError::ReservationExhausted));
    assert_eq!(seal_metadata(), Err(SealError::ReservationExhausted));

    keyring.set_uses(5, 7);
    assert_eq!((keyring.uses(), keyring.uses_left()), (5, 2));
    assert_eq!((seal(), seal_metadata()), (Ok(()), Ok(())));
    assert_eq!(
        (seal(), seal_metadata()),
        (Err(SealError::ReservationExhausted), Err(SealError::ReservationExhausted))
    );
    assert_eq!((keyring.uses(), keyring.uses_left()), (7, 0));

    keyring.set_uses(MAX_USES, MAX_USES + 10);
    assert_eq!((seal(), seal_metadata()), (Err(SealError::Exhausted), Err(SealError::Exhausted)));

    let opened = Keyring::open(&keyring.to_file(), &root).unwrap();
    assert_eq!((opened.uses(), opened.uses_left()), (0, 0));
}

#[test]
fn a_record_of_another_store_does_not_open() {
    let ((keyring, _), (other, _)) = (make(), make());
    keyring.set_uses(0, 2);
    let sealed = keyring.seal_payload(&CONTEXT, &plaintext(b"value")).unwrap();
    let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
    assert_eq!(other.open_payload(&CONTEXT, wrap, payload).err(), Some(OpenError));
    let record = keyring.seal_metadata(b"key", b"labels").unwrap();
    assert_eq!(other.open_metadata(b"key", record.as_bytes()).err(), Some(OpenError));
}

#[test]
fn the_same_value_is_sealed_differently_each_time() {
    let (keyring, _) = make();
    keyring.set_uses(0, 4);
    let seal = || keyring.seal_payload(&CONTEXT, &plaintext(b"value")).unwrap();
    let (one, other) = (seal(), seal());
    assert_ne!(one.payload, other.payload);
    assert_ne!(one.wrapped_key, other.wrapped_key);
    let seal = || keyring.seal_metadata(b"key", b"labels").unwrap();
    assert_ne!(seal(), seal());
}

/// A buffer that grew would have left a copy of the plaintext behind, and so would be larger than
/// what is in it.
#[test]
fn a_record_never_outgrows_its_buffer() {
    let (keyring, _) = make();
    keyring.set_uses(0, 100);
    for length in [0, 1, 2, 15, 16, 17, 100, 1000] {
        let value = vec![1; length];
        let version = keyring.seal_payload(&CONTEXT, &plaintext(&value)).unwrap();
        let metadata = keyring.seal_metadata(b"key", &value).unwrap();
        for record in [version.payload, version.wrapped_key, metadata].map(Sealed::into_bytes) {
            assert_eq!(record.capacity(), record.len(), "for {length} bytes");
        }
    }
}

#[test]
fn a_plaintext_beyond_the_limit_is_refused_and_costs_no_use() {
    let (keyring, _) = make();
    keyring.set_uses(0, 2);
    let (most, more) = (vec![1; MAX_PLAINTEXT_BYTES], vec![1; MAX_PLAINTEXT_BYTES + 1]);
    assert_eq!(keyring.seal_payload(&CONTEXT, &plaintext(&more)).err(), Some(SealError::TooLong));
    assert_eq!(keyring.seal_metadata(b"k", &more).err(), Some(SealError::TooLong));
    assert_eq!(keyring.uses(), 0);
    assert!(keyring.seal_payload(&CONTEXT, &plaintext(&most)).is_ok());
    assert!(keyring.seal_metadata(b"k", &most).is_ok());
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::from_text(text).unwrap()
}

fn slot_numbers(file: &[u8]) -> Vec<u8> {
    Keyring::slots(file).unwrap().iter().map(|slot| slot.id).collect()
}

#[test]
fn a_passphrase_opens_what_it_made_and_no_other_does() {
    let right = passphrase("correct horse battery");
    let keyring =
        Keyring::make(StoreId::make().unwrap(), &right, Timestamp::from_unix_millis(7)).unwrap();
    let file = keyring.to_file();
    assert!(Keyring::open(&file, &right).is_ok());
    let refused = |outcome: Result<Keyring, KeyringError>| outcome.err();
    let wrong = passphrase("correct horse batterz");
    assert_eq!(refused(Keyring::open(&file, &wrong)), Some(KeyringError::WrongRootKey));
    let key = RootKey::make().unwrap();
    assert_eq!(refused(Keyring::open(&file, &key)), Some(KeyringError::WrongRootKey));
    let slots = Keyring::slots(&file).unwrap();
    assert_eq!(slots[0].source, RootSource::Argon2id(Argon2Cost::RECOMMENDED));
    assert_eq!((slots.len(), slots[0].created_at), (1, Timestamp::from_unix_millis(7)));
}

#[test]
fn a_short_passphrase_makes_no_slot() {
    let store = StoreId::make().unwrap();
    let made = Keyring::make(store, &passphrase("elevenchars"), Timestamp::default());
    assert_eq!(made.err(), Some(MakeError::PassphraseTooShort));
    let (keyring, root) = make();
    let added = Keyring::with_slot_added(
        &keyring.to_file(),
        &root,
        &passphrase("elevenchars"),
        Timestamp::default(),
    );
    assert_eq!(added.err(), Some(SlotError::Make(MakeError::PassphraseTooShort)));
}

#[test]
fn two_root_keys_open_one_keyring_until_one_is_dropped() {
    let (keyring, first) = make();
    keyring.set_uses(0, 1);
    let record = keyring.seal_metadata(b"key", b"labels").unwrap();
    let second = RootKey::make().unwrap();
    let opens = |file: &[u8], root: &RootKey| match Keyring::open(file, root) {
        Ok(keyring) => keyring.open_metadata(b"key", record.as_bytes()).is_ok(),
        Err(error) => {
            assert_eq!(error, KeyringError::WrongRootKey);
            false
        }
    };

    let now = Timestamp::default();
    let both = Keyring::with_slot_added(&keyring.to_file(), &first, &second, now).unwrap();
    assert!(opens(&both, &first) && opens(&both, &second));
    assert_eq!(slot_numbers(&both), [1, 2]);

    let only_second = Keyring::with_slot_dropped(&both, &second, 1).unwrap();
    assert!(!opens(&only_second, &first) && opens(&only_second, &second));
    assert_eq!(slot_numbers(&only_second), [2]);
    // The number that became free is taken again, in front of the other.
    let third = RootKey::make().unwrap();
    let again = Keyring::with_slot_added(&only_second, &second, &third, now).unwrap();
    assert!(opens(&again, &second) && opens(&again, &third) && !opens(&again, &first));
    assert_eq!(slot_numbers(&again), [1, 2]);

    let only_first = Keyring::with_slot_dropped(&both, &first, 2).unwrap();
    assert!(opens(&only_first, &first) && !opens(&only_first, &second));
    for file in [&both, &only_first, &only_second] {
        let root = if opens(file, &first) { &first } else { &second };
        assert_eq!(Keyring::open(file, root).unwrap().generation(), keyring.generation());
    }
}

#[test]
fn a_slot_that_would_lock_out_or_help_nobody_is_refused() {
    let (keyring, first) = make();
    let (second, now) = (RootKey::make().unwrap(), Timestamp::default());
    let one = keyring.to_file();
    let add = |file: &[u8], present: &RootKey, new: &RootKey| {
        Keyring::with_slot_added(file, present, new, now).err()
    };
    let drop = |file: &[u8], root: &RootKey, id| Keyring::with_slot_dropped(file, root, id).err();
    assert_eq!(add(&one, &first, &first), Some(SlotError::SameKey(1)));
    assert_eq!(
        add(&one, &second, &RootKey::make().unwrap()),
        Some(SlotError::Keyring(KeyringError::WrongRootKey))
    );
    assert_eq!(drop(&one, &first, 1), Some(SlotError::InUse(1)));
    assert_eq!(drop(&one, &first, 2), Some(SlotError::Unknown(2)));
    let both = Keyring::with_slot_added(&one, &first, &second, now).unwrap();
    assert_eq!(add(&both, &first, &RootKey::make().unwrap()), Some(SlotError::Full));
    assert_eq!(drop(&both, &second, 2), Some(SlotError::InUse(2)));
    let stranger = RootKey::make().unwrap();
    assert_eq!(drop(&both, &stranger, 2), Some(SlotError::Keyring(KeyringError::WrongRootKey)));
    let words = passphrase("correct horse battery");
    let mixed = Keyring::with_slot_added(&one, &first, &words, now).unwrap();
    let again = Keyring::with_slot_added(&mixed, &words, &words, now).err();
    assert_eq!(again, Some(SlotError::Full));
    let only_words = Keyring::with_slot_dropped(&mixed, &words, 1).unwrap();
    let again = Keyring::with_slot_added(&only_words, &words, &words, now).err();
    assert_eq!(again, Some(SlotError::SameKey(2)));
}
