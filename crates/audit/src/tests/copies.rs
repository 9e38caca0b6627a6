//! A copy that somebody else kept: whatever it has, the log has to have.

use std::ops::RangeInclusive;

use super::*;
use crate::{Compared, Lost, compare};

fn keys() -> Vec<[u8; 32]> {
    vec![TestSigner::new(7).public_key()]
}

fn compared(home: &Home, copy: &[String]) -> Compared {
    let path = home.0.path().join("copy");
    fs::write(&path, copy.join("\n") + "\n").unwrap();
    compare(&path, &home.files(), (&STORE, &keys()), verify_signature).unwrap()
}

/// Goes on with a log, an entry for each of these resource versions, and closes it.
fn log_with(
    home: &Home,
    expected: Option<Anchor>,
    versions: RangeInclusive<u64>,
) -> Option<Anchor> {
    let log = home.open_expecting(expected);
    for n in versions {
        let entry = Entry { resource_version: Some(n.to_string()), ..Entry::default() };
        log.append(&entry).synced_blocking().unwrap();
    }
    log.close().unwrap();
    log.anchor()
}

fn lost(home: &Home, copy: &[String]) -> Option<Lost> {
    compared(home, copy).lost
}

#[test]
fn a_part_of_the_log_between_lines_of_others_is_no_loss() {
    let home = Home::new();
    log_with(&home, None, 1..=10);
    let lines = home.lines();
    for part in [&lines[..], &lines[3..], &lines[..4], &lines[5..6]] {
        let found = compared(&home, part);
        assert_eq!((found.lines, found.lost), (part.len() as u64, None));
    }
    let mixed = [&["serving http://x".to_owned()], &lines[2..5], &[String::new()], &lines[..4]];
    assert_eq!(compared(&home, &mixed.concat()), Compared { lines: 7, lost: None });
    // The oldest files are gone, as configured; what they held lies before the log.
    home.write(&lines[6..]);
    assert_eq!(lost(&home, &lines), None);
}

#[test]
fn a_log_that_ends_before_its_copy_was_put_back() {
    let home = Home::new();
    log_with(&home, None, 1..=10);
    let lines = home.lines();
    let count = lines.len() as u64;
    home.write(&lines[..5]);
    let found = lost(&home, &lines).unwrap();
    assert_eq!((found.lines, found.first, found.last), (count - 5, 6, count));
    assert!(found.signed && !found.forked);
    assert_eq!(found.resource_version.unwrap().to_string(), "10");
    // One that nobody has signed yet is a loss too, and shown for what it is.
    let found = lost(&home, &lines[..8]).unwrap();
    assert!(!found.signed && found.lines == 3);
    home.write(&[]);
    assert_eq!(lost(&home, &lines).unwrap().first, 1);
}

#[test]
fn a_log_that_went_on_from_an_earlier_state_has_other_lines_than_its_copy() {
    let home = Home::new();
    let backup = log_with(&home, None, 1..=4);
    let (early, at) = (home.lines(), home.lines().len());
    log_with(&home, backup, 1..=10);
    let later = home.lines();
    home.write(&early);
    log_with(&home, backup, 5..=50);
    assert_eq!(home.faults(None), [], "the log by itself is sound");
    let found = lost(&home, &later).unwrap();
    assert_eq!((found.first, found.last), (at as u64 + 1, later.len() as u64));
    assert!(found.signed && found.forked);
    // What the second life sent as well is there.
    let both = [later.clone(), home.lines()].concat();
    assert_eq!(lost(&home, &both).unwrap().lines, found.lines);
}

#[test]
fn a_copy_of_another_store_or_none_at_all_is_an_error() {
    let home = Home::new();
    log_with(&home, None, 1..=2);
    let path = home.0.path().join("copy");
    let compare = |store: &[u8; 16]| {
        compare(&path, &home.files(), (store, &keys()), verify_signature).map(|found| found.lost)
    };
    assert!(compare(&STORE).is_err());
    fs::copy(home.current(), &path).unwrap();
    assert_eq!(compare(&STORE).unwrap(), None);
    assert!(compare(b"another store 00").is_err());
}

#[test]
fn a_line_that_comes_to_the_file_a_moment_later_is_no_loss() {
    let home = Home::new();
    log_with(&home, None, 1..=10);
    let lines = home.lines();
    home.write(&lines[..7]);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            home.write(&lines);
        });
        assert_eq!(lost(&home, &lines), None);
        late.join().unwrap();
    });
}

#[test]
fn what_the_log_spoke_of_behind_its_anchor_is_known_when_it_is_opened() {
    let home = Home::new();
    let backup = log_with(&home, None, 1..=4);
    let last = log_with(&home, backup, 1..=10);
    let found = |expected| {
        let log = home.open_expecting(expected);
        log.resource_version_found().map(|version| version.to_string())
    };
    assert_eq!(found(backup).as_deref(), Some("10"));
    assert_eq!(found(last), None, "nothing lies behind it that speaks of any");
    assert_eq!(found(None), None);
}

#[test]
fn the_latest_resource_version_of_a_log_is_named_with_its_line() {
    let home = Home::new();
    log_with(&home, None, 1..=10);
    let (version, line) = home.verify(None).resource_version.unwrap();
    assert_eq!((version.to_string().as_str(), line), ("10", 11));
}
