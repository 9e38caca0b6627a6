//! What the recorded processes do, what they say of it, and what a store must therefore hold.
//!
//! Everything that a commit writes follows from its lane (one of the threads that write side by
//! side) and its number in it. So whoever knows which commit got which revision knows every byte
//! that the store holds at any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use domain::{OrgName, ProjectName, ProjectPath, Revision, SecretName, SecretPath, Timestamp, Uid};

use super::random::Random;
use crate::backup::read_backup;
use crate::engine::{Commit, CommitError, Engine};
use crate::key::{CHUNK, EVENT, Key, KeyRange};
use crate::record::{Change, ChangeKind, ChangeView, ChangedObject};
use crate::sled_engine::compaction::CompactionState;
use crate::sled_engine::raw::chunks_of;
use crate::sled_engine::writer::Step;
use crate::sled_engine::{DataDir, OpenError, SledEngine, SledOptions, StepHook};

const STORE: [u8; 16] = *b"0123456789abcdef";
/// How many threads write at once.
const LANES: u64 = 4;
/// The lane of the one commit that is written and never acknowledged.
const DOOMED: u64 = 99;
/// The lane of those who go on with what a power cut left.
const AFTER: u64 = 100;
/// The lane of what is written on a disk that fails.
const FAILING: u64 = 101;
/// The lane of who goes on when it no longer does.
const AGAIN: u64 = 102;
/// How many commits there are in the store on a disk that fails, before it does.
pub(super) const FILLED: usize = 40;
/// So small that what is read comes from the disk.
const COLD_CACHE: u64 = 4 << 10;
/// Longer than any of what the recorded processes do takes.
const HANGS: Duration = Duration::from_secs(120);
const NAMES: u64 = 9;

/// One after the other, the commits of a lane.
struct Lane {
    seed: u64,
    lane: u64,
    number: u64,
    /// The names that have a secret.
    there: BTreeSet<String>,
}

impl Lane {
    fn new(seed: u64, lane: u64) -> Self {
        Self { seed, lane, number: 0, there: BTreeSet::new() }
    }
}

impl Iterator for Lane {
    type Item = Commit;

    fn next(&mut self) -> Option<Commit> {
        let (lane, number) = (self.lane, self.number);
        let mut random = Random::new(self.seed ^ (lane << 32) ^ (number << 8));
        let mut commit = Commit::default();
        let silent = number > 0 && random.below(5) == 0;
        if silent {
            // What nobody is told of: the time of a last use, and secrets that are sealed anew.
            let uid = Uid::from_bytes([u8::try_from(lane).unwrap(); 16]);
            commit.put(Key::last_use(uid), content(lane, number, "use", 20));
        }
        for _ in 0..=random.below(3) {
            let name = format!("{lane}-{}", random.below(NAMES));
            let key = key(&name);
            if commit.writes.iter().any(|(written, _)| *written == key) {
                continue;
            }
            let length = match random.below(6) {
                0 | 1 => 10 + random.below(90),
                2 | 3 => 1000 + random.below(2000),
                4 => 4000 + random.below(200),
                _ => 8000 + random.below(12_000),
            };
            let value = content(lane, number, &name, usize::try_from(length).unwrap());
            if silent && !self.there.contains(&name) {
                continue;
            }
            if silent {
                commit.put(key, value);
            } else if self.there.contains(&name) && random.below(4) == 0 {
                self.there.remove(&name);
                commit.remove(key).tell(event(ChangeKind::Deleted, &name));
            } else {
                self.there.insert(name.clone());
                commit.put(key, value).tell(event(ChangeKind::Modified, &name));
            }
        }
        // One that all lanes write, so that the order of commits decides what it holds.
        if !silent && random.below(3) == 0 {
            commit.put(key("all"), content(lane, number, "all", 3000));
            commit.tell(event(ChangeKind::Modified, "all"));
        }
        self.number += 1;
        Some(commit)
    }
}

