//! Runs a program under ptrace and kills all of it at the n-th system call of interest.
//!
//! The kill comes at the call's entry: what the calls before it did is there, and this one did
//! not happen. Calls are counted over all threads in the order in which the tracer sees them.

use std::collections::HashSet;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Which system calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Points {
    /// Every one.
    All,
    /// Those that change what a file system holds, or make it durable.
    Changes,
}

/// How a traced run went.
#[derive(Debug)]
pub(crate) struct Traced {
    /// How many calls counted, the one that was killed at included.
    pub(crate) count: usize,
    /// Whether it was killed at the call asked for, rather than later or not at all.
    pub(crate) killed: bool,
    pub(crate) stdout: String,
}

/// When a run that is not killed before is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When it ends by itself.
    Exit,
    /// When it has written to standard output; then it is killed.
    Ready,
}

/// Runs a command and kills it at the entry of the `at`-th call that counts, from 1.
///
/// Its children are waited for by this thread alone (`__WNOTHREAD`), so that several runs, and
/// other tests' processes, do not meet.
pub(crate) fn run(command: &mut Command, points: Points, at: usize, until: Until) -> Traced {
    let mut child =
        traced(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let main = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut out = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    assert!(matches!(waitpid(main, None), Ok(WaitStatus::Stopped(_, Signal::SIGTRAP))));
    let follow =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, follow).unwrap();
    ptrace::syscall(main, None).unwrap();

    let mut inside = HashSet::new();
    let (mut count, mut killed) = (0, false);
    loop {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (thread, signal) = match waitpid(None, Some(flags)).unwrap() {
            WaitStatus::PtraceSyscall(thread) => {
                let entry = inside.insert(thread);
                if !entry {
                    inside.remove(&thread);
                }
                if entry && !killed {
                    let call = Call::of(thread);
                    count += usize::from(call.counts(points));
                    killed = count == at;
                    if killed || (until == Until::Ready && call.writes_to_stdout()) {
                        // A write that says "ready" is let through to nobody: the run is over.
                        kill(main, Signal::SIGKILL).unwrap();
                    }
                }
                (thread, None)
            }
            WaitStatus::PtraceEvent(thread, _, _)
            | WaitStatus::Stopped(thread, Signal::SIGSTOP) => (thread, None),
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, _, _) => {
                if thread == main {
                    break;
                }
                continue;
            }
            _ => continue,
        };
        // A thread that was just killed cannot be resumed, and need not be.
        let _ = ptrace::syscall(thread, signal);
    }
    // It was waited for above, which the standard library does not know.
    let _ = child.wait();
    Traced { count, killed, stdout: reader.join().unwrap() }
}

#[expect(unsafe_code, reason = "only the child itself can ask to be traced from its first call on")]
fn traced(command: &mut Command) -> std::process::Child {
    let ask = || ptrace::traceme().map_err(std::io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call and nothing else.
    unsafe { command.pre_exec(ask) };
    command.spawn().unwrap()
}

/// A system call about to be made.
struct Call {
    number: i64,
    arguments: [u64; 3],
}

#[cfg(target_arch = "x86_64")]
impl Call {
    fn of(thread: Pid) -> Self {
        // A thread that was killed between stop and question makes no call any more.
        ptrace::getregs(thread).map_or(Self { number: -1, arguments: [0; 3] }, |registers| Self {
            number: registers.orig_rax.cast_signed(),
            arguments: [registers.rdi, registers.rsi, registers.rdx],
        })
    }

    fn writes_to_stdout(&self) -> bool {
        self.number == calls::WRITE && self.arguments[0] == 1
    }

    fn counts(&self, points: Points) -> bool {
        const O_CREAT: u64 = 0o100;
        match self.number {
            -1 => false,
            calls::OPENAT => points == Points::All || self.arguments[2] & O_CREAT != 0,
            number => points == Points::All || calls::CHANGES.contains(&number),
        }
    }
}

/// Numbers of x86-64's system calls, `asm/unistd_64.h`.
#[cfg(target_arch = "x86_64")]
mod calls {
    pub(super) const WRITE: i64 = 1;
    pub(super) const OPENAT: i64 = 257;

    pub(super) const CHANGES: &[i64] = &[
        WRITE, 16,  // ioctl, for FICLONE
        18,  // pwrite64
        20,  // writev
        40,  // sendfile
        74,  // fsync
        75,  // fdatasync
        76,  // truncate
        77,  // ftruncate
        82,  // rename
        83,  // mkdir
        84,  // rmdir
        85,  // creat
        86,  // link
        87,  // unlink
        90,  // chmod
        91,  // fchmod
        258, // mkdirat
        263, // unlinkat
        264, // renameat
        265, // linkat
        275, // splice
        277, // sync_file_range
        285, // fallocate
        296, // pwritev
        316, // renameat2
        326, // copy_file_range
        328, // pwritev2
    ];
}
