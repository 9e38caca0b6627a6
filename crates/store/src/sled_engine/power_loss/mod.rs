//! Power cuts. Real processes are recorded call by call, a model of a disk says what a cut at any of
//! these calls may leave, and the engine must open that with everything that it had acknowledged.
//!
//! A power cut never leads to a refusal: what a store refuses is damage, and this is none. What a
//! start after a kill has shown, of a commit that nobody had acknowledged, stays too.

pub(super) mod disk;
mod faults;
pub(super) mod random;
mod trace;
pub(super) mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Instant, SystemTime};

use tempfile::TempDir;

use disk::{Cut, Disk, Image};
use random::Random;
use trace::{Doubt, Event, Fault, Trace};
use workload::{History, Process, Said, Size, check};

/// The seed of a run that failed, to make it again. Which calls there are depends on how threads
/// took turns, too.
const SEED: &str = "TRESOR_POWER_LOSS_SEED";

/// How many cuts there are, and of how many workloads.
struct Extent {
    workloads: u64,
    size: Size,
    cuts: usize,
    /// How many of what these leave is opened by a process that is itself recorded, and cut.
    again: usize,
    /// How often each of those is.
    cuts_again: usize,
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_acknowledged() {
    if !trace::is_possible() {
        return skip("strace cannot trace here");
    }
    let extent = if std::env::var_os("TRESOR_TESTS_LONG").is_some() {
        Extent { workloads: 5, size: Size(24), cuts: 700, again: 8, cuts_again: 20 }
    } else {
        Extent { workloads: 1, size: Size(3), cuts: 64, again: 2, cuts_again: 8 }
    };
    let now = || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let begun = Instant::now();
    let report = Report::default();
    for workload in 0..extent.workloads {
        cut_a_workload(seed + workload, &extent, &report);
        let counts = report.counts.lock().unwrap();
        let sum: usize = counts.values().sum();
        eprintln!("{sum} power cuts with {SEED}={seed}, in {:?}: {counts:?}", begun.elapsed());
    }
    let counts = report.counts.into_inner().unwrap();
    let failures = report.failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{SEED}={seed}\n{}", failures.join("\n"));
    let expected = extent.cuts * usize::try_from(extent.workloads).unwrap();
    assert!(counts.values().sum::<usize>() >= expected);
}

/// Says that a test did not run, which is a failure where everything must run.
pub(super) fn skip(reason: &str) {
    assert!(std::env::var_os("TRESOR_TESTS_COMPLETE").is_none(), "cannot run: {reason}");
    eprintln!("SKIPPED: {reason}");
}

/// What came of all cuts.
#[derive(Default)]
struct Report {
    /// How many there were, by what they did.
    counts: Mutex<BTreeMap<String, usize>>,
    failures: Mutex<Vec<String>>,
}

impl Report {
    /// Enough to see what is wrong.
    const ENOUGH: usize = 5;

    fn is_full(&self) -> bool {
        self.failures.lock().unwrap().len() >= Self::ENOUGH
    }

    /// Counts a cut; what is wrong is kept, with what the cut left.
    fn note(&self, left: &Left, level: &str, checked: Result<(), String>) {
        let kind = format!("{:?}{level}", left.cut);
        *self.counts.lock().unwrap().entry(kind).or_default() += 1;
        if let Err(what) = checked {
            let kept = scratch().keep();
            left.image.write(&kept);
            let kept = kept.display();
            let failure = format!("{what}\n  {:?}{level} {}\n  kept in {kept}", left.cut, left.at);
            self.failures.lock().unwrap().push(failure);
        }
    }
}

/// What a cut left.
struct Left {
    image: Image,
    cut: Cut,
    said: Said,
    /// Where in the trace the cut was.
    at: String,
}

impl Left {
    fn check(&self, history: &History) -> Result<(), String> {
        let home = scratch();
        self.image.write(home.path());
        let check = AssertUnwindSafe(|| check(&home.path().join("data"), history, self.said));
        catch_unwind(check).unwrap_or_else(|_| Err("the check panicked; see above".to_owned()))
    }
}

/// Records a workload, cuts it and checks what is left, on all processors.
fn cut_a_workload(seed: u64, extent: &Extent, report: &Report) {
    let recording = Recording::of(&Process::WORKLOAD, seed, extent.size, &Image::default());
    let history = History::default().after(seed, &recording.disk.marks);
    let mut random = Random::new(seed);
    let workers = thread::available_parallelism().unwrap().get();
    let (queue, lefts) = sync_channel(workers);
    let lefts = Mutex::new(lefts);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| serve(&lefts, seed, extent, &history, report));
        }
        let mut number = 0;
        recording.cut(extent.cuts, Said::default(), &mut random, &mut |left| {
            let again = number * extent.again % extent.cuts < extent.again;
            number += 1;
            queue.send((left, again)).is_ok() && !report.is_full()
        });
        close(queue);
    });
}

