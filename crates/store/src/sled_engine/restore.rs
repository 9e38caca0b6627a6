//! A store made of backups: a whole one, and those that go on top of it.
//!
//! Each goes into a directory of data files of its own, which holds what the backup says and nothing
//! else: a record that it leaves to the one below it is copied from there. With `HEAD`, written last,
//! the store is there; until then the directory has none, and the restore is simply made again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use domain::{Incarnation, Revision};

use super::data_dir::{DataDir, sync_parent};
use super::head_file::{Head, HeadFile};
use super::meta::Meta;
use super::raw::Staged;
use super::tree::Tree;
use super::{Depth, FIRST_FILES, OpenError, SledEngine, SledOptions, check};
use crate::backup::{
    BackupEntry, BackupError, BackupHeader, BackupReader, BackupSummary, read_backup,
};
use crate::engine::{StoreError, Stored};
use crate::key::Key;

/// Records that are written at once.
const SLICE_RECORDS: usize = 256;
const SLICE_BYTES: usize = 1 << 20;
/// How many keys of sled a slice touches at most, by its records and the chunks of their values.
const SLICE_KEYS: usize = 1024;

/// Why backups cannot be restored. The directory has no store then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A backup cannot be read.
    #[error("{}", file.display())]
    Backup {
        /// Its file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        error: BackupError,
    },
    /// Backups do not belong on top of each other.
    #[error("{}: {what}", file.display())]
    Order {
        /// The one that does not belong.
        file: PathBuf,
        /// Why.
        what: String,
    },
    /// The store cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is a store already, or a part of one.
    #[error("{} holds a store or a part of one; restore into another directory", root.display())]
    NotEmpty {
        /// The directory.
        root: PathBuf,
    },
    /// The disk has no room for it.
    #[error("the disk has no room for the store")]
    StorageFull,
    /// It was restored more often than resource versions can count.
    #[error(
        "the store was restored too often: {0} is the last incarnation that a resourceVersion can name"
    )]
    TooOften(u32),
}

/// What a set of backups comes to.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    files: Vec<PathBuf>,
    /// The header of the last one.
    pub header: BackupHeader,
    /// What is in the last one.
    pub summary: BackupSummary,
    /// The bytes of all of them.
    pub bytes: u64,
}

impl RestorePlan {
    /// Reads backups, the whole one first, and so verifies every byte of them, and that they belong
    /// together.
    ///
    /// # Errors
    /// When one is damaged or does not go on top of the one before it.
    pub fn read(files: &[PathBuf]) -> Result<Self, RestoreError> {
        let mut last: Option<(BackupHeader, BackupSummary)> = None;
        let mut bytes = 0;
        for file in files {
            let failed = |error| RestoreError::Backup { file: file.clone(), error };
            let (header, summary) = read_backup(&mut open(file)?).map_err(failed)?;
            belongs(last.as_ref().map(|(header, _)| header), &header)
                .map_err(|what| RestoreError::Order { file: file.clone(), what })?;
            bytes += summary.bytes;
            last = Some((header, summary));
        }
        let (header, summary) = last.ok_or_else(|| RestoreError::Order {
            file: PathBuf::new(),
            what: "name a backup".to_owned(),
        })?;
        Ok(Self { files: files.to_vec(), header, summary, bytes })
    }
}

