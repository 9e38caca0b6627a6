//! What a killed process, a power cut or somebody else leaves behind, and how the log goes on.

use domain::Anchor;

use super::*;
use crate::line;
use crate::{Notice, tail};

fn anchor_at(lines: &[String], seq: usize) -> Anchor {
    Anchor { seq: seq as u64, hash: line::hash(lines[seq - 1].as_bytes()) }
}

fn kinds_of(lines: &[String]) -> Vec<&str> {
    let kind = |line: &'_ String| {
        ["begin", "break", "checkpoint", "entry", "gap", "retention"]
            .into_iter()
            .find(|kind| line.contains(&format!("\"kind\":\"{kind}\"")))
    };
    lines.iter().filter_map(kind).collect()
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let (home, anchor) = closed_log();
    let log = home.open_expecting(Some(anchor));
    assert_eq!(log.anchor(), Some(anchor));
    fill(&log, 3);
    log.close().unwrap();
    let report = home.verify(log.anchor());
    assert!(report.is_sound() && report.notices.is_empty(), "{report:?}");
    assert_eq!(home.lines().len(), 26);
}

/// Killed within the last three lines: what is behind the anchor may be gone, nothing
/// else, and the chain goes on.
#[test]
fn a_log_that_was_torn_anywhere_goes_on() {
    let (home, _) = closed_log();
    let lines = home.lines();
    let whole: usize = lines[..19].iter().map(|line| line.len() + 1).sum();
    let bytes = fs::read(home.current()).unwrap();
    let anchor = anchor_at(&lines, 19);
    let ends =
        |length: usize| bytes[..length].ends_with(b"\n") || bytes[length..].starts_with(b"\n");
    for length in (whole..=bytes.len()).filter(|&length| length % 29 == 0 || ends(length)) {
        fs::write(home.current(), &bytes[..length]).unwrap();
        let log = home.open_expecting(Some(anchor));
        fill(&log, 1);
        log.close().unwrap();
        let report = home.verify(log.anchor());
        assert!(report.is_sound(), "at {length}: {report:?}");
        let at_end_of_line = bytes[..length].ends_with(b"\n");
        assert_eq!(report.notices.is_empty(), at_end_of_line, "at {length}");
        assert!(home.faults(Some(anchor)).is_empty());
    }
}

/// The same for a log whose first line was being written: nothing was promised yet.
#[test]
fn a_log_that_was_torn_in_its_first_line_begins_again() {
    let (home, _) = closed_log();
    let first = home.lines()[0].clone();
    for length in (0..first.len()).step_by(17) {
        fs::write(home.current(), &first.as_bytes()[..length]).unwrap();
        let log = home.open();
        fill(&log, 1);
        log.close().unwrap();
        assert!(home.verify(log.anchor()).is_sound(), "at {length}");
    }
}

/// What was durable is gone: the daemon starts, says so, and verify says so for ever.
#[test]
fn a_log_that_ends_before_the_anchor_goes_on_and_confesses() {
    let (home, anchor) = closed_log();
    let (lines, bytes) = (home.lines(), fs::read(home.current()).unwrap());
    for cut in [1, 50, 400, 2000, bytes.len()] {
        fs::write(home.current(), &bytes[..bytes.len() - cut]).unwrap();
        let log = home.open_expecting(Some(anchor));
        fill(&log, 1);
        log.close().unwrap();
        let report = home.verify(log.anchor());
        assert!(report.faults.iter().any(|fault| fault.kind == FaultKind::Break), "{report:?}");
        let said = report.faults.iter().find(|fault| fault.kind == FaultKind::Break).unwrap();
        assert!(said.what.contains(&format!("line {}", anchor.seq)), "{said:?}");
        assert!(said.seq > anchor.seq, "{said:?}");
        // Nothing of what was there is thrown away.
        let kept = fs::read(home.current()).unwrap();
        assert!(kept.starts_with(&bytes[..bytes.len() - cut]));
        // And the next start finds nothing new to say.
        let again = home.open_expecting(log.anchor());
        again.close().unwrap();
        let breaks = kinds_of(&home.lines()).into_iter().filter(|kind| *kind == "break").count();
        assert_eq!(breaks, 1, "cut {cut} of {} lines", lines.len());
    }
}

#[test]
fn a_log_that_is_gone_begins_anew_behind_the_anchor_and_confesses() {
    let (home, anchor) = closed_log();
    fs::remove_file(home.current()).unwrap();
    let log = home.open_expecting(Some(anchor));
    fill(&log, 1);
    log.close().unwrap();
    assert_eq!(kinds_of(&home.lines())[..2], ["begin", "break"]);
    assert!(home.lines()[1].contains("\"reason\":\"missing\""));
    let faults = home.faults(log.anchor());
    assert_eq!(faults, [FaultKind::Break, FaultKind::FirstMissing]);
}

#[test]
fn another_line_in_the_anchors_place_is_recorded() {
    let (home, mut anchor) = closed_log();
    anchor.hash[0] ^= 1;
    let log = home.open_expecting(Some(anchor));
    log.close().unwrap();
    assert!(home.lines()[22].contains("\"reason\":\"differs\""));
    assert_eq!(home.faults(log.anchor()), [FaultKind::Break]);
}

