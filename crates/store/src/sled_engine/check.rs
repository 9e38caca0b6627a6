//! The check of a store that sled has just opened. sled trusts its files: it has been seen to open
//! a damaged one with acknowledged records missing and to say nothing.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use domain::{ResourceVersion, Revision};

use super::head_file::Head;
use super::meta::{Meta, decode_event, event_position};
use super::raw::Raw;
use super::{Depth, OpenError};
use crate::engine::StoreError;
use crate::key::{Key, KeyRange};
use crate::record::{Change, ChangeKind, ChangedObject, WrappedKeys};

/// Reads the engine's record and holds it against `HEAD`; on request everything else too: each
/// record must be readable, and the change log must have no gap and be right about each record.
pub(super) fn check(raw: &Raw, store: &Path, head: &Head, depth: Depth) -> Result<Meta, OpenError> {
    let meta = raw.get(&Meta::key()).map_err(unreadable)?;
    let meta = meta.and_then(|stored| Meta::decode(&stored.value).ok());
    let meta = meta.ok_or_else(|| {
        let acknowledged = ResourceVersion::new(head.incarnation, head.revision);
        damaged(format!(
            "the store opened without its own record, while HEAD says that resourceVersion {acknowledged} was acknowledged"
        ))
    })?;
    if meta.store != head.store || meta.incarnation != head.incarnation {
        return Err(damaged("HEAD and the data files belong to different stores".to_owned()));
    }
    if meta.revision < head.revision {
        let found = ResourceVersion::new(meta.incarnation, meta.revision);
        let acknowledged = ResourceVersion::new(head.incarnation, head.revision);
        return Err(damaged(format!(
            "the data files end at resourceVersion {found}, while HEAD says that {acknowledged} was acknowledged"
        )));
    }
    let blobs = std::fs::read_dir(store.join("blobs"));
    if blobs.is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(damaged(format!("{} is not empty", store.join("blobs").display())));
    }
    if depth == Depth::Everything {
        // Most of the time goes into the decoding of sled's leaves, and there are two halves of it.
        thread::scope(|scope| {
            let beside = thread::Builder::new().name("store-check".to_owned());
            let versions = beside.spawn_scoped(scope, || check_versions(raw));
            let others = check_log(raw, &meta).and_then(|latest| check_others(raw, &meta, latest));
            others.and(match versions {
                Ok(versions) => versions.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // A system that has no thread to give says nothing of the files.
                Err(_) => check_versions(raw),
            })
        })?;
    }
    Ok(meta)
}

/// What the change log says last of each record that it names.
type Latest = HashMap<Key, (ChangeKind, Revision)>;

/// Reads every wrapped key and every payload with its chunks. One without the other is a version that
/// lost half of itself. Their keys have the same order, so neither has to be remembered.
fn check_versions(raw: &Raw) -> Result<(), OpenError> {
    let lost = || damaged("a version has lost its key or its payload".to_owned());
    let mut payloads = raw.range(&KeyRange::payloads());
    for entry in raw.range(&KeyRange::wrapped_keys()) {
        let (key, stored) = entry.map_err(unreadable)?;
        let uid = key.wrapped_keys_of().ok_or_else(lost)?;
        let keys = WrappedKeys::decode(&stored.value)
            .map_err(|_| damaged("a secret's wrapped keys are not readable".to_owned()))?;
        for (number, _) in keys.iter() {
            let (payload, _) = payloads.next().ok_or_else(lost)?.map_err(unreadable)?;
            if payload.payload_of() != Some((uid, number)) {
                return Err(lost());
            }
        }
    }
    match payloads.next() {
        None => Ok(()),
        Some(_) => Err(lost()),
    }
}

fn check_log(raw: &Raw, meta: &Meta) -> Result<Latest, OpenError> {
    let gap = |revision: Revision| {
        let at = ResourceVersion::new(meta.incarnation, revision);
        damaged(format!("the change log has a gap or a foreign entry at resourceVersion {at}"))
    };
    let mut latest = Latest::new();
    let mut previous: Option<Revision> = None;
    let mut count = 0;
    for entry in raw.range(&KeyRange::events(meta.log_floor)) {
        let (key, stored) = entry.map_err(unreadable)?;
        let (revision, _) = event_position(&key).map_err(|_| gap(stored.changed_at))?;
        let (before, bytes) = decode_event(&stored.value).map_err(|_| gap(revision))?;
        let follows = match previous {
            // The oldest event's predecessor was trimmed, or there never was one.
            None => before <= meta.log_floor,
            Some(previous) => before == previous,
        };
        if !follows || revision > meta.revision {
            return Err(gap(revision));
        }
        let change = Change::decode(bytes).map_err(|_| gap(revision))?;
        if let Some(key) = record_key(&change) {
            latest.insert(key, (change.kind, revision));
        }
        previous = Some(revision);
        count += 1;
    }
    if count != meta.log_count || previous.is_some_and(|last| last != meta.last_event) {
        return Err(gap(meta.last_event));
    }
    Ok(latest)
}

/// Reads what neither a version nor the change log is, in the order in which it lies there: to look up
/// what the log names would read a leaf of sled's for each.
fn check_others(raw: &Raw, meta: &Meta, mut latest: Latest) -> Result<(), OpenError> {
    let contradicted = |revision| {
        let at = ResourceVersion::new(meta.incarnation, revision);
        damaged(format!("a record is not as the change log left it at resourceVersion {at}"))
    };
    let (all, log) = (KeyRange::records(), KeyRange::events(meta.log_floor));
    let before_versions = KeyRange { start: all.start, end: KeyRange::wrapped_keys().start };
    let before_log = KeyRange { start: KeyRange::payloads().end, end: log.start };
    let behind_log = KeyRange { start: log.end, end: all.end };
    for range in [before_versions, before_log, behind_log] {
        for entry in raw.range(&range) {
            let (key, stored) = entry.map_err(unreadable)?;
            match latest.remove(&key) {
                Some((kind, revision))
                    if kind == ChangeKind::Deleted || stored.changed_at != revision =>
                {
                    return Err(contradicted(revision));
                }
                _ => {}
            }
        }
    }
    let missing = latest.into_values().find(|(kind, _)| *kind != ChangeKind::Deleted);
    missing.map_or(Ok(()), |(_, revision)| Err(contradicted(revision)))
}

/// The record that an event speaks of, unless that is removed silently in due time or is not named.
fn record_key(change: &Change) -> Option<Key> {
    match &change.object {
        ChangedObject::Project(path) => Some(Key::project(path)),
        ChangedObject::Secret(path) => Some(Key::head(path)),
        ChangedObject::Token => Some(Key::token(change.uid)),
        ChangedObject::Principal => Some(Key::principal(change.uid)),
        // Their events do not say their names.
        ChangedObject::Consumer | ChangedObject::Organization | ChangedObject::Tombstone => None,
    }
}

fn damaged(what: String) -> OpenError {
    OpenError::Damaged { what }
}

fn unreadable(error: StoreError) -> OpenError {
    OpenError::Damaged { what: error.to_string() }
}
