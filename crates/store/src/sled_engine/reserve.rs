//! Room on the disk, taken before sled needs it: sled must never meet a full disk, because
//! afterwards even its reads fail.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::OpenError;
use super::data_dir::{DataDir, remove_file_if_there};

/// What sled may write between groups: pages of the segments that it cleans, and a new segment.
const STANDING_RESERVE: u64 = 8 << 20;
/// What one key of a group can make sled write at worst, on average: its value (at most 4 KiB), a
/// tenth of a leaf (16 entries, rewritten every ten changes) and its share in the splits of leaves
/// and of the index above them. Measured: 4.5 KiB for chunks removed, 14.5 KiB for large values
/// replaced.
const RESERVE_PER_KEY: u64 = 32 << 10;
/// What opening a store may write: a snapshot of its page table, and the zeroed tail of its log.
const BALLAST_BYTES: u64 = 8 << 20;
const BALLAST_STEP: u64 = 64 << 10;

/// Keeps room behind the end of sled's file.
pub(super) struct Reserve {
    file: File,
}

impl Reserve {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }

    /// Whether a group that touches so many keys fits, whatever it makes sled write.
    ///
    /// # Errors
    /// The error of the system, for anything but a full disk.
    pub(super) fn ensure(&self, keys: usize) -> std::io::Result<bool> {
        let needed = STANDING_RESERVE + RESERVE_PER_KEY.saturating_mul(keys as u64);
        let end = self.file.metadata()?.len();
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, end, needed) {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
            // A file system without fallocate can at least say what is free.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let stat = fstatvfs(&self.file)?;
                Ok(stat.f_bavail.saturating_mul(stat.f_frsize) >= needed)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Gives the ballast's room to the start that follows.
pub(super) fn release_ballast(dir: &DataDir) -> Result<(), OpenError> {
    remove_file_if_there(&dir.ballast())
}

/// Takes the room again, as much of it as a full disk leaves: a start needs only a part, and gives
/// back what it did not use.
pub(super) fn take_ballast(dir: &DataDir) {
    match allocate(&dir.ballast()) {
        Ok(BALLAST_BYTES) => {}
        Ok(bytes) => {
            tracing::warn!(bytes, "the disk is full: there is less ballast than there should be");
        }
        Err(error) => {
            tracing::warn!(%error, "the ballast file cannot be made: a start on a full disk may fail");
        }
    }
}

fn allocate(path: &Path) -> std::io::Result<u64> {
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let mut bytes = BALLAST_BYTES;
    while bytes > 0 {
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(bytes),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(BALLAST_BYTES),
            Err(Errno::NOSPC | Errno::DQUOT) => bytes = bytes.saturating_sub(BALLAST_STEP),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(0)
}
