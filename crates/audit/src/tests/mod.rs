//! The log on a real disk: what is written, what is found again, and what is noticed.

mod copies;
mod crash;
mod export;
mod faults;
mod lines;
mod sinks;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{Anchor, Clock, Timestamp};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use tempfile::TempDir;

pub(crate) use lines::lines_of_every_kind;

use crate::{
    AuditLog, Entry, FaultKind, LogFiles, Options, Outcome, Report, Signer, Trust, verify,
};

const STORE: [u8; 16] = *b"0123456789abcdef";
const BEGUN: u64 = 1_769_000_000_000;

struct TestSigner(SigningKey);

impl TestSigner {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for TestSigner {
    fn key_id(&self) -> u32 {
        1
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

fn verify_signature(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_bytes(key);
    let signature = Signature::from_slice(signature);
    key.is_ok_and(|key| signature.is_ok_and(|it| key.verify_strict(message, &it).is_ok()))
}

/// Each look is a millisecond later.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(BEGUN + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A directory with a log.
struct Home(TempDir);

impl Home {
    /// In memory where that is possible: what is synced is not lost by any test, and most tests sync
    /// often.
    fn new() -> Self {
        let in_memory = tempfile::tempdir_in("/dev/shm");
        Self(in_memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn on_disk() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn current(&self) -> PathBuf {
        self.0.path().join("audit/audit.jsonl")
    }

    fn files(&self) -> LogFiles {
        LogFiles::new(self.current())
    }

    fn options(&self) -> Options {
        Options {
            file: Some(self.current()),
            stdout: None,
            max_file_bytes: 64 << 20,
            keep_files: 0,
            deadline: Duration::from_secs(5),
            store: STORE,
            expected: None,
        }
    }

    fn open(&self) -> Arc<AuditLog> {
        self.open_with(self.options())
    }

    fn open_expecting(&self, expected: Option<Anchor>) -> Arc<AuditLog> {
        self.open_with(Options { expected, ..self.options() })
    }

    fn open_with(&self, options: Options) -> Arc<AuditLog> {
        open(options)
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.current()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Replaces the current file.
    fn write(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.current(), text).unwrap();
    }

    fn verify(&self, anchor: Option<Anchor>) -> Report {
        let public_keys = vec![TestSigner::new(7).public_key()];
        let trust = Trust { public_keys, anchor, store: Some(STORE) };
        verify(&self.files(), &trust, verify_signature).unwrap()
    }

    /// What is wrong, each kind once.
    fn faults(&self, anchor: Option<Anchor>) -> Vec<FaultKind> {
        let mut kinds: Vec<_> = self.verify(anchor).faults.iter().map(|fault| fault.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

fn open(options: Options) -> Arc<AuditLog> {
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    AuditLog::open(options, Arc::new(TestSigner::new(7)), clock).unwrap()
}

fn entry(number: u64) -> Entry {
    Entry {
        time: Timestamp::from_unix_millis(BEGUN + number),
        actor: "user:alice".to_owned(),
        action: "read".to_owned(),
        resource: Some(format!("secret://default/default/ml/key-{number}")),
        version: Some(number),
        outcome: Outcome::Ok,
        status: Some(200),
        ..Entry::default()
    }
}

/// Appends so many entries, durably.
fn fill(log: &AuditLog, count: u64) {
    let receipts: Vec<_> = (0..count).map(|number| log.append(&entry(number))).collect();
    for receipt in receipts {
        receipt.synced_blocking().unwrap();
    }
}

/// A log with 20 entries, closed; and how far it came.
fn closed_log() -> (Home, Anchor) {
    let home = Home::new();
    let log = home.open();
    fill(&log, 20);
    log.close().unwrap();
    let anchor = log.anchor().unwrap();
    (home, anchor)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
