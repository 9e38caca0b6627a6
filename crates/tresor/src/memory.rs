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
    let capable = || {
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
            && in_the_first_user_namespace()
    };
    // ONFAULT: what was only reserved, such as stacks, is not filled for being locked.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    (unlimited || capable()) && mlockall(flags).is_ok()
}

/// A capability that a process has in a user namespace of its own lifts no limit, though it is shown like any other. The
/// first namespace maps all users to themselves (user_namespaces(7)).
fn in_the_first_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
