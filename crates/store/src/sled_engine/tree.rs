//! A tree of sled's that is written to, and the file in which it lies.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::data_dir::{DataDir, remove_dir_if_there};
use super::raw::Raw;
use super::reserve::Reserve;
use super::{OpenError, SledOptions, chain, open_sled, sync_files};
use crate::engine::StoreError;

/// An open tree with its file.
pub(super) struct Tree {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) raw: Raw,
    /// sled's data file, opened once and kept: a reopened descriptor can miss a write-back error.
    data: File,
    reserve: Reserve,
}

impl Tree {
    /// Takes a tree that was opened in the directory of that number.
    pub(super) fn new(dir: &DataDir, number: u32, raw: Raw) -> Result<Self, OpenError> {
        let path = dir.store(number);
        let db = path.join("db");
        let open = || {
            let data = OpenOptions::new().read(true).write(true).open(&db)?;
            let reserve = Reserve::new(data.try_clone()?);
            Ok((data, reserve))
        };
        match open() {
            Ok((data, reserve)) => Ok(Self { number, path, raw, data, reserve }),
            Err(error) => Err(raw.close_after(OpenError::io("open", &db, error))),
        }
    }

    /// Makes an empty one, in place of what is in the directory.
    pub(super) fn make(
        dir: &DataDir,
        number: u32,
        options: SledOptions,
    ) -> Result<Self, OpenError> {
        let path = dir.store(number);
        remove_dir_if_there(&path)?;
        Self::new(dir, number, Raw::new(open_sled(&path, options)?))
    }

    /// Whether a group that touches so many keys fits on the disk.
    pub(super) fn ensure(&self, keys: usize) -> std::io::Result<bool> {
        self.reserve.ensure(keys)
    }

    /// Keeps room for sled, before anything else takes it: the copy that was opened after an unclean stop
    /// has none of the room that was kept behind the end of what was copied.
    pub(super) fn take_reserve(&self) {
        // No room is an answer for the next group, not a failure.
        let _ = self.ensure(0);
    }

    /// How long the data file is.
    pub(super) fn file_bytes(&self) -> std::io::Result<u64> {
        self.data.metadata().map(|metadata| metadata.len())
    }

    /// Makes what was applied durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.raw.flush()?;
        sync_data(&self.data)
    }

    /// Makes the whole tree durable, its directory included.
    pub(super) fn sync_all(&self) -> Result<(), StoreError> {
        self.sync()?;
        sync_files(&self.path).map_err(|error| unsynced(&error))
    }

    /// Whether sled has put something where it syncs nothing.
    pub(super) fn has_blobs(&self) -> std::io::Result<bool> {
        Ok(std::fs::read_dir(self.path.join("blobs"))?.next().is_some())
    }

    /// Closes the tree, with all of it durable, what sled writes then included.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let Self { path, raw, data, .. } = self;
        raw.close()?;
        sync_data(&data)?;
        sync_files(&path).map_err(|error| unsynced(&error))
    }

    /// Closes the tree and removes its files.
    pub(super) fn remove(self) -> Result<(), OpenError> {
        let Self { path, raw, data, reserve, .. } = self;
        // What cannot be written of it is not missed.
        let _ = raw.close();
        drop((data, reserve));
        // Threads of sled's own may still write to it for a moment.
        for _ in 0..50 {
            if remove_dir_if_there(&path).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        remove_dir_if_there(&path)
    }
}

fn sync_data(data: &File) -> Result<(), StoreError> {
    rustix::fs::fdatasync(data)
        .map_err(|error| StoreError::Failed { reason: format!("fdatasync: {error}") })
}

fn unsynced(error: &OpenError) -> StoreError {
    StoreError::Failed { reason: chain(error) }
}