fn belongs(below: Option<&BackupHeader>, header: &BackupHeader) -> Result<(), String> {
    match (below, header.since) {
        (None, None) => Ok(()),
        (None, Some(since)) => {
            Err(format!("it goes on top of a backup of revision {since}: name that one before it"))
        }
        (Some(_), None) => Err("it is whole, and goes on top of none".to_owned()),
        (Some(below), Some(_))
            if (below.store, below.incarnation) != (header.store, header.incarnation) =>
        {
            Err("it is of another store, or of another incarnation, than the one before".to_owned())
        }
        (Some(below), Some(since)) if below.revision != since => Err(format!(
            "it goes on top of a backup of revision {since}, and the one before is of {}",
            below.revision
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

fn open(file: &Path) -> Result<BufReader<File>, RestoreError> {
    let opened = File::open(file).map_err(|error| OpenError::io("open", file, error))?;
    Ok(BufReader::with_capacity(1 << 18, opened))
}

impl SledEngine {
    /// Makes the store that the backups describe, in a directory that has none, as a new incarnation:
    /// resource versions of before are then known to be of another one. `told` is called with the
    /// bytes that were read.
    ///
    /// # Errors
    /// See [`RestoreError`]; the directory has no store then.
    pub fn restore(
        dir: &DataDir,
        plan: &RestorePlan,
        incarnation: Incarnation,
        told: &mut dyn FnMut(u64),
    ) -> Result<BackupSummary, RestoreError> {
        if dir.holds_anything()? && !dir.is_being_restored() {
            return Err(RestoreError::NotEmpty { root: dir.root().to_owned() });
        }
        dir.begin_restoring()?;
        let mut below: Option<Tree> = None;
        let (mut summary, mut read) = (BackupSummary::default(), 0);
        for (number, file) in (FIRST_FILES..).zip(&plan.files) {
            let tree = Tree::make(dir, number, SledOptions::default())?;
            let mut load = Load {
                tree: &tree,
                below: below.as_ref(),
                slice: BTreeMap::new(),
                bytes: 0,
                live_bytes: 0,
                names: 0,
            };
            let failed = |error| RestoreError::Backup { file: file.clone(), error };
            let mut input = open(file)?;
            let (header, mut reader) = BackupReader::begin(&mut input).map_err(failed)?;
            while let Some(entry) = reader.next().map_err(failed)? {
                let (key, stored) = load
                    .resolve(entry)
                    .map_err(|what| RestoreError::Order { file: file.clone(), what })?;
                if stored.written_at > header.revision {
                    let what = "a record was written after the backup was taken".to_owned();
                    return Err(RestoreError::Order { file: file.clone(), what });
                }
                load.add(key, stored)?;
                told(read + reader.summary().bytes);
            }
            load.flush()?;
            summary = reader.summary();
            read += summary.bytes;
            told(read);
            let meta = Meta {
                store: header.store,
                incarnation,
                revision: header.revision,
                last_event: header.last_event,
                log_floor: header.log_floor,
                log_count: header.log_count,
                live_bytes: load.live_bytes,
                // The audit log is not in a backup: it begins anew, or goes on where it lies elsewhere.
                anchor: None,
            };
            finish(&tree, &meta)?;
            if let Some(below) = below.replace(tree) {
                below.remove()?;
            }
        }
        let Some(tree) = below else { return Ok(summary) };
        let BackupHeader { store, revision, keyring, .. } = &plan.header;
        let head = Head {
            store: *store,
            incarnation,
            revision: *revision,
            anchor: None,
            files: tree.number,
        };
        check::check(&tree.raw, &tree.path, &head, Depth::Everything)?;
        tree.close().map_err(unwritable)?;
        dir.write_keyring(keyring)?;
        HeadFile::create(&dir.head(), &head)?;
        sync_parent(dir)?;
        dir.finish_restoring()?;
        Ok(summary)
    }
}

fn finish(tree: &Tree, meta: &Meta) -> Result<(), RestoreError> {
    let at = meta.revision;
    let stored = Stored { value: meta.encode(), changed_at: at, written_at: at };
    let mut staged = Staged::new(meta.live_bytes, None);
    let done = staged.put_meta(&Meta::key(), &stored);
    done.and_then(|()| tree.raw.apply(staged.finish().0)).map_err(unwritable)?;
    Ok(())
}

fn unwritable(error: StoreError) -> OpenError {
    OpenError::Damaged { what: format!("the restored files cannot be written: {error}") }
}

/// Records on their way into a tree.
struct Load<'a> {
    tree: &'a Tree,
    /// What the backup below held.
    below: Option<&'a Tree>,
    slice: BTreeMap<Key, Stored>,
    bytes: usize,
    live_bytes: u64,
    /// How many names for chunks were given.
    names: u64,
}

impl Load<'_> {
    /// The record that an entry stands for.
    fn resolve(&self, entry: BackupEntry) -> Result<(Key, Stored), String> {
        let (key, written_at) = match entry {
            BackupEntry::Record(key, stored) => return Ok((key, stored)),
            BackupEntry::Kept(key, written_at) => (key, written_at),
        };
        let found = self.below.map(|below| below.raw.get(&key)).transpose();
        match found.map_err(|error| error.to_string())?.flatten() {
            Some(stored) if stored.written_at == written_at => Ok((key, stored)),
            _ => {
                Err("a record that it leaves to the backup below is not as it was there".to_owned())
            }
        }
    }

    /// A record may come twice, and is then the same.
    fn add(&mut self, key: Key, stored: Stored) -> Result<(), RestoreError> {
        self.bytes += key.as_bytes().len() + stored.value.len();
        self.slice.insert(key, stored);
        if self.slice.len() >= SLICE_RECORDS || self.bytes >= SLICE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RestoreError> {
        let failed =
            |error| RestoreError::Open(OpenError::io("reserve room in", &self.tree.path, error));
        if !self.tree.ensure(SLICE_KEYS).map_err(failed)? {
            return Err(RestoreError::StorageFull);
        }
        let mut staged = Staged::new(self.live_bytes, None);
        for (key, stored) in std::mem::take(&mut self.slice) {
            // Names of chunks that no commit of later has.
            let origin = (Revision::new(self.names >> 16), (self.names & 0xffff) as u16);
            self.names += 1;
            let staged = self.tree.raw.find(&key).and_then(|found| {
                self.tree.raw.stage(&mut staged, &key, &found, Some(&stored), origin)
            });
            staged.map_err(unwritable)?;
        }
        self.live_bytes = staged.live_bytes();
        self.bytes = 0;
        Ok(self.tree.raw.apply(staged.finish().0).map_err(unwritable)?)
    }
}
