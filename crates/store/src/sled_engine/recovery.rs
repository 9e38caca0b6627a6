//! The files that stand ready while sled recovers.
//!
//! Opening rewrites sled's files, and trusts them. So after an unclean stop they are copied first
//! (a reflink where the file system has them), sled opens the copy, and the files that were there go
//! only when the opened store has been checked. A start that is itself cut off finds them aside and
//! begins again from them.
//!
//! sled opens the copy, and not what was copied, because the copy is known to be on the disk. Where the
//! stop was one after a failed `fdatasync`, what that should have written may be in the memory of the
//! system only, as if it had been written, and no later sync writes it: it would be missing below
//! what is committed from then on.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::OpenError;
use super::data_dir::{DataDir, remove_dir_if_there, rename};

/// Undoes a start that was cut off, and removes what sled must not find and what a compaction left:
/// `store` is the directory that `HEAD` names.
pub(super) fn settle(dir: &DataDir, store: &Path) -> Result<(), OpenError> {
    remove_dir_if_there(&dir.store_partial())?;
    if dir.store_copy().exists() {
        put_back(dir, store)?;
    }
    remove_unfinished_snapshots(store)?;
    // Only now: without the files that count, the others might be somebody's last hope.
    for (_, path) in dir.stores()? {
        if path != store {
            remove_dir_if_there(&path)?;
        }
    }
    dir.sync()
}

/// Puts the data files aside and a copy in their place. A disk that has no room for a copy must not
/// keep the daemon down, so then there is none, which is said.
pub(super) fn copy_aside(dir: &DataDir, store: &Path) -> Result<Copied, OpenError> {
    let mut copied = Vec::new();
    match copy_dir(store, &dir.store_partial(), &mut copied) {
        Ok(()) => {
            // Between the two the store is there only aside, from where the next start takes it.
            rename(store, &dir.store_copy())?;
            rename(&dir.store_partial(), store)?;
            dir.sync()?;
            Ok(Copied(copied))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            tracing::warn!(
                "the disk has no room for a copy of the data files: opening without one"
            );
            remove_dir_if_there(&dir.store_partial())?;
            Ok(Copied(Vec::new()))
        }
        Err(error) => Err(OpenError::io("copy", store, error)),
    }
}

/// The files of a copy. It counts when they are on the disk: until then a start that is cut off begins again from
/// the files that are aside.
pub(super) struct Copied(Vec<File>);

impl Copied {
    /// Makes the copy durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.iter().try_for_each(File::sync_all)
    }
}

/// The opened store was checked: the copy may go.
pub(super) fn discard_copy(dir: &DataDir) -> Result<(), OpenError> {
    if !dir.store_copy().exists() {
        return Ok(());
    }
    // A half-deleted copy must not pass for a whole one at the next start.
    rename(&dir.store_copy(), &dir.store_partial())?;
    dir.sync()?;
    remove_dir_if_there(&dir.store_partial())
}

/// The opened store is not what it should be: the files go back to what they were. A cut between
/// the two renames leaves the copy, from which the next start begins.
pub(super) fn put_back(dir: &DataDir, store: &Path) -> Result<(), OpenError> {
    if !dir.store_copy().exists() {
        return Ok(());
    }
    remove_dir_if_there(&dir.store_partial())?;
    if store.exists() {
        rename(store, &dir.store_partial())?;
    }
    rename(&dir.store_copy(), store)?;
    dir.sync()?;
    remove_dir_if_there(&dir.store_partial())
}

/// A kill while sled writes a snapshot leaves a `snap.*.generating` file, and sled then refuses
/// the store for ever.
fn remove_unfinished_snapshots(store: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::io("tidy", store, error);
    for entry in fs::read_dir(store).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Copies a directory; adds its files and itself to `copied`.
fn copy_dir(from: &Path, to: &Path, copied: &mut Vec<File>) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target, copied)?;
        } else {
            fs::copy(entry.path(), &target)?;
            copied.push(File::open(&target)?);
        }
    }
    copied.push(File::open(to)?);
    Ok(())
}