#[test]
fn lines_behind_the_anchor_that_are_no_chain_are_recorded_and_kept() {
    let (home, _) = closed_log();
    let lines = home.lines();
    let anchor = anchor_at(&lines, 15);
    let mut edited = lines.clone();
    edited[17] = edited[17].replace("alice", "mallory");
    for edited in [edited, [&lines[..], &["\0\0\0".to_owned()]].concat()] {
        home.write(&edited);
        let log = home.open_expecting(Some(anchor));
        fill(&log, 1);
        log.close().unwrap();
        assert!(home.lines().starts_with(&edited));
        let faults = home.faults(log.anchor());
        assert!(faults.contains(&FaultKind::Break), "{faults:?}");
    }
}

/// A kill at each step of a rotation: before the rename, after it, and with the new file's first line
/// half there.
#[test]
fn a_rotation_that_was_cut_off_is_made_again() {
    let home = Home::new();
    let small = || Options { max_file_bytes: 8 << 10, ..home.options() };
    let log = home.open_with(small());
    while home.files().rotated().unwrap().is_empty() {
        fill(&log, 1);
    }
    log.close().unwrap();
    let (_, rotated) = home.files().rotated().unwrap().remove(0);
    let (older, current) = (fs::read(&rotated).unwrap(), fs::read(home.current()).unwrap());
    let text = String::from_utf8(older.clone()).unwrap();
    let last = text.lines().last().unwrap();
    let expected = Anchor { seq: text.lines().count() as u64, hash: line::hash(last.as_bytes()) };
    let goes_on = |state: &str| {
        let log = home.open_with(Options { expected: Some(expected), ..small() });
        fill(&log, 2);
        log.close().unwrap();
        let report = home.verify(log.anchor());
        assert!(report.is_sound(), "{state}: {report:?}");
        assert!(!kinds_of(&home.lines()).contains(&"gap"));
    };
    fs::remove_file(home.current()).unwrap();
    goes_on("renamed");
    for length in [0, 1, 100] {
        fs::write(home.current(), &current[..length]).unwrap();
        goes_on("first line torn");
    }
    fs::remove_file(&rotated).unwrap();
    fs::write(home.current(), &older).unwrap();
    goes_on("not renamed");
}

/// The store's last commit may be older than the last rotation.
#[test]
fn an_anchor_in_an_older_file_is_found() {
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 8 << 10, ..home.options() });
    fill(&log, 100);
    log.close().unwrap();
    let (first, path) = home.files().rotated().unwrap().pop().unwrap();
    let text = fs::read_to_string(path).unwrap();
    for (number, line) in text.lines().enumerate() {
        let seq = first + number as u64;
        let expected = Anchor { seq, hash: line::hash(line.as_bytes()) };
        home.open_expecting(Some(expected)).close().unwrap();
    }
    assert!(!kinds_of(&home.lines()).contains(&"break"));
    assert!(home.verify(log.anchor()).is_sound());
}

#[test]
fn a_crash_every_few_hundred_lines_leaves_no_stretch_unsigned() {
    let home = Home::new();
    let mut anchor = None;
    for _ in 0..4 {
        let log = home.open_expecting(anchor);
        fill(&log, 600);
        anchor = log.anchor();
        let killed = fs::read(home.current()).unwrap();
        log.close().unwrap();
        drop(log);
        fs::write(home.current(), killed).unwrap();
    }
    assert_eq!(home.faults(anchor), []);
}

/// Somebody moves the file away, or empties it, under a running daemon.
#[test]
fn a_file_that_is_taken_away_is_noticed_and_made_again() {
    for act in [
        (|home: &Home| fs::remove_file(home.current()).unwrap()) as fn(&Home),
        |home| fs::rename(home.current(), home.0.path().join("taken")).unwrap(),
        |home| fs::write(home.current(), b"").unwrap(),
    ] {
        let home = Home::new();
        let log = home.open();
        fill(&log, 5);
        act(&home);
        eventually("the file is not made again", || {
            let _ = log.append(&entry(1)).written_blocking();
            home.current().exists() && kinds_of(&home.lines()).contains(&"break")
        });
        fill(&log, 1);
        log.close().unwrap();
        assert!(home.faults(log.anchor()).contains(&FaultKind::Break));
        assert_eq!(kinds_of(&home.lines())[..2], ["begin", "break"]);
    }
}

#[test]
fn a_torn_line_is_a_notice_that_says_what_was_cut() {
    let (home, anchor) = closed_log();
    let mut bytes = fs::read(home.current()).unwrap();
    bytes.extend_from_slice(b"{\"seq\":23");
    fs::write(home.current(), &bytes).unwrap();
    // Beside a daemon it may be a line that is being written.
    assert!(home.verify(Some(anchor)).is_sound());
    home.open_expecting(Some(anchor)).close().unwrap();
    let notices = home.verify(Some(anchor)).notices;
    let [Notice { what, .. }] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(what.contains("9 bytes"), "{what}");
}

#[test]
fn the_tail_reaches_into_older_files_and_follows_into_new_ones() {
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 8 << 10, ..home.options() });
    fill(&log, 50);
    let numbers = |lines: &[String]| -> Vec<u64> {
        let seq = |line: &String| line.split([':', ',']).nth(1).unwrap().parse().unwrap();
        lines.iter().map(seq).collect()
    };
    let (last, mut follow) = tail(&home.files(), 40).unwrap();
    let seen = numbers(&last);
    assert_eq!(seen.len(), 40);
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let mut next = seen[39] + 1;
    for _ in 0..20 {
        fill(&log, 7);
        for number in numbers(&follow.next_lines().unwrap()) {
            assert_eq!(number, next);
            next += 1;
        }
    }
    assert!(next > seen[39] + 140);
}
