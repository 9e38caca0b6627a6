//! The data directory: who owns it, what lies in it, and how its small files are replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// What the directories of data files are called, with a number behind it.
const STORE_PREFIX: &str = "store-";

/// A data directory that this process owns: it holds the lock on the `LOCK` file until it is
/// dropped or the process ends, however it ends.
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes an existing directory.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has it.
    pub fn lock(root: &Path) -> Result<Self, OpenError> {
        let path = root.join("LOCK");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(|error| OpenError::io("open", &path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { root: root.to_owned() }),
            Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path, error)),
        }
    }

    /// Makes the directory with mode 0700 where it is missing, and takes it.
    ///
    /// # Errors
    /// As [`DataDir::lock`], or when it cannot be made.
    pub fn create(root: &Path) -> Result<Self, OpenError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(|error| OpenError::io("create", root, error))?;
        Self::lock(root)
    }

    /// The directory's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The keyring file's bytes, if there is one.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn read_keyring(&self) -> Result<Option<Vec<u8>>, OpenError> {
        let path = self.keyring();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io("read", &path, error)),
        }
    }

    /// Replaces the keyring file: after this returns, the new one is what a power cut leaves.
    ///
    /// # Errors
    /// When the disk refuses; the old file is then untouched.
    pub fn write_keyring(&self, bytes: &[u8]) -> Result<(), OpenError> {
        replace_file(&self.keyring(), bytes)
    }

    /// Whether a store was made here. A start that was cut off may have left it as its copy only.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn has_store(&self) -> Result<bool, OpenError> {
        let files = !self.stores()?.is_empty() || self.store_copy().exists();
        Ok(self.head().exists() && files)
    }

    /// Whether any part of a store is here. Making a new one would bury it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn holds_anything(&self) -> Result<bool, OpenError> {
        let parts = [self.keyring(), self.head(), self.store_copy(), self.restoring()];
        Ok(parts.iter().any(|part| part.exists()) || !self.stores()?.is_empty())
    }

    /// Notes that a store is being made here, so that a run that is cut off can be told from one
    /// that was finished.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_making(&self) -> Result<(), OpenError> {
        replace_file(&self.making(), b"")
    }

    /// Whether a store is being made here, or was and has not been finished.
    pub fn is_being_made(&self) -> bool {
        self.making().exists()
    }

    /// Notes that the store is finished.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish_making(&self) -> Result<(), OpenError> {
        remove_file_if_there(&self.making())?;
        self.sync()
    }

    /// Notes that a store is being restored here, and removes what an attempt before has left.
    pub(super) fn begin_restoring(&self) -> Result<(), OpenError> {
        replace_file(&self.restoring(), b"")?;
        for file in [self.head(), self.keyring(), self.clean_marker()] {
            remove_file_if_there(&file)?;
        }
        for (_, path) in self.stores()? {
            remove_dir_if_there(&path)?;
        }
        Ok(())
    }

    /// Whether a store is being restored here, or was and has not been finished.
    pub fn is_being_restored(&self) -> bool {
        self.restoring().exists()
    }

    /// Notes that the restored store is finished.
    pub(super) fn finish_restoring(&self) -> Result<(), OpenError> {
        remove_file_if_there(&self.restoring())?;
        self.sync()
    }

    fn restoring(&self) -> PathBuf {
        self.root.join("RESTORING")
    }

    fn making(&self) -> PathBuf {
        self.root.join("INITIALIZING")
    }

    fn keyring(&self) -> PathBuf {
        self.root.join("keyring")
    }

    pub(super) fn head(&self) -> PathBuf {
        self.root.join("HEAD")
    }

    pub(super) fn clean_marker(&self) -> PathBuf {
        self.root.join("CLEAN")
    }

    pub(super) fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    /// Where the data files are. Each compaction makes another directory, and `HEAD` says which
    /// one counts.
    pub(super) fn store(&self, number: u32) -> PathBuf {
        self.root.join(format!("{STORE_PREFIX}{number}"))
    }

    /// All directories of data files, those included that a compaction left behind or has not
    /// finished.
    pub(super) fn stores(&self) -> Result<Vec<(u32, PathBuf)>, OpenError> {
        let failed = |error| OpenError::io("read", &self.root, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(STORE_PREFIX));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                found.push((number, entry.path()));
            }
        }
        Ok(found)
    }

    pub(super) fn store_copy(&self) -> PathBuf {
        self.root.join("store.copy")
    }

    pub(super) fn store_partial(&self) -> PathBuf {
        self.root.join("store.copy.partial")
    }

    pub(super) fn sync(&self) -> Result<(), OpenError> {
        sync_dir(&self.root)
    }
}

/// Writes a new file beside the old one, syncs it, renames it over the old one and syncs the
/// directory: a reader finds the old bytes or the new ones.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| OpenError::io("write", path, error))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Syncs the data directory and the one that it is in.
pub(super) fn sync_parent(dir: &DataDir) -> Result<(), OpenError> {
    dir.sync()?;
    dir.root.parent().map_or(Ok(()), |parent| {
        sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    })
}

pub(super) fn sync_dir(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|error| OpenError::io("sync", path, error))
}

pub(super) fn remove_file_if_there(path: &Path) -> Result<(), OpenError> {
    tolerate_absence("remove", path, fs::remove_file(path))
}

pub(super) fn remove_dir_if_there(path: &Path) -> Result<(), OpenError> {
    tolerate_absence("remove", path, fs::remove_dir_all(path))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to).map_err(|error| OpenError::io("rename", from, error))
}

fn tolerate_absence(
    operation: &'static str,
    path: &Path,
    result: io::Result<()>,
) -> Result<(), OpenError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io(operation, path, error))
        }
        _ => Ok(()),
    }
}