fn content(lane: u64, number: u64, name: &str, length: usize) -> Vec<u8> {
    let mut value = format!("{lane}/{number} {name};").into_bytes();
    let mut random = Random::new((lane << 40) ^ (number << 16) ^ name.len() as u64);
    while value.len() < length {
        value.extend_from_slice(&random.next().to_be_bytes());
    }
    value.truncate(length);
    value
}

fn key(name: &str) -> Key {
    Key::head(&path(name))
}

fn path(name: &str) -> SecretPath {
    let project =
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() };
    SecretPath { project, name: SecretName::parse(name).unwrap() }
}

fn event(kind: ChangeKind, name: &str) -> Vec<u8> {
    let view = Some(ChangeView { previous: Revision::ZERO, sealed: Vec::new() });
    let object = ChangedObject::Secret(path(name));
    Change { kind, object, uid: Uid::from_bytes([7; 16]), view }.encode()
}

fn keyring(generation: u64) -> Vec<u8> {
    content(0, generation, "keyring", 3000)
}

/// What a process says, on a file beside the disk, when something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// A commit got a revision and was acknowledged.
    Acknowledged { lane: u64, number: u64, revision: u64 },
    /// The data files were made; the store may not count as made yet.
    Created,
    /// A commit that nobody hears of will get this revision.
    Doomed { revision: u64 },
    /// The store was made.
    Made,
    /// The store was opened, and this is the revision that it shows.
    Opened { revision: u64 },
    /// A commit was answered that the store has stopped, and may have got this revision.
    Stopped { lane: u64, number: u64, revision: u64 },
    /// The keyring of this generation is being written.
    WritingKeyring { generation: u64 },
    /// It is what the directory shows.
    Keyring { generation: u64 },
}

impl Mark {
    fn line(self) -> String {
        match self {
            Self::Acknowledged { lane, number, revision } => {
                format!("acknowledged {lane} {number} {revision}\n")
            }
            Self::Created => "created\n".to_owned(),
            Self::Doomed { revision } => format!("doomed {revision}\n"),
            Self::Made => "made\n".to_owned(),
            Self::Opened { revision } => format!("opened {revision}\n"),
            Self::Stopped { lane, number, revision } => {
                format!("stopped {lane} {number} {revision}\n")
            }
            Self::WritingKeyring { generation } => format!("writing-keyring {generation}\n"),
            Self::Keyring { generation } => format!("keyring {generation}\n"),
        }
    }

    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words[index].parse().unwrap();
        match words[0] {
            "acknowledged" => {
                Self::Acknowledged { lane: number(1), number: number(2), revision: number(3) }
            }
            "created" => Self::Created,
            "doomed" => Self::Doomed { revision: number(1) },
            "made" => Self::Made,
            "opened" => Self::Opened { revision: number(1) },
            "stopped" => Self::Stopped { lane: number(1), number: number(2), revision: number(3) },
            "writing-keyring" => Self::WritingKeyring { generation: number(1) },
            "keyring" => Self::Keyring { generation: number(1) },
            other => panic!("{other} is no mark"),
        }
    }
}

/// What was said by some moment, and is therefore true of every later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sled_engine) struct Said {
    created: bool,
    made: bool,
    revision: u64,
    keyring: u64,
    writing_keyring: u64,
}

impl Said {
    /// All of a history, in a store that was made and has its first keyring.
    pub(in crate::sled_engine) fn all(history: &History) -> Self {
        Self {
            created: true,
            made: true,
            revision: history.commits.len() as u64,
            ..Self::default()
        }
    }

    pub(super) fn after(mut self, marks: &[String]) -> Self {
        for mark in marks {
            match Mark::parse(mark) {
                Mark::Acknowledged { revision, .. } | Mark::Opened { revision } => {
                    self.revision = self.revision.max(revision);
                }
                Mark::Created => self.created = true,
                Mark::Doomed { .. } | Mark::Stopped { .. } => {}
                Mark::Made => self.made = true,
                Mark::WritingKeyring { generation } => self.writing_keyring = generation,
                Mark::Keyring { generation } => {
                    self.keyring = generation;
                    self.writing_keyring = generation;
                }
            }
        }
        self
    }
}

