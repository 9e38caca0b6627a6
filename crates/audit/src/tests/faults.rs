//! Everything that may be done to a log, and what verify says of it.

use domain::Anchor;

use super::*;
use crate::FaultKind::*;
use crate::line;

#[test]
fn a_log_that_nobody_touched_is_sound() {
    let (home, anchor) = closed_log();
    let report = home.verify(Some(anchor));
    assert!(report.is_sound() && report.notices.is_empty(), "{report:?}");
    // Begin, twenty entries, and the checkpoint of the end.
    assert_eq!((report.lines, report.files, report.unsigned), (22, 1, 0));
    assert_eq!(report.last, Some(anchor));
}

#[test]
fn every_single_byte_of_a_line_counts() {
    let (home, anchor) = closed_log();
    let lines = home.lines();
    for at in 0..lines[10].len() {
        for other in [b'0', b'x', b'"'] {
            let mut bytes = lines[10].clone().into_bytes();
            if bytes[at] == other {
                continue;
            }
            bytes[at] = other;
            let mut edited = lines.clone();
            edited[10] = String::from_utf8(bytes).unwrap();
            home.write(&edited);
            let report = home.verify(Some(anchor));
            assert!(!report.is_sound(), "byte {at}");
            let first = &report.faults[0];
            assert!((10..=12).contains(&first.line), "byte {at}: {report:?}");
        }
    }
}

/// What is done to the lines of a log, and the kinds of faults that are found.
#[test]
fn each_tampering_has_its_fault() {
    type Act = fn(&mut Vec<String>);
    let table: [(&str, Act, &[FaultKind]); 16] = [
        ("nothing", |_| {}, &[]),
        ("a value is edited", |l| l[10] = l[10].replace("alice", "mallory"), &[Edited]),
        ("a time is edited", |l| l[10] = l[10].replace("12:53", "12:54"), &[Edited]),
        ("a space is added", |l| l[10] = l[10].replace(',', ", "), &[Malformed]),
        (
            "a member is added",
            |l| l[10] = l[10].replace(",\"prev", ",\"x\":1,\"prev"),
            &[Malformed],
        ),
        ("a line is removed", |l| drop(l.remove(10)), &[Removed]),
        ("two lines are removed", |l| drop(l.drain(10..12)), &[Removed]),
        ("neighbours are swapped", |l| l.swap(10, 11), &[Moved, Removed]),
        (
            "a line is moved",
            |l| {
                let it = l.remove(5);
                l.insert(12, it);
            },
            &[Moved, Removed],
        ),
        ("a line is repeated", |l| l.insert(10, l[10].clone()), &[Inserted]),
        ("an old line is repeated", |l| l.insert(15, l[3].clone()), &[Inserted]),
        ("text is put in", |l| l.insert(10, "hello".to_owned()), &[Malformed]),
        ("an empty line is put in", |l| l.insert(10, String::new()), &[Malformed]),
        ("the first line is gone", |l| drop(l.remove(0)), &[Begin, FirstMissing]),
        ("a signature is edited", |l| l[21] = resign(&l[21]), &[Anchor, Signature]),
        ("everything is gone", Vec::clear, &[Cut]),
    ];
    for (what, act, expected) in table {
        let (home, anchor) = closed_log();
        let mut lines = home.lines();
        act(&mut lines);
        home.write(&lines);
        assert_eq!(home.faults(Some(anchor)), expected, "{what}");
    }
}

/// A checkpoint with another signature of the right length.
fn resign(line: &str) -> String {
    let (head, tail) = line.split_once("\"signature\":\"").unwrap();
    let (_, tail) = tail.split_once('"').unwrap();
    format!("{head}\"signature\":\"{}\"{tail}", "A".repeat(86) + "==")
}

/// Whoever rewrites the whole chain behind a line, hashes and all, but cannot sign.
#[test]
fn a_rewritten_chain_lacks_signatures_and_misses_the_anchor() {
    let (home, anchor) = closed_log();
    let mut lines = home.lines();
    lines[10] = lines[10].replace("alice", "mallory");
    rechain(&mut lines, 11);
    home.write(&lines);
    assert_eq!(home.faults(Some(anchor)), [Anchor, Signature]);
    assert_eq!(home.faults(None), [Signature]);
}

