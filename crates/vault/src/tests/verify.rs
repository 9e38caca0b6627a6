//! Verification: of a store with something of everything nothing is wrong, and whatever is taken away,
//! garbled or put in another's place is found.

use super::whole_store::filled_store;
use super::*;
use crate::{Finding, Verification};

fn verify(running: &Running) -> Verification {
    running.vault.verify(&running.may(WholeStore), &mut |_| {}).unwrap()
}

fn found(running: &Running) -> Vec<Finding> {
    verify(running).findings
}

/// Writes a record, or removes it, behind the back of everything that keeps records together.
fn force(running: &Running, key: &Key, value: Option<Vec<u8>>) {
    let mut commit = Commit::default();
    match value {
        Some(value) => commit.put(key.clone(), value),
        None => commit.remove(key.clone()),
    };
    running.engine.commit(commit).unwrap();
}

fn records(running: &Running) -> Vec<(Key, Vec<u8>)> {
    let range = KeyRange { start: Key::from_bytes(vec![1]), end: Key::from_bytes(vec![0x7f]) };
    let page = running.engine.scan(&range, 100_000).unwrap();
    page.records.into_iter().map(|(key, stored)| (key, stored.value)).collect()
}

#[test]
fn nothing_is_wrong_with_a_store_that_nobody_has_tampered_with() {
    let (_home, running) = filled_store();
    let done = verify(&running);
    assert_eq!((done.findings, done.wrong), (Vec::new(), 0));
    let heads = [KeyRange::all_heads(), KeyRange::all_deleted_heads()];
    let heads: Vec<_> = heads.iter().flat_map(|range| running.heads(range)).collect();
    let kept = heads.iter().flat_map(|head| &head.versions);
    let kept = kept.filter(|version| version.state != VersionState::Destroyed).count();
    assert_eq!((done.secrets, done.versions), (heads.len() as u64, kept as u64));
    assert!(done.records > 40, "{}", done.records);
}

/// What nothing refers to may go unnoticed: events, which the engine looks after; when something was last
/// used; counters; and what stands by itself.
#[test]
fn a_record_that_is_missing_is_found_by_what_refers_to_it() {
    const BY_ITSELF: [u8; 9] = [0x01, 0x07, 0x08, 0x0b, 0x0f, 0x10, 0x12, 0x13, 0x14];
    let (_home, running) = filled_store();
    let mut looked_at = BTreeSet::new();
    for (key, value) in records(&running) {
        let kind = key.as_bytes()[0];
        // Nor does anything refer to a project without secrets.
        let empty = kind == 0x02 && key != Key::project(&project("ml"));
        if BY_ITSELF.contains(&kind) || empty {
            continue;
        }
        force(&running, &key, None);
        assert_ne!(found(&running), [], "{key:?}");
        force(&running, &key, Some(value));
        looked_at.insert(kind);
    }
    assert_eq!(found(&running), []);
    assert_eq!(
        looked_at,
        BTreeSet::from([0x02, 0x03, 0x04, 0x05, 0x06, 0x09, 0x0a, 0x0c, 0x0d, 0x0e, 0x11])
    );
}

#[test]
fn a_record_that_is_garbled_or_in_anothers_place_is_found() {
    // Counters and generations are numbers, of which any is one.
    const NUMBERS: [u8; 3] = [0x01, 0x0b, 0x13];
    let (_home, running) = filled_store();
    let all = records(&running);
    for (index, (key, value)) in all.iter().enumerate() {
        let kind = key.as_bytes()[0];
        if NUMBERS.contains(&kind) {
            continue;
        }
        let mut garbled = value.clone();
        let middle = garbled.len() / 2;
        garbled[middle] ^= 1;
        let shorter = value[..value.len() - 1].to_vec();
        let other = all[index + 1..].iter().chain(&all).find(|(other, value_of_other)| {
            other.as_bytes()[0] == kind && other != key && value_of_other != value
        });
        let mut forged = vec![("shorter", shorter)];
        // An event says things in the clear, and so does a tombstone: a flipped bit may be another name.
        if ![0x07, 0x08, 0x14].contains(&kind) {
            forged.push(("garbled", garbled));
        }
        if ![0x07, 0x08, 0x0a, 0x0e].contains(&kind) {
            forged.extend(other.map(|(_, value)| ("another's", value.clone())));
        }
        for (what, bytes) in forged {
            force(&running, key, Some(bytes));
            assert_ne!(found(&running), [], "{what} {key:?}");
        }
        force(&running, key, Some(value.clone()));
    }
    assert_eq!(found(&running), []);
}

/// What is changed while it is looked at is no finding.
#[test]
fn writers_are_no_finding() {
    let (_home, running) = filled_store();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut step = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                step += 1;
                running.update("hf", &step.to_string()).unwrap();
                running.create("passing", "1").unwrap();
                running.delete("passing").unwrap();
            }
            step
        });
        for _ in 0..5 {
            assert_eq!(found(&running), []);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().unwrap() > 2);
    });
}
