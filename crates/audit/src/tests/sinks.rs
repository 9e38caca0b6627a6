//! Sinks that are slow, full, gone and back, and many who write at once.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::Unavailable;

/// A stream that a test can block, break and read.
#[derive(Clone, Default)]
struct Stream(Arc<(Mutex<StreamState>, Condvar)>);

#[derive(Default)]
struct StreamState {
    blocked: bool,
    broken: bool,
    /// How many bytes are taken before it breaks.
    room: Option<usize>,
    bytes: Vec<u8>,
}

impl Stream {
    fn set(&self, change: impl FnOnce(&mut StreamState)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        let state = self.0.0.lock();
        String::from_utf8(state.bytes.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock();
        while state.blocked {
            self.0.1.wait(&mut state);
        }
        let count = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if state.broken || count == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.room = state.room.map(|room| room - count);
        state.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_stream(home: &Home, file: bool, deadline: u64) -> (Arc<AuditLog>, Stream) {
    let stream = Stream::default();
    let log = home.open_with(Options {
        file: file.then(|| home.current()),
        stdout: Some(Box::new(stream.clone())),
        deadline: Duration::from_millis(deadline),
        ..home.options()
    });
    (log, stream)
}

#[test]
fn both_sinks_get_the_same_lines() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, true, 5000);
    fill(&log, 50);
    log.close().unwrap();
    assert_eq!(home.lines(), stream.lines());
    assert!(home.verify(log.anchor()).is_sound());
}

/// Who has to be sure of the disk is not content with a pipe, as long as the file may come.
#[test]
fn what_is_to_be_durable_waits_for_the_file_and_only_without_it_for_the_output() {
    let home = Home::on_disk();
    let (log, stream) = with_stream(&home, true, 5000);
    for number in 0..200 {
        let receipt = log.append(&entry(number));
        receipt.synced_blocking().unwrap();
        assert!(log.anchor().is_some_and(|anchor| anchor.seq >= number + 2));
    }
    // A file in the directory's place keeps it out.
    fs::rename(home.current().parent().unwrap(), home.0.path().join("away")).unwrap();
    fs::write(home.0.path().join("audit"), b"").unwrap();
    let before = stream.lines().len();
    eventually("the file is not out", || {
        let anchor = log.anchor();
        log.append(&entry(1)).synced_blocking().unwrap();
        log.anchor() == anchor
    });
    assert!(log.is_ready() && stream.lines().len() > before);
}

#[test]
fn a_log_without_sinks_takes_everything() {
    let home = Home::new();
    let log = home.open_with(Options { file: None, ..home.options() });
    assert!(log.is_ready());
    fill(&log, 3);
    assert_eq!((log.anchor(), log.close(), log.flush()), (None, Ok(()), Ok(())));
}

#[test]
fn the_standard_output_alone_goes_on_behind_the_anchor() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, false, 5000);
    fill(&log, 3);
    log.close().unwrap();
    let anchor = log.anchor().unwrap();
    assert_eq!(anchor.seq, 5);
    let again = Stream::default();
    let options = Options {
        file: None,
        stdout: Some(Box::new(again.clone())),
        expected: Some(anchor),
        ..home.options()
    };
    let log = open(options);
    fill(&log, 1);
    log.close().unwrap();
    // Shipped elsewhere, one behind the other, they are one log.
    fs::create_dir(home.current().parent().unwrap()).unwrap();
    home.write(&[stream.lines(), again.lines()].concat());
    assert!(home.verify(log.anchor()).is_sound());
}

#[test]
fn a_blocked_output_does_not_hold_up_the_file() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, true, 200);
    stream.set(|state| state.blocked = true);
    let begun = Instant::now();
    fill(&log, 100);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(log.is_ready());
    stream.set(|state| state.blocked = false);
    log.close().unwrap();
    assert_eq!(home.lines(), stream.lines());
}

/// The same with a real pipe that nobody reads.
#[test]
fn a_full_pipe_does_not_hold_up_the_file() {
    let home = Home::new();
    let (mut reader, writer) = io::pipe().unwrap();
    let log = home.open_with(Options { stdout: Some(Box::new(writer)), ..home.options() });
    fill(&log, 1000);
    let drained = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    log.close().unwrap();
    drop(log);
    let text = drained.join().unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), home.lines());
}

