//! Lines as they are spelled.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use domain::{Anchor, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::OpenError;
use crate::line::{self, Line, MAX_LINE_BYTES};
use crate::record::{
    Base64, Begin, Body, Break, Checkpoint, Gap, Hex, NewKey, Reason, Retention, Seal, Statement,
    parse_time,
};

fn encode(seq: u64, body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    let time = Timestamp::from_unix_millis(BEGUN);
    line::write(&mut out, seq, time, body.kind(), &line::members(body), &[0xab; 32]);
    out
}

/// One line of each kind, for the fuzzer.
pub(crate) fn lines_of_every_kind() -> Vec<(&'static str, Vec<u8>)> {
    let after = Anchor { seq: 7, hash: [1; 32] };
    let signed =
        |statement| Body::Signed(statement, Seal { key: 1, signature: Base64(vec![9; 64]) });
    let begin = Begin {
        format: 1,
        store: Hex(STORE),
        public_key: Hex([3; 32]),
        previous: Some("audit-00000000000000000001.jsonl".to_owned()),
    };
    let odd = Entry {
        time: Timestamp::from_unix_millis(BEGUN),
        actor: "\u{1b}[2J\u{202e}\u{9b}\"\\\n\u{1f600}".to_owned(),
        token: Some("t".to_owned()),
        address: Some("127.0.0.1".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("17592186044417".to_owned()),
        detail: Some(String::new()),
        outcome: Outcome::Denied,
        ..entry(1)
    };
    let gap = Gap { sink: "file".to_owned(), after_seq: 7, after_hash: Hex(after.hash) };
    let expected = Some(Anchor { seq: 9, hash: [2; 32] });
    let bodies = [
        ("begin", Body::Begin(begin)),
        ("break", signed(Statement::Break(Break::new(Reason::Short, after, expected, 3)))),
        ("checkpoint", signed(Statement::Checkpoint(Checkpoint {}))),
        ("entry", Body::Entry(odd)),
        ("gap", signed(Statement::Gap(gap))),
        ("key", signed(Statement::Key(NewKey { new_key: 2, new_public_key: Hex([4; 32]) }))),
        ("retention", signed(Statement::Retention(Retention { through: 6 }))),
    ];
    bodies.iter().map(|(name, body)| (*name, encode(10, body))).collect()
}

/// If you are here because this failed: the format has changed, and logs that were written before can
/// no longer be verified. Raise the format's number, or take the change back.
#[test]
fn golden_lines() {
    let home = Home::new();
    let log = home.open();
    fill(&log, 1);
    log.close().unwrap();
    let lines = home.lines();
    assert_eq!(
        lines,
        [
            r#"{"seq":1,"time":"2026-01-21T12:53:20.000Z","kind":"begin","format":1,"store":"30313233343536373839616263646566","publicKey":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
            r#"{"seq":2,"time":"2026-01-21T12:53:20.000Z","kind":"entry","actor":"user:alice","action":"read","resource":"secret://default/default/ml/key-0","version":0,"outcome":"ok","status":200,"prev":"5d206967fe9534f396c2664363aa122541eae260fc5d2f28b938efc1c5ffbe8f"}"#,
            r#"{"seq":3,"time":"2026-01-21T12:53:20.001Z","kind":"checkpoint","key":1,"signature":"ngVmzAj8OW+gXusIkdrxPPwJE5kWr4+Uf0CZjf6SjeEamYl/kpnrL3MZqAkmQYc6wqUAh4je2U0P3IUg9EMqCA==","prev":"4a3b777f740cdec5976c03ef6a25423e2f9c3f1aedbb8b53ce3737f50d059014"}"#,
        ]
    );
}

#[test]
fn every_kind_of_line_is_read_back_and_is_plain_text() {
    for (name, bytes) in lines_of_every_kind() {
        let line = Line::parse(&bytes).unwrap_or_else(|_| panic!("{name} is not read"));
        assert_eq!(line.body.kind(), name);
        assert!(bytes.iter().all(|byte| (0x20..0x7f).contains(byte)), "{name}");
    }
}

#[test]
fn a_line_is_bounded_whatever_stands_in_it() {
    for character in ["\0", "\u{7f}", "\u{e9}", "\u{20ac}", "\u{1f600}", "a"] {
        let long = character.repeat(5000);
        let entry = Entry {
            actor: long.clone(),
            token: Some(long.clone()),
            address: Some(long.clone()),
            action: long.clone(),
            resource: Some(long.clone()),
            uid: Some(long.clone()),
            version: Some(u64::MAX),
            resource_version: Some(long.clone()),
            status: Some(u16::MAX),
            detail: Some(long),
            ..entry(0)
        };
        let bytes = encode(u64::MAX, &Body::Entry(entry));
        assert!(bytes.len() <= MAX_LINE_BYTES, "{}", bytes.len());
        let Body::Entry(read) = Line::parse(&bytes).unwrap().body else { panic!() };
        assert!(read.actor.len() <= 2048 && read.actor.ends_with("..."));
    }
}

#[test]
fn times_are_read_as_they_are_written_and_in_no_other_way() {
    for millis in [0, 1, 951_782_399_999, 951_782_400_000, 1_709_251_199_999, 4_102_444_800_001] {
        let time = Timestamp::from_unix_millis(millis);
        assert_eq!(parse_time(&time.to_rfc3339()), Some(time));
    }
    for other in [
        "",
        "2026-11-22T09:30:00Z",
        "2026-11-22 09:30:00.123Z",
        "2026-11-22T09:30:00.123z",
        "2026-02-30T09:30:00.123Z",
        "2026-11-22T24:30:00.123Z",
        "2026-11-22T09:30:60.123Z",
        "2026-11-22T09:30:00.123+00:00",
        "1969-12-31T23:59:59.999Z",
        "0000-01-01T00:00:00.000Z",
        "99999-11-22T09:30:00.123Z",
    ] {
        assert_eq!(parse_time(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn any_entry_is_read_back(
        texts in proptest::collection::vec(".{0,40}", 4),
        version in proptest::option::of(any::<u64>()),
        status in proptest::option::of(any::<u16>()),
        millis in 0..4_000_000_000_000_u64,
    ) {
        let entry = Entry {
            time: Timestamp::from_unix_millis(BEGUN),
            actor: texts[0].clone(),
            action: texts[1].clone(),
            resource: Some(texts[2].clone()),
            detail: Some(texts[3].clone()),
            version,
            status,
            ..Entry::default()
        };
        let bytes = encode(5, &Body::Entry(entry.clone()));
        prop_assert_eq!(Line::parse(&bytes).unwrap().body, Body::Entry(entry));
        let time = Timestamp::from_unix_millis(millis);
        prop_assert_eq!(parse_time(&time.to_rfc3339()), Some(time));
    }

    /// A line with a byte changed, added or left out is either no line, or another one.
    #[test]
    fn no_change_of_a_line_goes_unnoticed(kind in 0..7_usize, at in 0..2000_usize, byte: u8, act in 0..3) {
        let (_, bytes) = lines_of_every_kind().swap_remove(kind);
        let (mut changed, at) = (bytes.clone(), at % bytes.len());
        match act {
            0 => changed[at] = byte,
            1 => changed.insert(at, byte),
            _ => drop(changed.remove(at)),
        }
        prop_assume!(changed != bytes);
        prop_assert!(line::hash(&changed) != line::hash(&bytes));
        if let (Ok(read), Ok(original)) = (Line::parse(&changed), Line::parse(&bytes)) {
            prop_assert!(read != original);
        }
    }
}

#[test]
fn file_and_directory_are_for_the_owner_only() {
    let (home, _) = closed_log();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.current()), 0o600);
    assert_eq!(mode(home.current().parent().unwrap()), 0o700);
}

#[test]
fn a_link_in_the_files_place_is_not_followed() {
    let home = Home::new();
    let target = home.0.path().join("target");
    fs::write(&target, b"").unwrap();
    fs::create_dir(home.current().parent().unwrap()).unwrap();
    symlink(&target, home.current()).unwrap();
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    let opened = AuditLog::open(home.options(), Arc::new(TestSigner::new(7)), clock);
    assert!(matches!(opened, Err(OpenError::Io { operation: "open", .. })));
    assert_eq!(fs::metadata(&target).unwrap().size(), 0);
}

#[test]
fn a_log_has_one_writer() {
    let home = Home::new();
    let _log = home.open();
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    let again = AuditLog::open(home.options(), Arc::new(TestSigner::new(7)), clock);
    assert!(matches!(again, Err(OpenError::InUse { .. })));
}