/// Which commit got which revision.
#[derive(Clone, Default)]
pub(in crate::sled_engine) struct History {
    commits: Vec<Arc<Commit>>,
}

impl History {
    /// The commits of a history up to what was opened, and those that were acknowledged from there.
    pub(super) fn after(&self, seed: u64, marks: &[String]) -> Self {
        let mut lanes: BTreeMap<u64, Vec<Arc<Commit>>> = BTreeMap::new();
        let mut commit = |lane: u64, number: u64| {
            let made = lanes.entry(lane).or_default();
            let number = usize::try_from(number).unwrap();
            if made.len() <= number {
                *made = Lane::new(seed, lane).take(number + 64).map(Arc::new).collect();
            }
            made[number].clone()
        };
        let mut by_revision: BTreeMap<u64, Arc<Commit>> =
            (1..).zip(self.commits.iter().cloned()).collect();
        for mark in marks {
            match Mark::parse(mark) {
                Mark::Acknowledged { lane, number, revision }
                | Mark::Stopped { lane, number, revision } => {
                    by_revision.insert(revision, commit(lane, number));
                }
                Mark::Doomed { revision } => {
                    by_revision.insert(revision, commit(DOOMED, 0));
                }
                // Nothing behind it was ever acknowledged.
                Mark::Opened { revision } => drop(by_revision.split_off(&(revision + 1))),
                Mark::Created | Mark::Made | Mark::Keyring { .. } | Mark::WritingKeyring { .. } => {
                }
            }
        }
        assert!(by_revision.keys().copied().eq(1..=by_revision.len() as u64), "a gap");
        Self { commits: by_revision.into_values().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.commits.len()
    }

    /// What the store must hold at a revision: records with the revisions of their last change and
    /// last write, and events.
    fn at(&self, revision: u64) -> (Records<'_>, Events<'_>) {
        let (mut records, mut events) = (Records::new(), Events::new());
        let commits = self.commits.iter().take(usize::try_from(revision).unwrap());
        for (revision, commit) in (1..).zip(commits) {
            for (key, value) in &commit.writes {
                let before = records.get(key.as_bytes()).map(|(changed, _, _)| *changed);
                let silent = commit.events.is_empty();
                let changed = before.filter(|_| silent).unwrap_or(revision);
                match value {
                    Some(value) => records.insert(key.as_bytes(), (changed, revision, value)),
                    None => records.remove(key.as_bytes()),
                };
            }
            let told = (0..).zip(&commit.events);
            events.extend(told.map(|(index, event)| (revision, index, event.as_slice())));
        }
        (records, events)
    }
}

/// What a store that was made by [`fill`] holds.
fn filled(seed: u64, commits: usize) -> History {
    History { commits: Lane::new(seed, 0).take(commits).map(Arc::new).collect() }
}

/// Revision, place in the commit, and bytes.
type Events<'a> = Vec<(u64, u16, &'a [u8])>;
/// By key: revisions of the last change and the last write, and value.
type Records<'a> = BTreeMap<&'a [u8], (u64, u64, &'a [u8])>;

/// Opens what a power cut left, or makes it again where it was not made, and says what of it is
/// not as it must be.
pub(in crate::sled_engine) fn check(
    data: &Path,
    history: &History,
    said: Said,
) -> Result<(), String> {
    let shown = |error: OpenError| format!("refused: {error}");
    let dir = DataDir::create(data).map_err(shown)?;
    let unfinished = !dir.holds_anything().map_err(shown)? || dir.is_being_made();
    if (said.made && unfinished) || (said.created && !dir.has_store().map_err(shown)?) {
        return Err("the store was made, and is not there".to_owned());
    }
    if unfinished {
        make(&dir, &mut |_| {}).map_err(shown)?;
    }
    let found = dir.read_keyring().map_err(shown)?;
    let allowed = [said.keyring, said.writing_keyring].map(keyring);
    if !found.is_some_and(|found| allowed.contains(&found)) {
        return Err(format!("the keyring is not one of those in {said:?}"));
    }
    let engine = SledEngine::open(dir, STORE, SledOptions::default()).map_err(shown)?;
    let checked = compare(&engine, history, said);
    // The next one is not worth a clean stop.
    engine.shared.fail("the test has seen enough");
    checked
}

/// Holds all that a store has against what it must have.
fn compare(engine: &SledEngine, history: &History, said: Said) -> Result<(), String> {
    let revision = engine.revision().get();
    if revision < said.revision || revision > history.len() as u64 {
        let last = history.len();
        return Err(format!("the revision is {revision}, of {last}, after {said:?}"));
    }
    let (records, events) = history.at(revision);
    let everything =
        KeyRange { start: Key::from_bytes(vec![1]), end: Key::from_bytes(vec![CHUNK]) };
    let page = engine.scan(&everything, usize::MAX - 1).map_err(|error| error.to_string())?;
    let found: BTreeMap<_, _> = page
        .records
        .iter()
        .filter(|(key, _)| key.as_bytes()[0] != EVENT)
        .map(|(key, stored)| {
            let revisions = (stored.changed_at.get(), stored.written_at.get());
            (key.as_bytes(), (revisions.0, revisions.1, stored.value.as_slice()))
        })
        .collect();
    if found != records {
        let keys: BTreeSet<_> = found.keys().chain(records.keys()).collect();
        let differs = keys.iter().find(|key| found.get(**key) != records.get(**key)).unwrap();
        return Err(format!("at revision {revision}, {} differs", differs.escape_ascii()));
    }
    let told = engine.events_after(Revision::ZERO, usize::MAX - 1).unwrap().unwrap().events;
    let told = told.iter().map(|one| (one.revision.get(), one.index, one.bytes.as_slice()));
    if !told.eq(events) {
        return Err(format!("at revision {revision}, the change log differs"));
    }
    if engine.failure().is_some() {
        // What lies in sled may be of a group that nobody is shown.
        return Ok(());
    }
    let chunks: usize = page.records.iter().map(|(_, stored)| chunks_of(stored.value.len())).sum();
    let range =
        KeyRange { start: Key::from_bytes(vec![CHUNK]), end: Key::from_bytes(vec![CHUNK + 1]) };
    let raw = engine.shared.visible.read().raw.clone().unwrap();
    if raw.count_keys(&range) != chunks {
        return Err(format!("at revision {revision}, there are chunks of no value"));
    }
    Ok(())
}

/// As `tresor init` does: what was cut off is made again, and the store counts when it is whole.
fn make(dir: &DataDir, say: &mut dyn FnMut(Mark)) -> Result<(), OpenError> {
    dir.begin_making()?;
    if dir.read_keyring()?.is_none() {
        dir.write_keyring(&keyring(0))?;
    }
    if !dir.has_store()? {
        SledEngine::create(dir, STORE)?;
    }
    say(Mark::Created);
    dir.finish_making()?;
    say(Mark::Made);
    Ok(())
}

/// Makes a store with so many commits, half of them behind a restart, and leaves it open.
pub(in crate::sled_engine) fn fill(
    seed: u64,
    commits: usize,
    data: &Path,
) -> (SledEngine, History) {
    let dir = DataDir::create(data).unwrap();
    make(&dir, &mut |_| {}).unwrap();
    let open = |dir| SledEngine::open(dir, STORE, SledOptions::default()).unwrap();
    let mut engine = open(dir);
    let history = filled(seed, commits);
    for (number, commit) in history.commits.iter().enumerate() {
        if number == commits / 2 {
            engine.close().unwrap();
            drop(engine);
            engine = open(DataDir::lock(data).unwrap());
        }
        engine.commit(Commit::clone(commit)).unwrap();
    }
    (engine, history)
}

/// How many commits each lane makes between two of the things that a workload does.
#[derive(Clone, Copy)]
pub(super) struct Size(pub(super) u64);

/// One process of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// Makes a store, writes to it, stops, starts, writes, compacts, and is killed with a group
    /// in the system's hands that was not synced.
    First,
    /// Recovers from that, writes, compacts, and stops.
    Second,
    /// Starts from the stop, writes, and is killed with nothing to do.
    Third,
    /// Recovers from that, and stops.
    Fourth,
    /// Goes on with what [`Process::Failing`] left, and is killed.
    Again,
    /// Goes on with a store that [`fill`] made, on a disk that fails somewhere.
    Failing,
    /// As [`Process::Failing`], where the store once cannot be read.
    FailingRead,
    /// As [`Process::Failing`], where from some moment on the store cannot be read.
    FailingReads,
    /// As [`Process::Failing`], where sled cannot write.
    FailingWrites,
    /// Starts from what a power cut left, in which nothing need have been made; writes, compacts,
    /// and stops.
    After,
}

