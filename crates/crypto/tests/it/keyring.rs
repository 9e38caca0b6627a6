//! A keyring's life: faults told apart, uses counted, stores kept apart.

use crypto::{
    KekId, Keyring, KeyringError, MAX_PLAINTEXT_BYTES, MAX_USES, OpenError, PayloadContext,
    RootKey, SealError, StoreId,
};
use domain::{Plaintext, SecretType, Timestamp, Uid};

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