/// Puts the right hash of its predecessor into each line from there on.
fn rechain(lines: &mut [String], from: usize) {
    for at in from..lines.len() {
        let hash = line::hash(lines[at - 1].as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let (head, _) = lines[at].split_once(",\"prev\"").unwrap();
        lines[at] = format!("{head},\"prev\":\"{hash}\"}}");
    }
}

#[test]
fn a_tail_cut_off_before_the_anchor_is_noticed_and_one_behind_it_is_not() {
    let (home, _) = closed_log();
    let lines = home.lines();
    let hash = line::hash(lines[14].as_bytes());
    let anchor = domain::Anchor { seq: 15, hash };
    for kept in 0..lines.len() {
        home.write(&lines[..kept]);
        let expected: &[FaultKind] = if kept < 15 { &[Cut] } else { &[] };
        assert_eq!(home.faults(Some(anchor)), expected, "{kept} lines");
        assert_eq!(home.faults(None), [], "nobody knows: {kept} lines");
    }
    fs::remove_file(home.current()).unwrap();
    assert_eq!(home.faults(Some(anchor)), [Cut]);
    fs::remove_dir_all(home.current().parent().unwrap()).unwrap();
    assert_eq!(home.faults(Some(anchor)), [Cut]);
}

#[test]
fn keys_that_are_not_trusted_sign_nothing() {
    let (home, anchor) = closed_log();
    let trust = Trust { public_keys: vec![[9; 32]], anchor: Some(anchor), store: Some(STORE) };
    let report = verify(&home.files(), &trust, verify_signature).unwrap();
    assert!(report.faults.iter().all(|fault| fault.kind == Signature) && !report.is_sound());
    let trust = Trust { public_keys: Vec::new(), ..trust };
    let report = verify(&home.files(), &trust, verify_signature).unwrap();
    assert!(report.is_sound() && !report.trusted_keys, "{report:?}");
}

#[test]
fn a_log_of_another_store_is_noticed() {
    let (home, anchor) = closed_log();
    let key = TestSigner::new(7).public_key();
    let trust = Trust { public_keys: vec![key], anchor: Some(anchor), store: Some([1; 16]) };
    let report = verify(&home.files(), &trust, verify_signature).unwrap();
    assert_eq!(
        report.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(),
        [Store, Signature]
    );
}

#[test]
fn a_thousand_lines_have_a_signature_and_more_without_one_are_noticed() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 2500);
    log.close().unwrap();
    let signed: Vec<_> = home.lines().iter().map(|line| line.contains("checkpoint")).collect();
    assert_eq!(signed.iter().filter(|signed| **signed).count(), 3);
    assert_eq!(home.faults(log.anchor()), []);
    // Somebody without the key writes a log of their own that names it all the same.
    let mut lines = home.lines();
    lines.retain(|line| !line.contains("checkpoint"));
    for (seq, line) in (1..).zip(lines.iter_mut()) {
        let (_, tail) = line.split_once(',').unwrap();
        *line = format!("{{\"seq\":{seq},{tail}");
    }
    rechain(&mut lines, 1);
    home.write(&lines);
    assert_eq!(home.faults(None), [Unsigned]);
}

/// A log in several files.
fn rotated_log(keep_files: usize) -> (Home, Anchor) {
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 8 << 10, keep_files, ..home.options() });
    fill(&log, 100);
    log.close().unwrap();
    let anchor = log.anchor().unwrap();
    (home, anchor)
}

#[test]
fn a_log_in_several_files_is_one_chain() {
    let (home, anchor) = rotated_log(0);
    let report = home.verify(Some(anchor));
    assert!(report.is_sound() && report.notices.is_empty(), "{report:?}");
    let rotated = home.files().rotated().unwrap();
    assert!(rotated.len() >= 3 && report.files == rotated.len() as u64 + 1);
    for (_, path) in &rotated {
        let (size, text) = (path.metadata().unwrap().len(), fs::read_to_string(path).unwrap());
        // The checkpoint at its end may stand beyond the limit.
        assert!(size < (8 << 10) + 512, "{size}");
        assert!(text.lines().next().unwrap().contains("\"begin\""));
        assert!(text.lines().last().unwrap().contains("\"checkpoint\""));
    }
}

#[test]
fn a_missing_or_exchanged_file_is_noticed() {
    let (home, anchor) = rotated_log(0);
    let rotated = home.files().rotated().unwrap();
    let (first, second) = (fs::read(&rotated[0].1).unwrap(), fs::read(&rotated[1].1).unwrap());
    fs::remove_file(&rotated[1].1).unwrap();
    assert_eq!(home.faults(Some(anchor)), [Begin, Removed]);
    fs::write(&rotated[1].1, &first).unwrap();
    assert_eq!(home.faults(Some(anchor)), [Begin, Inserted, Removed]);
    fs::write(&rotated[1].1, &second).unwrap();
    fs::remove_file(&rotated[0].1).unwrap();
    assert_eq!(home.faults(Some(anchor)), [FirstMissing]);
    fs::write(&rotated[0].1, &first).unwrap();
    assert_eq!(home.faults(Some(anchor)), []);
    fs::remove_file(home.current()).unwrap();
    assert_eq!(home.faults(Some(anchor)), [Cut]);
}

#[test]
fn files_that_were_deleted_as_configured_are_not_missed_and_others_are() {
    let (home, anchor) = rotated_log(2);
    let rotated = home.files().rotated().unwrap();
    assert_eq!(rotated.len(), 2);
    assert!(rotated[0].0 > 1);
    assert_eq!(home.faults(Some(anchor)), []);
    fs::remove_file(&rotated[0].1).unwrap();
    assert_eq!(home.faults(Some(anchor)), [FirstMissing]);
}

#[test]
fn a_running_log_is_verified_without_a_fault() {
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 16 << 10, keep_files: 3, ..home.options() });
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..40).for_each(|_| fill(&log, 50)));
        while !writer.is_finished() {
            let report = home.verify(log.anchor());
            assert!(report.is_sound(), "{report:?}");
        }
    });
}