impl Process {
    pub(super) const WORKLOAD: [Self; 4] = [Self::First, Self::Second, Self::Third, Self::Fourth];

    const VARIABLE: &str = "TRESOR_POWER_LOSS_PROCESS";

    /// The command that runs a process with its data in `data` and its marks in `marks`.
    pub(super) fn command(self, seed: u64, size: Size, data: &Path, marks: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let module = module_path!().split_once("::").unwrap().1;
        command.args(["--exact", &format!("{module}::the_recorded_process")]);
        command.args(["--nocapture", "--test-threads", "1"]);
        let what = format!("{self:?}|{seed}|{}|{}|{}", size.0, data.display(), marks.display());
        command.env(Self::VARIABLE, what);
        command
    }
}

/// Does nothing unless it is run by [`Process::command`].
#[test]
fn the_recorded_process() {
    let Ok(what) = std::env::var(Process::VARIABLE) else { return };
    let words: Vec<_> = what.split('|').collect();
    let [process, seed, size, data, marks] = words[..] else { panic!("{what}") };
    let marks = OpenOptions::new().create(true).append(true).open(marks).unwrap();
    let running = Running {
        seed: seed.parse().unwrap(),
        size: size.parse().unwrap(),
        data: PathBuf::from(data),
        marks: Mutex::new(marks),
        done: Mutex::default(),
    };
    match process {
        "First" => running.first(),
        "Second" => running.second(),
        "Third" => running.third(),
        "Fourth" => running.open().close().unwrap(),
        "After" => running.after(),
        "Again" => running.again(),
        "Failing" => running.failing(Reads::Served, false),
        "FailingRead" => running.failing(Reads::ServedAgain, true),
        "FailingReads" => running.failing(Reads::Refused, true),
        "FailingWrites" => running.failing(Reads::Refused, false),
        other => panic!("{other}"),
    }
}

