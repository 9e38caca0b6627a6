//! The `tresor` binary.

use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};
use tresor::command::Cli;
use tresor::memory;
use zeroizing_alloc::ZeroAlloc;

/// Every allocation is wiped when it is freed: values pass through buffers of libraries too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    harden();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// No core dumps, no tracing by other processes of the user, no swap, and no file that others can read.
fn harden() {
    umask(Mode::RWXG | Mode::RWXO);
    // Where the system refuses these there is nothing better to do than to go on.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = memory::lock();
}

#[expect(clippy::print_stderr, reason = "the one line that says why the command failed")]
fn complain(message: &str) {
    eprintln!("tresor: {message}");
}