#[test]
fn without_a_sink_within_the_deadline_the_record_is_refused() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, false, 200);
    fill(&log, 1);
    stream.set(|state| state.blocked = true);
    let begun = Instant::now();
    assert_eq!(log.append(&entry(1)).written_blocking(), Err(Unavailable));
    let waited = begun.elapsed();
    assert!((150..2000).contains(&waited.as_millis()), "{waited:?}");
    assert!(!log.is_ready());
    // Nobody waits for what is known to hang.
    let begun = Instant::now();
    assert_eq!(log.append(&entry(2)).written_blocking(), Err(Unavailable));
    assert!(begun.elapsed() < Duration::from_millis(100));
    stream.set(|state| state.blocked = false);
    eventually("it is not ready again", || log.is_ready());
    fill(&log, 1);
    log.close().unwrap();
    // It lagged behind and lost nothing.
    assert_eq!(stream.lines().len(), 6);
}

#[test]
fn a_broken_output_fails_closed_and_comes_back_with_a_gap() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, false, 500);
    fill(&log, 3);
    stream.set(|state| state.room = Some(100));
    assert_eq!(log.append(&entry(3)).written_blocking(), Err(Unavailable));
    assert!(!log.is_ready());
    assert_eq!(log.append(&entry(4)).synced_blocking(), Err(Unavailable));
    stream.set(|state| state.room = None);
    eventually("it is not ready again", || log.is_ready());
    fill(&log, 2);
    log.close().unwrap();
    let lines = stream.lines();
    let gap = lines.iter().find(|line| line.contains("\"gap\"")).unwrap();
    assert!(gap.contains("\"sink\":\"stdout\",\"afterSeq\":4"), "{gap}");
    // The line that was cut short has an end of its own.
    assert!(lines.iter().any(|line| line.len() == 100));
}

#[test]
fn a_gap_of_one_sink_is_told_to_the_other_as_well() {
    let home = Home::new();
    let (log, stream) = with_stream(&home, true, 5000);
    stream.set(|state| state.broken = true);
    fill(&log, 5);
    eventually("the output is not out", || {
        log.append(&entry(1)).written_blocking().unwrap();
        let lines = home.lines().len();
        lines > 20
    });
    stream.set(|state| state.broken = false);
    eventually("no gap is told", || home.lines().iter().any(|line| line.contains("\"gap\"")));
    log.close().unwrap();
    let report = home.verify(log.anchor());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.notices.len(), 1);
}

#[test]
fn a_durable_record_survives_a_copy_of_the_file_and_the_anchor_never_runs_ahead() {
    let home = Home::new();
    let log = home.open();
    for number in 0..20 {
        let receipt = log.append(&entry(number));
        assert!(log.anchor().is_none_or(|anchor| anchor.seq <= number + 1));
        receipt.synced_blocking().unwrap();
        let anchor = log.anchor().unwrap();
        assert!(anchor.seq >= number + 2);
        assert!(home.verify(Some(anchor)).is_sound());
    }
}

#[test]
fn what_nobody_waits_for_is_durable_within_a_moment() {
    let home = Home::new();
    let log = home.open();
    log.append(&entry(1)).written_blocking().unwrap();
    let begun = Instant::now();
    eventually("it is never synced", || log.anchor().is_some_and(|anchor| anchor.seq == 2));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn many_appenders_make_one_chain() {
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 256 << 10, ..home.options() });
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for number in 0..50 {
                    let receipt = log.append(&entry(number));
                    let wait = if number % 10 == 0 {
                        receipt.synced_blocking()
                    } else {
                        receipt.written_blocking()
                    };
                    wait.unwrap();
                }
            });
        }
    });
    log.close().unwrap();
    let report = home.verify(log.anchor());
    assert!(report.is_sound(), "{report:?}");
    assert!(report.lines >= 3200);
}

