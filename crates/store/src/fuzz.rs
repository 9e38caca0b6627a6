//! What `fuzz/` calls. Each function answers whether something accepted its input.

use domain::Malformed;

use crate::backup::{BackupEntry, BackupReader, BackupWriter, frame};
use crate::{
    Change, ConsumerRecord, Head, Holding, Key, OrgRecord, PrincipalRecord, ProjectRecord,
    RotationRecord, TokenRecord, WrappedKeys, decode_last_use, decode_secret_path,
    decode_tombstone, encode_last_use, encode_secret_path, encode_tombstone, read_backup,
};

/// What is decoded as some record was encoded exactly so.
pub fn record(bytes: &[u8]) -> bool {
    let records = [
        again(bytes, Head::decode, Head::encode),
        again(bytes, ProjectRecord::decode, ProjectRecord::encode),
        again(bytes, TokenRecord::decode, TokenRecord::encode),
        again(bytes, PrincipalRecord::decode, PrincipalRecord::encode),
        again(bytes, OrgRecord::decode, OrgRecord::encode),
        again(bytes, ConsumerRecord::decode, ConsumerRecord::encode),
        again(bytes, Holding::decode, Holding::encode),
        again(bytes, RotationRecord::decode, RotationRecord::encode),
        again(bytes, WrappedKeys::decode, WrappedKeys::encode),
        again(bytes, decode_last_use, |at| encode_last_use(*at)),
        again(bytes, Change::decode, Change::encode),
        again(bytes, decode_tombstone, encode_tombstone),
        again(bytes, decode_secret_path, encode_secret_path),
    ];
    records.contains(&true)
}

/// What is read as a backup to its end is one that is written exactly so, but for where its frames end.
pub fn backup(bytes: &[u8]) -> bool {
    let mut input = bytes;
    let Ok((header, mut reader)) = BackupReader::begin(&mut input) else { return false };
    let mut out = Vec::new();
    let Ok(mut writer) = BackupWriter::begin(&mut out, &header) else { return false };
    while let Ok(entry) = reader.next() {
        let written = match entry {
            Some(BackupEntry::Record(key, stored)) => writer.record(&key, &stored),
            Some(BackupEntry::Kept(key, at)) => writer.kept(&key, at),
            None => {
                let written = writer.finish().ok();
                let counts = reader.summary();
                let same = written.is_some_and(|written| {
                    (written.records, written.kept) == (counts.records, counts.kept)
                });
                let again = read_backup(&mut out.as_slice()).ok();
                assert!(same && again == written.map(|written| (header, written)));
                return true;
            }
        };
        assert!(written.is_ok(), "memory takes everything");
    }
    false
}

/// A backup with the checksums that belong to its frames, so that a fuzzer gets behind them.
pub fn backup_of_frames(bytes: &[u8]) -> bool {
    let mut out = Vec::new();
    let mut checksum = None;
    let mut rest = bytes;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(more.len());
        let (body, behind) = more.split_at(length);
        frame(&mut out, &mut checksum, body);
        rest = behind;
    }
    backup(&out)
}

fn again<T>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, Malformed>,
    encode: fn(&T) -> Vec<u8>,
) -> bool {
    let decoded = decode(bytes);
    if let Ok(record) = &decoded {
        assert!(encode(record) == bytes, "a record has a second encoding");
    }
    decoded.is_ok()
}

/// The names that are read from a key lead back to it.
pub fn key(bytes: &[u8]) -> bool {
    let key = Key::from_bytes(bytes.to_vec());
    assert!(key.successor() > key);
    let tail = |key: Key| key.as_bytes().get(1..).map(<[u8]>::to_vec);
    let own = bytes.get(1..).map(<[u8]>::to_vec);
    let secret = key.secret_path();
    if let Some(path) = &secret {
        assert_eq!(tail(Key::head(path)), own, "a key names another secret");
        assert_eq!(key.project_path().as_ref(), Some(&path.project));
    }
    if let Some(uid) = key.uid()
        && bytes.len() == 17
    {
        assert_eq!(tail(Key::token(uid)), own, "a key names another identity");
    }
    secret.is_some()
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
pub(crate) mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;
    use super::*;

    #[test]
    fn every_seed_of_a_backup_holds() {
        let bodies = crate::backup::sample_bodies();
        let framed = bodies.iter().flat_map(|body| {
            let length = u16::try_from(body.len()).unwrap();
            [&length.to_be_bytes()[..], body].concat()
        });
        replay("backup", backup_of_frames, &[("whole", framed.collect())]);
        assert!(!backup(b"TRESORBK\0\x01"));
    }

    #[test]
    fn every_seed_of_a_key_holds() {
        let path = decode_secret_path(b"\x01\0\0\0\x07default\0\0\0\x02ml\0\0\0\x04a/hf").unwrap();
        replay("key", key, &[("head", Key::head(&path).as_bytes().to_vec())]);
        assert!(!key(b"\x03default\0ml\0a//b"));
    }
}
