//! Disks that fail: a call of a real process returns an error in place of being made, once or from
//! then on. Whatever call it is, the process goes on answering, and shows what it has acknowledged and
//! nothing else; and all of that is still there when the power is cut then, or after the next start.
//!
//! `TRESOR_TESTS_LONG` makes every call fail that can be reached.

use super::disk::{Cut, Image};
use super::trace::Fault;
use super::workload::{FILLED, fill};
use super::*;

/// The seed of a run that failed, to make it again.
const SEED: &str = "TRESOR_FAULT_SEED";

/// Calls that are made to fail.
struct Kind {
    calls: &'static str,
    error: &'static str,
    /// Which ones of a thread's, counted from one.
    which: std::ops::RangeInclusive<usize>,
    /// How many of them fail in the short form of the test.
    short: usize,
}

const fn kind(calls: &'static str, first: usize, last: usize, short: usize) -> Kind {
    Kind { calls, error: "EIO", which: first..=last, short }
}

const KINDS: [Kind; 12] = [
    kind("fdatasync", 1, 16, 4),
    kind("fsync", 1, 20, 3),
    kind(WRITE_BACKS, 1, 6, 2),
    kind(WRITES, 1, 14, 2),
    kind("fallocate", 1, 8, 1),
    kind("ftruncate", 1, 2, 0),
    kind("copy_file_range", 1, 4, 1),
    kind("rename", 1, 6, 1),
    kind("unlink,unlinkat,rmdir", 1, 10, 1),
    kind("mkdir,mkdirat", 1, 3, 1),
    // The first ones are the loader's.
    kind(READS, 8, 60, 2),
    // What is left of a file system that the kernel has made read-only.
    Kind { error: "EROFS", ..kind(CHANGES, 1, 12, 2) },
];
const READS: &str = "pread64";
const WRITES: &str = "pwrite64";
const WRITE_BACKS: &str = "sync_file_range";
const CHANGES: &str = "pwrite64,fallocate,ftruncate,rename,unlink,unlinkat,rmdir,mkdir,mkdirat";

impl Kind {
    fn plan(&self, random: &mut Random) -> Vec<Fault> {
        let fault = |when, onwards| Fault { calls: self.calls, error: self.error, when, onwards };
        if std::env::var_os("TRESOR_TESTS_LONG").is_some() {
            let each = |when| [fault(when, false), fault(when, true)];
            return self.which.clone().flat_map(each).collect();
        }
        let span = (self.which.end() - self.which.start() + 1) as u64;
        let when =
            |random: &mut Random| self.which.start() + usize::try_from(random.below(span)).unwrap();
        let onwards = |random: &mut Random| self.error == "EROFS" || random.below(2) == 0;
        (0..self.short).map(|_| fault(when(random), onwards(random))).collect()
    }
}