/// A store on a disk that fails, and what it has acknowledged.
struct Watched<'a> {
    engine: &'a SledEngine,
    history: History,
    reads: Reads,
    stopped: bool,
}

/// What a disk that fails lets a store answer to who reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// That it cannot be read.
    Refused,
    /// What is there.
    Served,
    /// What is there, at the second time.
    ServedAgain,
}

impl Watched<'_> {
    /// Reads everything: it is what was acknowledged, before and after the store has stopped. What
    /// cannot be read is told as an error.
    fn look(&mut self) {
        let said = Said { revision: self.history.len() as u64, ..Said::default() };
        let compared = || compare(self.engine, &self.history, said);
        match compared() {
            Err(what)
                if self.reads != Reads::Served && what.starts_with("the store has stopped") =>
            {
                self.stopped = true;
                println!("stopped: {what}");
            }
            checked => checked.unwrap(),
        }
        if self.stopped {
            assert!(self.engine.failure().is_some(), "the probes are not told");
            if self.reads == Reads::ServedAgain {
                compared().unwrap();
            }
        }
    }
}

/// A process of the workload while it runs.
struct Running {
    seed: u64,
    size: u64,
    data: PathBuf,
    marks: Mutex<File>,
    /// How many commits each lane has made, in all processes.
    done: Mutex<BTreeMap<u64, u64>>,
}

