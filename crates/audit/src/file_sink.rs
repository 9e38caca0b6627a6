//! The file: written by one thread, room kept behind its end, and a new one begun when it is full.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use domain::Anchor;
use rustix::fs::{
    CWD, FallocateFlags, RenameFlags, fallocate, fdatasync, fstatvfs, rename, renameat_with,
};
use rustix::io::Errno;

use crate::files::{LogFiles, open_to_write};
use crate::inspect::{Found, inspect};
use crate::station::{Batch, Cut, Station};
use crate::writer::{Layout, Medium, Reopened};

/// What is kept allocated behind the end, and below what the log is not ready.
const RESERVE_BYTES: u64 = 4 << 20;
const LEAST_BYTES: u64 = 1 << 20;
const COPY_BYTES: usize = 256 << 10;

pub(crate) struct FileSink {
    files: LogFiles,
    file: Option<Arc<File>>,
    end: u64,
    /// Up to here the disk has given room.
    reserved: u64,
    /// Held as long as the log is open: two writers would tear the chain.
    _lock: File,
}

impl FileSink {
    pub(crate) fn new(files: LogFiles, lock: File) -> Self {
        Self { files, file: None, end: 0, reserved: 0, _lock: lock }
    }

    fn write_at_end(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        if file.metadata()?.len() != self.end {
            return Err(io::Error::other("somebody else has written to the file, or shortened it"));
        }
        file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Keeps room behind the end; says whether there is enough.
    fn keep_reserve(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if self.reserved.saturating_sub(self.end) < RESERVE_BYTES / 2 {
            // A small disk may have room for the least.
            for bytes in [RESERVE_BYTES, LEAST_BYTES] {
                match fallocate(file, FallocateFlags::KEEP_SIZE, self.end, bytes) {
                    Ok(()) => {
                        self.reserved = self.reserved.max(self.end + bytes);
                        break;
                    }
                    Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {}
                    // A file system without fallocate can at least say what is free.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                        let stat = fstatvfs(file)?;
                        return Ok(stat.f_bavail.saturating_mul(stat.f_frsize) >= LEAST_BYTES);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(self.reserved.saturating_sub(self.end) >= LEAST_BYTES)
    }

    fn begin_next(&mut self, cut: &Cut, station: &Station) -> io::Result<()> {
        let old = self.file.take().ok_or(io::ErrorKind::NotConnected)?;
        // Gives back the room behind its end.
        old.set_len(self.end)?;
        old.sync_all()?;
        let (current, target) = (self.files.current(), self.files.rotated_path(cut.first));
        match renameat_with(CWD, current, CWD, &target, RenameFlags::NOREPLACE) {
            // A file system that cannot refuse to replace: look first.
            Err(Errno::INVAL | Errno::NOSYS) if !target.exists() => rename(current, &target)?,
            result => result?,
        }
        let new = Arc::new(open_to_write(current)?);
        self.files.sync_dir()?;
        station.begin_file(new.clone(), cut.last);
        (self.file, self.end, self.reserved) = (Some(new), 0, 0);
        Ok(())
    }

    /// The log says, durably, that they are gone; a crash before that leaves them.
    fn delete(&self, batch: &Batch, station: &Station) -> io::Result<()> {
        let doomed: Vec<_> = batch.cuts.iter().flat_map(|cut| &cut.doomed).collect();
        let (Some(file), Some(last), false) = (&self.file, batch.last, doomed.is_empty()) else {
            return Ok(());
        };
        fdatasync(file)?;
        station.synced_through(last);
        for first in doomed {
            let path = self.files.rotated_path(*first);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old audit file stays");
            }
        }
        Ok(())
    }
}

impl Medium for FileSink {
    fn write(&mut self, batch: &Batch, station: &Station) -> io::Result<()> {
        let mut from = 0;
        for cut in &batch.cuts {
            self.write_at_end(batch.bytes.get(from..cut.at).unwrap_or_default())?;
            self.begin_next(cut, station)?;
            from = cut.at;
        }
        self.write_at_end(batch.bytes.get(from..).unwrap_or_default())?;
        station.set_low(!self.keep_reserve()?);
        self.delete(batch, station)
    }

    fn reopen(&mut self, expected: Option<Anchor>, station: &Station) -> io::Result<Reopened> {
        self.file = None;
        self.files.make_dir()?;
        let found = inspect(&self.files, expected)?;
        let (signed, resource_version) = (found.signed, found.resource_version);
        let Found { file, end, first, last, breakage, unproven_from, rotated, .. } = found;
        write_again(&file, unproven_from, end)?;
        file.sync_all()?;
        self.files.sync_dir()?;
        let file = Arc::new(file);
        (self.file, self.end, self.reserved) = (Some(file.clone()), end, 0);
        let has_room = self.keep_reserve()?;
        station.set_low(!has_room);
        let layout = Layout { first, bytes: end, rotated: rotated.into() };
        let held = (last.seq > 0).then_some(last);
        let (layout, file) = (Some(layout), Some(file));
        Ok(Reopened { held, signed, resource_version, breakage, layout, file, has_room })
    }

    fn look_around(&mut self, station: &Station) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let (ours, there) = (file.metadata()?, fs::symlink_metadata(self.files.current())?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) || there.len() != self.end {
            return Err(io::Error::other("the file was moved, replaced or changed"));
        }
        station.set_low(!self.keep_reserve()?);
        Ok(())
    }
}

/// After a failed sync the system may take for durable what is not: what the anchor does not vouch
/// for is written once more.
fn write_again(file: &File, from: u64, end: u64) -> io::Result<()> {
    let (mut at, mut buffer) = (from, vec![0; COPY_BYTES]);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let part = buffer.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at)?;
        at += length as u64;
    }
    Ok(())
}
