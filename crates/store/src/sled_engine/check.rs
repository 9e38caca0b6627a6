//! The check of a store that sled has just opened. sled trusts its files: it has been seen to open
//! a damaged one with acknowledged records missing and to say nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;

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
        check_records(raw)?;
        check_log(raw, &meta)?;
    }
    Ok(meta)
}

/// Reads every record with its chunks. A payload without its wrapped key, or the reverse, is a
/// version that lost half of itself.
fn check_records(raw: &Raw) -> Result<(), OpenError> {
    let (mut wrapped, mut payloads) = (HashSet::new(), HashSet::new());
    for entry in raw.range(&KeyRange::records()) {
        let (key, stored) = entry.map_err(unreadable)?;
        payloads.extend(key.payload_of());
        if let Some(uid) = key.wrapped_keys_of() {
            let keys = WrappedKeys::decode(&stored.value)
                .map_err(|_| damaged("a secret's wrapped keys are not readable".to_owned()))?;
            wrapped.extend(keys.iter().map(|(number, _)| (uid, number)));
        }
    }
    if wrapped != payloads {
        return Err(damaged("a version has lost its key or its payload".to_owned()));
    }
    Ok(())
}

fn check_log(raw: &Raw, meta: &Meta) -> Result<(), OpenError> {
    let gap = |revision: Revision| {
        let at = ResourceVersion::new(meta.incarnation, revision);
        damaged(format!("the change log has a gap or a foreign entry at resourceVersion {at}"))
    };
    let mut latest = HashMap::new();
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
    for (key, (kind, revision)) in latest {
        let found = raw
            .find(&key)
            .and_then(|found| found.outline())
            .map_err(unreadable)?
            .map(|outline| outline.changed_at);
        let expected = if kind == ChangeKind::Deleted { None } else { Some(revision) };
        if found != expected {
            let at = ResourceVersion::new(meta.incarnation, revision);
            return Err(damaged(format!(
                "a record is not as the change log left it at resourceVersion {at}"
            )));
        }
    }
    Ok(())
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
