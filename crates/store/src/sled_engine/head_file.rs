//! `HEAD`: the last durable revision, kept outside sled, so that a store that opens with less than
//! it had acknowledged is recognized; and how far the audit log had come, for the same reason.
//!
//! Two slots, a page apart, are written in turn; the valid one with the higher sequence counts. A
//! torn write therefore costs at most the newest second, never the file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use domain::{Anchor, Decoder, Encoder, Incarnation, Malformed, ResourceVersion, Revision};

use super::OpenError;
use super::data_dir::rename;
use super::meta::{ANCHOR_BYTES, decode_anchor, encode_anchor};

const MAGIC: &[u8; 8] = b"TRESORHD";
/// The format of the data directory as a whole.
pub(super) const DIRECTORY_FORMAT: u16 = 7;
const SLOT_BYTES: usize = 8 + 2 + 16 + 4 + 8 + ANCHOR_BYTES + 4 + 8 + 4;
const SLOT_DISTANCE: u64 = 4096;

/// What `HEAD` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) store: [u8; 16],
    pub(super) incarnation: Incarnation,
    pub(super) revision: Revision,
    pub(super) anchor: Option<Anchor>,
    /// The number of the directory whose data files count.
    pub(super) files: u32,
}

/// What `HEAD` tells those who do not own the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadView {
    /// The store's identity.
    pub store: [u8; 16],
    /// The last durable commit.
    pub resource_version: ResourceVersion,
    /// How far the audit log has come.
    pub anchor: Option<Anchor>,
}

/// Reads `HEAD` beside whoever owns the data directory. What it says is at most a second old.
///
/// # Errors
/// When it is not there, of another format, or damaged.
pub fn read_head(data_dir: &Path) -> Result<HeadView, OpenError> {
    let path = data_dir.join("HEAD");
    let file = File::open(&path).map_err(|error| OpenError::io("open", &path, error))?;
    let (_, Head { store, incarnation, revision, anchor, .. }) = newest(&file, &path)?;
    let resource_version = ResourceVersion::new(incarnation, revision);
    Ok(HeadView { store, resource_version, anchor })
}

/// The open file.
pub(super) struct HeadFile {
    file: File,
    sequence: u64,
}

impl HeadFile {
    /// Makes the file, whole or not at all, in place of one that is there; its directory is the
    /// caller's to sync.
    pub(super) fn create(path: &Path, head: &Head) -> Result<Self, OpenError> {
        let beside = path.with_extension("new");
        let mut made = Self { file: open(&beside, true)?, sequence: 0 };
        made.replace(head).map_err(|error| OpenError::io("write", &beside, error))?;
        rename(&beside, path)?;
        Ok(made)
    }

    /// Writes both slots, each durably before the other: from then on nothing leads back to what
    /// either said before.
    pub(super) fn replace(&mut self, head: &Head) -> std::io::Result<()> {
        for _ in 0..2 {
            self.write(head)?;
            self.sync()?;
        }
        Ok(())
    }

    /// Opens the file and reads what it says.
    pub(super) fn open(path: &Path) -> Result<(Self, Head), OpenError> {
        let file = open(path, false)?;
        let (sequence, head) = newest(&file, path)?;
        Ok((Self { file, sequence }, head))
    }

    /// Writes the next slot; durable after [`HeadFile::sync`].
    pub(super) fn write(&mut self, head: &Head) -> std::io::Result<()> {
        self.sequence += 1;
        let slot = self.sequence % 2;
        self.file.write_all_at(&encode(self.sequence, head), slot * SLOT_DISTANCE)
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

fn open(path: &Path, create: bool) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o600);
    options.open(path).map_err(|error| OpenError::io("open", path, error))
}

/// What the valid slot with the higher sequence says.
fn newest(file: &File, path: &Path) -> Result<(u64, Head), OpenError> {
    let mut newest: Option<(u64, Head)> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT_BYTES];
        if file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE).is_err() {
            continue;
        }
        check_format(&bytes)?;
        if let Ok((sequence, head)) = decode(&bytes)
            && newest.is_none_or(|(best, _)| sequence > best)
        {
            newest = Some((sequence, head));
        }
    }
    newest.ok_or_else(|| OpenError::Damaged {
        what: format!("{} is not readable in either of its slots", path.display()),
    })
}