/// Ends the queue, so that those who serve it end.
fn close(_: SyncSender<(Left, bool)>) {}

fn serve(
    lefts: &Mutex<Receiver<(Left, bool)>>,
    seed: u64,
    extent: &Extent,
    history: &History,
    report: &Report,
) {
    loop {
        let next = lefts.lock().unwrap().recv();
        let Ok((left, again)) = next else { return };
        report.note(&left, "", left.check(history));
        if again && !report.is_full() {
            // A panic would leave the others without somebody who serves them.
            let cut = AssertUnwindSafe(|| cut_again(left, seed, extent, history, report));
            if catch_unwind(cut).is_err() {
                let what = "what a cut left was not recorded as it was opened; see above";
                report.failures.lock().unwrap().push(what.to_owned());
            }
        }
    }
}

/// Cuts whoever opens what a cut left.
fn cut_again(left: Left, seed: u64, extent: &Extent, history: &History, report: &Report) {
    let recording = Recording::of(&[Process::After], seed, extent.size, &left.image);
    let history = history.after(seed, &recording.disk.marks);
    let mut random = Random::new(seed ^ recording.trace.events.len() as u64);
    recording.cut(extent.cuts_again, left.said, &mut random, &mut |mut next| {
        next.at = format!("{}, after {:?} {}", next.at, left.cut, left.at);
        report.note(&next, " again", next.check(&history));
        !report.is_full()
    });
}

/// Processes that were recorded one after the other, on one disk.
struct Recording {
    scratch: TempDir,
    /// What was on the disk before.
    before: Image,
    trace: Trace,
    /// The disk as they left it.
    disk: Disk,
}

impl Recording {
    /// Records processes. Where strace did not see enough for the model to end up with what the disk
    /// holds, they run again; a model that misses something never does.
    fn of(processes: &[Process], seed: u64, size: Size, before: &Image) -> Self {
        let mut missed = String::new();
        for _ in 0..4 {
            let mut recording = Self::new(before.clone());
            let run = |process: &Process| recording.run(*process, seed, size, None).map(drop);
            match processes.iter().try_for_each(run) {
                Ok(()) => return recording,
                Err(difference) => missed = difference,
            }
        }
        panic!("the model misses something that {processes:?} did: {missed}");
    }

    fn new(before: Image) -> Self {
        let scratch = scratch();
        let (root, marks) = Self::places(scratch.path());
        fs::create_dir(&root).unwrap();
        before.write(&root);
        let disk = Disk::new(&root, &marks, &before);
        Self { scratch, before, trace: Trace::default(), disk }
    }

    fn places(scratch: &Path) -> (PathBuf, PathBuf) {
        (scratch.join("disk"), scratch.join("marks"))
    }

    /// Runs a process to its end, after which the model must hold what the disk does. Returns what it
    /// printed.
    fn run(
        &mut self,
        process: Process,
        seed: u64,
        size: Size,
        fault: Option<Fault>,
    ) -> Result<String, String> {
        let (root, marks) = Self::places(self.scratch.path());
        let calls = self.trace.calls.len();
        let command = process.command(seed, size, &root.join("data"), &marks);
        let shown = self.trace.record(&command, self.scratch.path(), fault);
        self.disk = self.replayed(self.trace.events.len());
        self.resolve(calls, &Image::read(&root)).map_or(Ok(shown), Err)
    }

