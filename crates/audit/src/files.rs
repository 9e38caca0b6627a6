//! Where the log lies: the current file, and the older ones beside it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The files of one log.
#[derive(Clone, Debug)]
pub struct LogFiles {
    current: PathBuf,
}

impl LogFiles {
    /// The log whose current file is that one.
    pub fn new(current: impl Into<PathBuf>) -> Self {
        Self { current: current.into() }
    }

    /// The current file.
    pub fn current(&self) -> &Path {
        &self.current
    }

    /// The older files, oldest first, each with the number of its first line. There are none in a
    /// directory that is gone.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn rotated(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        let entries = match fs::read_dir(self.dir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if let Some(first) = self.first_of(&path) {
                files.push((first, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// The older file whose first line has that number.
    pub(crate) fn rotated_path(&self, first: u64) -> PathBuf {
        self.dir().join(self.rotated_name(first))
    }

    pub(crate) fn rotated_name(&self, first: u64) -> String {
        format!("{}-{first:020}.jsonl", self.stem())
    }

    fn first_of(&self, path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        let digits = name.strip_prefix(&format!("{}-", self.stem()))?.strip_suffix(".jsonl")?;
        let first = digits.parse().ok()?;
        (self.rotated_name(first) == name).then_some(first)
    }

    fn stem(&self) -> String {
        self.current.file_stem().unwrap_or(OsStr::new("audit")).to_string_lossy().into_owned()
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.dir().join(format!("{}.lock", self.stem()))
    }

    pub(crate) fn dir(&self) -> &Path {
        match self.current.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    pub(crate) fn make_dir(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.dir())
    }

    pub(crate) fn sync_dir(&self) -> io::Result<()> {
        File::open(self.dir())?.sync_all()
    }
}

/// Opens for writing; makes the file when it is not there. Never through a symbolic link, and
/// nothing but a file.
pub(crate) fn open_to_write(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    regular(options.custom_flags(no_follow()).open(path)?)
}

/// Opens for reading, as carefully.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(no_follow()).open(path)?)
}

fn no_follow() -> i32 {
    // A pipe in the file's place must not keep us waiting.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    i32::try_from(flags.bits()).unwrap_or_default()
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}