fn encode(sequence: u64, head: &Head) -> Vec<u8> {
    let mut out = Encoder::with_capacity(SLOT_BYTES);
    out.raw(MAGIC).u16(DIRECTORY_FORMAT).raw(&head.store).u32(head.incarnation.get());
    out.u64(head.revision.get());
    encode_anchor(&mut out, head.anchor);
    out.u32(head.files).u64(sequence);
    let bytes = out.finish();
    let checksum = crc32c::crc32c(&bytes);
    out.raw(&bytes).u32(checksum).finish()
}

/// A newer format is told apart from damage before anything else is interpreted.
fn check_format(bytes: &[u8; SLOT_BYTES]) -> Result<(), OpenError> {
    let mut input = Decoder::new(bytes);
    let ours = input.raw(MAGIC.len()).is_ok_and(|magic| magic == MAGIC);
    match input.u16() {
        Ok(found) if ours && found > DIRECTORY_FORMAT => {
            Err(OpenError::NewerFormat { found, supported: DIRECTORY_FORMAT })
        }
        Ok(found) if ours && found < DIRECTORY_FORMAT => {
            Err(OpenError::OlderFormat { found, supported: DIRECTORY_FORMAT })
        }
        _ => Ok(()),
    }
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Result<(u64, Head), Malformed> {
    let (content, checksum) = bytes.split_at(SLOT_BYTES - 4);
    if checksum != crc32c::crc32c(content).to_be_bytes() {
        return Err(Malformed);
    }
    let mut input = Decoder::new(content);
    if input.raw(MAGIC.len())? != MAGIC || input.u16()? != DIRECTORY_FORMAT {
        return Err(Malformed);
    }
    let store = input.array()?;
    let incarnation = Incarnation::new(input.u32()?);
    let revision = Revision::new(input.u64()?);
    let anchor = decode_anchor(&mut input)?;
    let files = input.u32()?;
    let sequence = input.u64()?;
    input.finish()?;
    Ok((sequence, Head { store, incarnation, revision, anchor, files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(revision: u64) -> Head {
        Head {
            store: *b"0123456789abcdef",
            incarnation: Incarnation::new(1),
            revision: Revision::new(revision),
            anchor: (revision > 0)
                .then_some(Anchor { seq: 772, hash: *b"0123456789abcdef0123456789abcdef" }),
            files: 5,
        }
    }

    #[test]
    fn the_newest_intact_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        let mut file = HeadFile::create(&path, &head(0)).unwrap();
        file.write(&head(7)).unwrap();
        file.write(&head(8)).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().1, head(8));
        let slot = file.sequence % 2 * SLOT_DISTANCE;
        file.file.write_all_at(b"torn", slot + 30).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().1, head(7));
        file.file.write_all_at(b"torn", (slot + SLOT_DISTANCE) % (2 * SLOT_DISTANCE)).unwrap();
        assert!(matches!(HeadFile::open(&path), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn a_newer_and_an_older_directory_are_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        let file = HeadFile::create(&path, &head(0)).unwrap();
        file.file.write_all_at(&[0, 8], 8).unwrap();
        let refused = HeadFile::open(&path);
        assert!(matches!(refused, Err(OpenError::NewerFormat { found: 8, supported: 7 })));
        file.file.write_all_at(&[0, 6], 8).unwrap();
        let refused = HeadFile::open(&path);
        assert!(matches!(refused, Err(OpenError::OlderFormat { found: 6, supported: 7 })));
    }

    #[test]
    fn who_does_not_own_the_directory_reads_what_the_owner_wrote_last() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = HeadFile::create(&dir.path().join("HEAD"), &head(0)).unwrap();
        assert_eq!(read_head(dir.path()).unwrap().anchor, None);
        file.write(&head(1)).unwrap();
        let view = read_head(dir.path()).unwrap();
        assert_eq!((view.store, view.anchor), (head(1).store, head(1).anchor));
        assert!(matches!(read_head(&dir.path().join("none")), Err(OpenError::Io { .. })));
    }

    #[test]
    fn golden_slot() {
        let shown = encode(3, &head(258)).escape_ascii().to_string().replace("\\x00", "0");
        assert_eq!(
            shown,
            r"TRESORHD0\x070123456789abcdef000\x01000000\x01\x02000000\x03\x040123456789abcdef0123456789abcdef000\x050000000\x03B\x11}\x90"
        );
    }
}