    /// Where strace does not see what happened, the disk tells. Returns in what the model then still
    /// differs from it.
    fn resolve(&mut self, from: usize, left: &Image) -> Option<String> {
        let mut difference = self.disk.all().difference(left);
        for doubt in self.trace.doubts(from) {
            let concerns = doubt.calls().iter().all(|call| self.disk.concerns(*call));
            if difference.is_none() || !concerns {
                continue;
            }
            let before = self.trace.events.clone();
            self.trace.decide(doubt);
            let other = self.replayed(self.trace.events.len());
            let still = other.all().difference(left);
            if still != difference {
                (self.disk, difference) = (other, still);
                continue;
            }
            if matches!(doubt, Doubt::Made { .. }) {
                self.trace.decide(doubt);
            }
            self.trace.events = before;
        }
        difference
    }

    /// The disk as it was after so many events.
    fn replayed(&self, events: usize) -> Disk {
        let (root, marks) = Self::places(self.scratch.path());
        let mut disk = Disk::new(&root, &marks, &self.before);
        for event in &self.trace.events[..events] {
            disk.take(&self.trace, *event);
        }
        disk
    }

    /// Makes images of what power cuts leave, until somebody has seen enough. Half of the cuts are
    /// near calls of which there are few, of each kind the same number.
    fn cut(
        &self,
        count: usize,
        before: Said,
        random: &mut Random,
        each: &mut dyn FnMut(Left) -> bool,
    ) {
        let (all, rare) = self.places_to_cut();
        let pick = |number: usize| {
            let rare = random.pick(&rare).filter(|_| number % 2 == 1);
            *random.pick(rare.unwrap_or(&all)).unwrap()
        };
        // Where many are asked for, each change of names is among them.
        let names = self.changes_of_names();
        let names = if names.len() < count { names } else { Vec::new() };
        let chosen = (names.len()..count).map(pick);
        let mut places: Vec<usize> = chosen.chain(names.iter().copied()).collect();
        places.sort_unstable();
        let mut disk = self.replayed(0);
        let mut taken = 0;
        for place in places {
            for event in &self.trace.events[taken..place] {
                disk.take(&self.trace, *event);
            }
            taken = place;
            let cut = match random.below(20) {
                0 => Cut::AllKept,
                1 => Cut::AllLost,
                2 => Cut::LengthsOnly,
                3 | 4 => Cut::InOrder,
                5..=7 => Cut::AllButOne,
                8..=10 => Cut::OnlyOne,
                _ => Cut::Random,
            };
            let image = disk.image(cut, random);
            let said = before.after(&disk.marks);
            let at = self.describe(place);
            if !each(Left { image, cut, said, at }) {
                return;
            }
        }
    }

    /// Behind which events a cut makes a difference, and behind which of them the calls are such as
    /// there are few of, kind by kind.
    fn places_to_cut(&self) -> (Vec<usize>, Vec<Vec<usize>>) {
        let mut all = Vec::new();
        let mut rare: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, event) in (1..).zip(&self.trace.events) {
            let (Event::Began(call) | Event::Ended(call)) = *event else { continue };
            if !self.disk.concerns(call) {
                continue;
            }
            all.push(place);
            let name = self.trace.calls[call].name.as_str();
            if !["write", "pwrite64", "fdatasync"].contains(&name) {
                rare.entry(name).or_default().push(place);
            }
        }
        (all, rare.into_values().collect())
    }

    /// Behind which events a name was made, changed or removed.
    fn changes_of_names(&self) -> Vec<usize> {
        let changes = |call: &usize| {
            let name = &self.trace.calls[*call].name;
            let starts = ["openat", "mkdir", "rename", "rmdir", "unlink"];
            self.disk.concerns(*call) && starts.iter().any(|start| name.starts_with(start))
        };
        let place = |(place, event): (usize, &Event)| match event {
            Event::Ended(call) if changes(call) => Some(place),
            _ => None,
        };
        (1..).zip(&self.trace.events).filter_map(place).collect()
    }

    /// The last calls before a place.
    fn describe(&self, place: usize) -> String {
        let shown = self.trace.events[..place].iter().rev().take(3).map(|event| match event {
            Event::Began(call) => format!("{} began", self.trace.calls[*call].shown()),
            Event::Ended(call) => format!("{} ended", self.trace.calls[*call].shown()),
            Event::Exited => "the process ended".to_owned(),
        });
        format!("at event {place}: {}", shown.collect::<Vec<_>>().join(" < "))
    }
}

/// A directory in memory, where there is one.
pub(super) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("tresor-store-").tempdir_in(place).unwrap()
}
