//! Keys of items: `secret/TYPE/ID`.
//!
//! The ID is a KSUID: 4 bytes of seconds since 2014-05-13 and 16 bytes more, in base62. Here the
//! seconds are those of the secret's creation, and the bytes are its identity; so both come back out
//! of a key, and nothing has to be stored beside the secret.

use domain::{SecretType, Timestamp, Uid};
use svix_ksuid::{Ksuid, KsuidLike};
use vault::SecretView;

use crate::Request;

/// Where the seconds of a KSUID begin, in seconds since the Unix epoch.
const EPOCH: u64 = 1_400_000_000;
const SECONDS_BYTES: usize = 4;
const BYTES: usize = 20;

/// The key of an item that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: SecretType,
    created: u32,
    pub(super) uid: Uid,
}

impl Key {
    /// The key of a secret, if it is of a type that the platform has.
    pub(super) fn of(view: &SecretView) -> Option<Self> {
        let head = &view.head;
        type_name(head.kind)?;
        Some(Self { kind: head.kind, created: seconds(head.created_at), uid: head.uid })
    }

    /// The key that a path names; none when it is not exactly as [`Key::id`] writes it.
    pub(super) fn of_path(request: &Request) -> Option<Self> {
        let key = request.name("key");
        let (kind, id) = match key.strip_prefix("secret/") {
            Some(rest) => rest.split_once('/')?,
            None if key.is_empty() => (request.name("type"), request.name("id")),
            None => return None,
        };
        Self::parse(kind_of(&format!("secret/{kind}"))?, id)
    }

    fn parse(kind: SecretType, id: &str) -> Option<Self> {
        let ksuid = Ksuid::from_base62(id).ok()?;
        // The library also takes what is too large for 20 bytes, and cuts it.
        if ksuid.to_base62() != id {
            return None;
        }
        let (seconds, uid) = ksuid.bytes().split_first_chunk::<SECONDS_BYTES>()?;
        let uid = Uid::from_bytes(uid.try_into().ok()?);
        Some(Self { kind, created: u32::from_be_bytes(*seconds), uid })
    }

    /// The last part of the key.
    pub(super) fn id(&self) -> String {
        let mut bytes = [0; BYTES];
        let parts = self.created.to_be_bytes().into_iter().chain(*self.uid.as_bytes());
        for (place, byte) in bytes.iter_mut().zip(parts) {
            *place = byte;
        }
        Ksuid::from_bytes(bytes).to_base62()
    }

    /// The first two parts.
    pub(super) const fn type_name(&self) -> &'static str {
        match type_name(self.kind) {
            Some(name) => name,
            None => "",
        }
    }
}

/// What the platform calls a type; nothing for those that it does not have.
const fn type_name(kind: SecretType) -> Option<&'static str> {
    match kind {
        SecretType::Registry => Some("secret/ContainerRegistry"),
        SecretType::S3 => Some("secret/S3"),
        SecretType::Variable => Some("secret/Custom"),
        SecretType::Document | SecretType::Opaque | SecretType::Ssh => None,
    }
}

/// The type that the platform calls so.
pub(super) fn kind_of(name: &str) -> Option<SecretType> {
    SecretType::ALL.into_iter().find(|kind| type_name(*kind) == Some(name))
}

/// A time before or after what a KSUID can say is the nearest that it can.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from((at.unix_millis() / 1000).saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(id: &str) -> Option<Key> {
        Key::parse(SecretType::Variable, id)
    }

    fn hex(text: &str) -> Uid {
        Uid::from_bytes(u128::from_str_radix(text, 16).unwrap().to_be_bytes())
    }

    #[test]
    fn the_platforms_example_says_when_it_was_made() {
        let key = read("2kFmBSWjqxWEGarZC9kkeYOpgMD").unwrap();
        assert_eq!(u64::from(key.created) + EPOCH, 1_722_887_562);
        assert_eq!(key.id(), "2kFmBSWjqxWEGarZC9kkeYOpgMD");
        let at = Timestamp::from_unix_millis(1_722_887_562_999);
        assert_eq!(seconds(at), key.created);
    }

    /// Those of github.com/segmentio/ksuid: the README's, and the least and the largest.
    #[test]
    fn published_ids_are_read_and_written() {
        for (id, created, uid) in [
            ("0ujtsYcgvSTl8PAuAdqWYSMnLOv", 107_608_047, "b5a1cd34b5f99d1154fb6853345c9735"),
            ("0ujzPyRiIAffKhBux4PvQdDqMHY", 107_610_780, "73fc1aa3b2446246d6e89fcd909e8fe8"),
            ("0uk1Hbc9dQ9pxyTqJ93IUrfhdGq", 107_611_700, "9850eeec191bf4ff26f99315ce43b0c8"),
            ("000000000000000000000000000", 0, "0"),
            ("aWgEPTl1tmebfsQzFP4bxwgy80V", u32::MAX, "ffffffffffffffffffffffffffffffff"),
        ] {
            let key = Key { kind: SecretType::Variable, created, uid: hex(uid) };
            assert_eq!(read(id), Some(key), "{id}");
            assert_eq!(key.id(), id);
        }
    }

    #[test]
    fn what_is_not_exactly_an_id_is_none() {
        for id in [
            "",
            "2kFmBSWjqxWEGarZC9kkeYOpgM",
            "2kFmBSWjqxWEGarZC9kkeYOpgMDD",
            "2kFmBSWjqxWEGarZC9kkeYOpgM-",
            // One more than the largest, and the largest text.
            "aWgEPTl1tmebfsQzFP4bxwgy80W",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzz",
            // A letter whose last byte is that of another one.
            "2kFmBSWjqxWEGarZC9kkeYOpg\u{14d}",
        ] {
            assert_eq!(read(id), None, "{id}");
        }
    }

    #[test]
    fn the_types_of_the_platform_have_names_that_lead_back() {
        let named = SecretType::ALL.into_iter().filter_map(|kind| Some((kind, type_name(kind)?)));
        let named: Vec<_> = named.collect();
        assert_eq!(named.len(), 3);
        assert!(named.iter().all(|(kind, name)| kind_of(name) == Some(*kind)));
        assert_eq!(kind_of("secret/Opaque"), None);
        assert_eq!(kind_of(""), None);
    }

    #[test]
    fn times_that_no_id_can_say_are_the_nearest() {
        assert_eq!(seconds(Timestamp::from_unix_millis(0)), 0);
        assert_eq!(seconds(Timestamp::from_unix_millis(u64::MAX)), u32::MAX);
    }

    proptest! {
        #[test]
        fn each_id_is_read_back(created: u32, uid: [u8; 16]) {
            let key = Key { kind: SecretType::S3, created, uid: Uid::from_bytes(uid) };
            let id = key.id();
            prop_assert_eq!(id.len(), 27);
            prop_assert_eq!(Key::parse(SecretType::S3, &id), Some(key));
        }

        #[test]
        fn whatever_is_read_is_written_the_same(id in "[0-9A-Za-z]{27}|\\PC{0,40}") {
            if let Some(key) = read(&id) {
                prop_assert_eq!(key.id(), id);
            }
        }
    }
}