impl Running {
    fn first(self) {
        let dir = DataDir::create(&self.data).unwrap();
        self.say(Mark::WritingKeyring { generation: 0 });
        make(&dir, &mut |mark| self.say(mark)).unwrap();
        drop(dir);
        let engine = self.open();
        self.write(&engine);
        self.write_keyring(&engine, 1);
        self.write(&engine);
        engine.close().unwrap();
        drop(engine);

        // The hook ends the process when the doomed group has been handed to the system, by sled's
        // own thread, and not been synced.
        let doomed = Arc::new(AtomicBool::new(false));
        let armed = doomed.clone();
        let hook: StepHook = Arc::new(move |step| {
            if step == Step::Applied && armed.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1200));
                std::process::exit(0);
            }
        });
        let engine = self.open_with(hook);
        self.write(&engine);
        // Long enough for HEAD to be synced, with and without something to write.
        thread::sleep(Duration::from_millis(1100));
        self.write(&engine);
        thread::sleep(Duration::from_millis(1100));
        self.write_keyring(&engine, 2);
        self.compact_beside(&engine, || self.write(&engine));
        doomed.store(true, Ordering::SeqCst);
        self.say(Mark::Doomed { revision: engine.revision().get() + 1 });
        engine.commit(Lane::new(self.seed, DOOMED).next().unwrap()).unwrap();
        unreachable!("the doomed commit was acknowledged");
    }

    fn second(self) {
        self.skip(5);
        let engine = self.open();
        self.compact_beside(&engine, || self.write(&engine));
        self.write_keyring(&engine, 3);
        self.write(&engine);
        engine.close().unwrap();
    }

    fn third(self) {
        self.skip(7);
        let engine = self.open();
        self.write(&engine);
        std::process::exit(0);
    }

    fn after(self) {
        let dir = DataDir::create(&self.data).unwrap();
        if !dir.holds_anything().unwrap() || dir.is_being_made() {
            make(&dir, &mut |mark| self.say(mark)).unwrap();
        }
        drop(dir);
        let engine = self.open();
        let mut commits = Lane::new(self.seed, AFTER);
        self.commit(&engine, AFTER, &mut commits);
        self.compact_beside(&engine, || self.commit(&engine, AFTER, &mut commits));
        self.commit(&engine, AFTER, &mut commits);
        engine.close().unwrap();
    }

    fn again(self) {
        let engine = self.open();
        let mut commits = Lane::new(self.seed, AGAIN);
        for _ in 0..self.size {
            self.commit(&engine, AGAIN, &mut commits);
        }
        std::process::exit(0);
    }

    /// Does everything that a store does, for as long as its disk lets it, and holds what it answers
    /// against what it has acknowledged.
    fn failing(self, reads: Reads, cold: bool) {
        let hangs = || {
            thread::sleep(HANGS);
            eprintln!("it panicked: the process hangs");
            std::process::exit(1);
        };
        thread::spawn(hangs);
        let mut options = SledOptions::default();
        if cold {
            options.cache_bytes = COLD_CACHE;
        }
        let opened =
            DataDir::lock(&self.data).and_then(|dir| SledEngine::open(dir, STORE, options));
        let engine = match opened {
            Ok(engine) => engine,
            Err(error) => return println!("refused: {error}"),
        };
        self.say(Mark::Opened { revision: engine.revision().get() });
        let history = filled(self.seed, FILLED);
        let mut commits = Lane::new(self.seed, FAILING);
        let mut watched = Watched { engine: &engine, history, reads, stopped: false };
        watched.look();
        self.write_watched(&mut watched, &mut commits);
        let compacts = engine.begin_compaction().is_ok();
        self.write_watched(&mut watched, &mut commits);
        while compacts && engine.compaction().state == CompactionState::Running {
            thread::sleep(Duration::from_millis(5));
        }
        println!("compaction: {:?}", engine.compaction().state);
        self.write_watched(&mut watched, &mut commits);
        let mut backup = Vec::new();
        let at = Timestamp::from_unix_millis(1);
        let backed_up = engine.back_up(None, at, &mut backup, &mut |_, _| {});
        println!("backup: {backed_up:?}");
        if backed_up.is_ok() {
            let (header, _) = read_backup(&mut backup.as_slice()).unwrap();
            assert_eq!(header.revision.get(), watched.history.len() as u64);
        }
        self.write_watched(&mut watched, &mut commits);
        let closed = engine.close();
        assert!(
            closed.is_err() || !watched.stopped,
            "a store that has stopped was closed in order"
        );
        println!("closed: {closed:?}");
    }

    fn write_watched(&self, watched: &mut Watched<'_>, commits: &mut Lane) {
        for _ in 0..self.size {
            let (lane, number) = (FAILING, commits.number);
            let revision = watched.history.len() as u64 + 1;
            let commit = commits.next().unwrap();
            match watched.engine.commit(commit.clone()) {
                Ok(at) => {
                    assert!(
                        !watched.stopped,
                        "a commit was acknowledged by a store that has stopped"
                    );
                    assert_eq!(at.get(), revision);
                    self.say(Mark::Acknowledged { lane, number, revision });
                    watched.history.commits.push(Arc::new(commit));
                }
                Err(CommitError::Store(error)) => {
                    println!("stopped: {error}");
                    if !watched.stopped {
                        self.say(Mark::Stopped { lane, number, revision });
                    }
                    watched.stopped = true;
                }
                Err(other) => panic!("{other}"),
            }
            watched.look();
        }
    }

    fn open(&self) -> SledEngine {
        self.open_with(Arc::new(|_| {}))
    }

    fn open_with(&self, hook: StepHook) -> SledEngine {
        let dir = DataDir::lock(&self.data).unwrap();
        let shown = dir.read_keyring().unwrap().unwrap();
        let generation = (0..10).find(|generation| keyring(*generation) == shown).unwrap();
        self.say(Mark::Keyring { generation });
        let engine = SledEngine::open_with_hook(dir, STORE, SledOptions::default(), hook).unwrap();
        self.say(Mark::Opened { revision: engine.revision().get() });
        engine
    }

    /// Counts what an earlier process did.
    fn skip(&self, rounds: u64) {
        let mut done = self.done.lock().unwrap();
        done.extend((0..LANES).map(|lane| (lane, rounds * self.size)));
    }

    /// Every lane makes some commits, side by side.
    fn write(&self, engine: &SledEngine) {
        thread::scope(|scope| {
            for lane in 0..LANES {
                scope.spawn(move || {
                    let mut commits = Lane::new(self.seed, lane);
                    let done = self.done.lock().unwrap().get(&lane).copied().unwrap_or(0);
                    for _ in 0..done {
                        commits.next();
                    }
                    for _ in 0..self.size {
                        self.commit(engine, lane, &mut commits);
                    }
                    self.done.lock().unwrap().insert(lane, commits.number);
                });
            }
        });
    }

    fn commit(&self, engine: &SledEngine, lane: u64, commits: &mut Lane) {
        let number = commits.number;
        let revision = engine.commit(commits.next().unwrap()).unwrap().get();
        self.say(Mark::Acknowledged { lane, number, revision });
    }

    /// Compacts the store while something is written to it.
    fn compact_beside(&self, engine: &SledEngine, write: impl FnOnce()) {
        engine.begin_compaction().unwrap();
        write();
        while engine.compaction().state == CompactionState::Running {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(engine.compaction().state, CompactionState::Done);
    }

    fn write_keyring(&self, engine: &SledEngine, generation: u64) {
        self.say(Mark::WritingKeyring { generation });
        engine.write_keyring(&keyring(generation)).unwrap();
        self.say(Mark::Keyring { generation });
    }

    fn say(&self, mark: Mark) {
        self.marks.lock().unwrap().write_all(mark.line().as_bytes()).unwrap();
    }
}
