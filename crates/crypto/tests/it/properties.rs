//! Properties over generated inputs.

use std::sync::LazyLock;

use crypto::{Keyring, PayloadContext, RootKey, StoreId};
use domain::{Plaintext, SecretType, Timestamp, Uid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::by_hand::{Keys, LIBRARIES, Place};

const ROOT: [u8; 32] = [7; 32];

fn root() -> RootKey {
    RootKey::from_text(&"07".repeat(32)).unwrap()
}

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let keyring = Keyring::make(StoreId::from_bytes([1; 16]), &root(), Timestamp::default());
    let keyring = keyring.unwrap();
    keyring.set_uses(0, 1 << 20);
    keyring
});

fn by_hand() -> impl Iterator<Item = (&'static crate::by_hand::Library, Keys)> {
    LIBRARIES.iter().map(|library| {
        let keys = library.open_keyring(&KEYRING.to_file(), &ROOT).unwrap();
        assert_eq!(keys.store_id(), KEYRING.store_id());
        (library, keys)
    })
}

fn contexts() -> impl Strategy<Value = PayloadContext> {
    let kinds = select(&SecretType::ALL[..]);
    (any::<[u8; 16]>(), any::<u64>(), kinds).prop_map(|(uid, version, kind)| PayloadContext {
        uid: Uid::from_bytes(uid),
        version,
        kind,
    })
}

fn place(context: &PayloadContext) -> Place<'_> {
    Place { uid: context.uid.as_bytes(), version: context.version, kind: context.kind.code() }
}

fn with_bit_flipped(bytes: &[u8], at: Index) -> Vec<u8> {
    let (mut changed, bit) = (bytes.to_vec(), at.index(8 * bytes.len()));
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

fn exposed(plaintext: Plaintext) -> Vec<u8> {
    // EXPOSE: a test compares the bytes.
    plaintext.expose().to_vec()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_here_and_in_both_libraries(
        context in contexts(), value in vec(any::<u8>(), 0..300),
    ) {
        let sealed = KEYRING.seal_payload(&context, &Plaintext::new(value.clone())).unwrap();
        let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
        let opened = KEYRING.open_payload(&context, wrap, payload).unwrap();
        prop_assert_eq!(&exposed(opened), &value);
        for (library, keys) in by_hand() {
            let opened = library.open_payload(&keys, &place(&context), wrap, payload);
            prop_assert_eq!(opened.as_ref(), Some(&value), "{}", library.name);
        }
    }

    #[test]
    fn what_either_library_seals_opens_here(
        context in contexts(), value in vec(any::<u8>(), 0..300),
        random in any::<[[u8; 28]; 2]>(),
    ) {
        let random = random.concat().try_into().unwrap();
        let seal = |(library, keys): (&'static crate::by_hand::Library, Keys)| {
            library.seal_payload(&keys, &place(&context), &random, &value)
        };
        let sealed: Vec<_> = by_hand().map(seal).collect();
        prop_assert_eq!(&sealed[0], &sealed[1], "ring and aes-gcm differ");
        let opened = KEYRING.open_payload(&context, &sealed[0].0, &sealed[0].1).unwrap();
        prop_assert_eq!(exposed(opened), value);
    }

    #[test]
    fn metadata_opens_under_its_store_key_only(
        store_key in vec(any::<u8>(), 0..80), other in vec(any::<u8>(), 0..80),
        value in vec(any::<u8>(), 0..300),
    ) {
        let record = KEYRING.seal_metadata(&store_key, &value).unwrap();
        let opened = KEYRING.open_metadata(&store_key, record.as_bytes()).unwrap();
        prop_assert_eq!(&exposed(opened), &value);
        for (library, keys) in by_hand() {
            let opened = library.open_metadata(&keys, &store_key, record.as_bytes());
            prop_assert_eq!(opened.as_ref(), Some(&value), "{}", library.name);
        }
        prop_assume!(other != store_key);
        prop_assert!(KEYRING.open_metadata(&other, record.as_bytes()).is_err());
    }

    #[test]
    fn another_context_opens_nothing(
        context in contexts(), other in contexts(), value in vec(any::<u8>(), 0..50),
    ) {
        let sealed = KEYRING.seal_payload(&context, &Plaintext::new(value)).unwrap();
        let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
        for wrong in [
            PayloadContext { uid: other.uid, ..context },
            PayloadContext { version: other.version, ..context },
            PayloadContext { kind: other.kind, ..context },
        ] {
            let opens = KEYRING.open_payload(&wrong, wrap, payload).is_ok();
            prop_assert_eq!(opens, wrong == context);
        }
    }

    #[test]
    fn no_flipped_or_cut_record_opens(
        context in contexts(), value in vec(any::<u8>(), 0..300), at in any::<Index>(),
    ) {
        let sealed = KEYRING.seal_payload(&context, &Plaintext::new(value.clone())).unwrap();
        let (wrap, payload) = (sealed.wrapped_key.as_bytes(), sealed.payload.as_bytes());
        let opens = |wrap: &[u8], payload: &[u8]| {
            KEYRING.open_payload(&context, wrap, payload).is_ok()
        };
        prop_assert!(!opens(&with_bit_flipped(wrap, at), payload));
        prop_assert!(!opens(wrap, &with_bit_flipped(payload, at)));
        prop_assert!(!opens(&wrap[..at.index(wrap.len())], payload));
        prop_assert!(!opens(wrap, &payload[..at.index(payload.len())]));

        let record = KEYRING.seal_metadata(b"key", &value).unwrap();
        let opens = |record: &[u8]| KEYRING.open_metadata(b"key", record).is_ok();
        prop_assert!(!opens(&with_bit_flipped(record.as_bytes(), at)));
        prop_assert!(!opens(&record.as_bytes()[..at.index(record.as_bytes().len())]));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..400), context in contexts()) {
        prop_assert!(KEYRING.open_payload(&context, &bytes, &bytes).is_err());
        prop_assert!(KEYRING.open_metadata(&bytes, &bytes).is_err());
        prop_assert!(Keyring::open(&bytes, &root()).is_err());
        prop_assert!(Keyring::slots(&bytes).is_err());
        let _ = RootKey::from_text(&String::from_utf8_lossy(&bytes));
    }

    /// A checksum that fits lets the bytes through to the layout.
    #[test]
    fn a_forged_keyring_is_refused_without_a_panic(
        changes in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<Option<Index>>(),
    ) {
        let file = KEYRING.to_file();
        let content = &file[..file.len() - 32];
        let mut changed = content.to_vec();
        for (at, byte) in changes {
            changed[at.index(content.len())] = byte;
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(content.len()));
        }
        prop_assume!(changed != content);
        let checksum = ring::digest::digest(&ring::digest::SHA256, &changed);
        let forged = [&changed, checksum.as_ref()].concat();
        prop_assert!(Keyring::open(&forged, &root()).is_err());
    }
}