/// Whoever waits for a line writes what waits, so that many threads write to one file, and begin the next.
#[test]
fn tasks_that_write_for_each_other_make_one_chain() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let home = Home::new();
    let log = home.open_with(Options { max_file_bytes: 64 << 10, ..home.options() });
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let log = log.clone();
                tokio::spawn(async move {
                    for number in 0..100 {
                        log.append(&entry(number)).written().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    log.close().unwrap();
    let report = home.verify(log.anchor());
    assert!(report.is_sound(), "{report:?}");
    assert!(report.lines >= 6400);
}

#[test]
fn a_line_whose_writer_went_away_is_written_all_the_same() {
    let home = Home::new();
    let log = home.open();
    // Nothing waits any more, so that nobody else's line takes it along.
    fill(&log, 1);
    drop(log.append(&entry(1)).written());
    let is_it = |line: &String| line.contains("ml/key-1\"");
    eventually("it is never written", || home.lines().iter().any(is_it));
}

#[test]
fn receipts_are_awaited_without_a_thread_each() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let home = Home::new();
    let (log, stream) = with_stream(&home, true, 2000);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..500)
            .map(|number| {
                let receipt = log.append(&entry(number));
                let wait = async move {
                    if number % 2 == 0 { receipt.synced().await } else { receipt.written().await }
                };
                tokio::spawn(wait)
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    drop(stream);
    log.close().unwrap();
    assert!(log.append(&entry(1)).written_blocking().is_err(), "a closed log takes nothing");
}

/// A disk of two megabytes, if this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(kilobytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={kilobytes}k");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_known_before_it_is_met_and_a_gap_tells_what_it_cost() {
    let Some(disk) = SmallDisk::mount(8 << 10) else {
        println!("skipped: no small disk can be mounted here");
        return;
    };
    let home = Home::new();
    let file = disk.0.path().join("audit/audit.jsonl");
    let filler = disk.0.path().join("filler");
    let deadline = Duration::from_secs(2);
    let log = home.open_with(Options { file: Some(file.clone()), deadline, ..home.options() });
    fill(&log, 1);
    assert!(log.is_ready());
    let mut rest = fs::File::create(&filler).unwrap();
    while rest.write_all(&[0; 4096]).is_ok() {}
    // Ready means that there is room: each record that is appended while it says so is taken.
    let mut taken = 0_u64;
    while log.is_ready() {
        let records: Vec<_> = (0..100).map(|_| log.append(&entry(taken))).collect();
        for record in records {
            record.written_blocking().unwrap();
            taken += 1;
        }
    }
    assert!(taken > 1000, "{taken}");
    // Whoever does not ask is served from the reserve, until that is gone.
    let mut more = 0_u64;
    while log.append(&entry(more)).written_blocking().is_ok() {
        more += 1;
    }
    assert!(more > 500, "{more}");
    assert!(!log.is_ready());
    assert_eq!(log.append(&entry(0)).synced_blocking(), Err(Unavailable));
    drop(rest);
    fs::remove_file(&filler).unwrap();
    eventually("it is not ready again", || log.is_ready());
    fill(&log, 1);
    log.close().unwrap();
    let files = LogFiles::new(file);
    let trust = Trust { anchor: log.anchor(), ..Trust::default() };
    let report = verify(&files, &trust, verify_signature).unwrap();
    let kinds: Vec<_> = report.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Gap], "{report:?}");
}

/// Run with `cargo test --release -p audit -- --ignored --nocapture appends`.
#[test]
#[ignore = "a measurement"]
fn appends_per_second() {
    for threads in [1, 32] {
        let home = Home::on_disk();
        let log = home.open();
        let (done, results): (Sender<u64>, Receiver<u64>) = channel();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (log, done) = (&log, done.clone());
                scope.spawn(move || {
                    let mut count = 0;
                    while begun.elapsed() < Duration::from_secs(3) {
                        log.append(&entry(count)).written_blocking().unwrap();
                        count += 1;
                    }
                    done.send(count).unwrap();
                });
            }
        });
        drop(done);
        let total: u64 = results.iter().sum();
        println!("{threads} threads: {} appends/s", total as f64 / begun.elapsed().as_secs_f64());
    }
}