#[test]
fn a_disk_that_fails_at_any_call_loses_nothing_that_was_acknowledged_and_is_read_on() {
    if !trace::is_possible() {
        return skip("strace cannot trace here");
    }
    let now = || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let begun = Instant::now();
    let home = scratch();
    let (engine, history) = fill(seed, FILLED, &home.path().join("data"));
    let killed = Image::read(home.path());
    engine.close().unwrap();
    drop(engine);
    let disks = [killed, Image::read(home.path())];

    let mut random = Random::new(seed);
    let faults: Vec<_> = KINDS.iter().flat_map(|kind| kind.plan(&mut random)).collect();
    let faults: Vec<_> =
        faults.into_iter().map(|fault| (fault, random.below(2) as usize)).collect();
    let next = Mutex::new(faults.iter());
    let met = Mutex::new(BTreeMap::<(&str, Met), usize>::new());
    let failures = Mutex::new(Vec::new());
    // Most of the time a process waits for threads of sled's to end.
    let workers = 3 * thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some((fault, disk)) = next.lock().unwrap().next() else { return };
                    let meet = AssertUnwindSafe(|| meet(*fault, &disks[*disk], seed, &history));
                    let panicked = |_| Err("it panicked; see above".to_owned());
                    match catch_unwind(meet).unwrap_or_else(panicked) {
                        Ok(how) => {
                            *met.lock().unwrap().entry((fault.calls, how)).or_default() += 1;
                        }
                        Err(what) => {
                            let what = format!("{fault:?} on disk {disk}: {what}");
                            failures.lock().unwrap().push(what);
                        }
                    }
                    if failures.lock().unwrap().len() >= Report::ENOUGH {
                        return;
                    }
                }
            });
        }
    });
    let (met, failures) = (met.into_inner().unwrap(), failures.into_inner().unwrap());
    eprintln!("{} faults with {SEED}={seed}, in {:?}: {met:?}", faults.len(), begun.elapsed());
    assert!(failures.is_empty(), "{SEED}={seed}\n{}", failures.join("\n"));
    let stopped = met.iter().filter(|((_, how), _)| *how == Met::Stopped).map(|(_, count)| count);
    assert!(stopped.sum::<usize>() > faults.len() / 4, "the test reaches nothing");
}

/// How a process met a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// It made fewer calls.
    Not,
    /// It did not open the store.
    Refused,
    /// It took no more writes.
    Stopped,
    /// It had done everything when it closed the store.
    Unclean,
    /// It did everything and left the store clean.
    Unharmed,
}

/// Has a process meet a fault. Where strace did not see enough of it, it is made again.
fn meet(fault: Fault, disk: &Image, seed: u64, filled: &History) -> Result<Met, String> {
    let mut missed = String::new();
    for _ in 0..4 {
        match meet_once(fault, disk, seed, filled) {
            Ok(met) => return met,
            Err(difference) => {
                eprintln!("{fault:?} is made again: the model misses {difference}");
                missed = difference;
            }
        }
    }
    Err(format!("the model misses something: {missed}"))
}

/// Has a process meet a fault, and cuts the power: at once, and when another process has gone on. Fails
/// where the model of the disk has missed something.
fn meet_once(
    fault: Fault,
    disk: &Image,
    seed: u64,
    filled: &History,
) -> Result<Result<Met, String>, String> {
    let mut recording = Recording::new(disk.clone());
    let process = match (fault.calls, fault.onwards) {
        (READS, true) => Process::FailingReads,
        (READS, false) => Process::FailingRead,
        // sled itself has failed then. What the group in flight was to change is not written, and
        // what lies beside that is not read from then on, unless it is in memory.
        (WRITES | WRITE_BACKS | CHANGES, _) => Process::FailingWrites,
        _ => Process::Failing,
    };
    let shown = recording.run(process, seed, Size(3), Some(fault))?;
    let says = |what: &str| shown.lines().any(|line| line.contains(what));
    let met = match recording.trace.injected {
        0 => Met::Not,
        _ if says("refused: ") => Met::Refused,
        _ if says("stopped: ") => Met::Stopped,
        _ if says("closed: Ok") => Met::Unharmed,
        _ => Met::Unclean,
    };
    if recording.disk.has_failed("data/HEAD") && met == Met::Unharmed {
        return Ok(Err(format!("HEAD was not written, and nobody minds\n{shown}")));
    }
    let check = |recording: &Recording, when: &str| {
        let said = Said::all(filled).after(&recording.disk.marks);
        let history = filled.after(seed, &recording.disk.marks);
        let image = recording.disk.image(Cut::AllLost, &mut Random::new(seed));
        let left = Left { image, cut: Cut::AllLost, said, at: String::new() };
        left.check(&history).map_err(|what| format!("{what}, after a power cut {when}\n{shown}"))
    };
    let at_once = check(&recording, "at once");
    recording.run(Process::Again, seed, Size(5), None)?;
    Ok(at_once.and_then(|()| check(&recording, "after the next start")).map(|()| met))
}
