//! Makes the file durable on a thread of its own, so that who only reads does not wait for a disk.

use crate::station::Station;

/// Runs until the sink is closed.
pub(crate) fn run(station: &Station) {
    while let Some(sync) = station.next_sync() {
        let result = rustix::fs::fdatasync(&sync.file).map_err(Into::into);
        station.synced(&sync, result);
    }
}
