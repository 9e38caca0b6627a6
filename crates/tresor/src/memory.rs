//! Keeps the process's memory out of swap, where the system allows that.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Locks all pages of this process into memory, those it has and those it is going to have (mlockall(2)): keys and
/// values then reach no swap. Whether they are locked; to ask again does no harm.
///
/// Only a process that may lock without a limit does it. Under a limit, each page that the process needs beyond that
/// would be refused from then on, and it would end where it could have gone on.
#[must_use]
pub fn lock() -> bool {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let capable =
        || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    // ONFAULT: what was only reserved, such as stacks, is not filled for being locked.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    (unlimited || capable()) && mlockall(flags).is_ok()
}
