//! What a backup is on the outside: a header, records as the store holds them, and an end. STORE.md
//! has its bytes.
//!
//! Values in it are as sealed as in the store, and the keyring goes with them: whoever has the root
//! key, and nobody else, can read it.

use std::io::{self, Read, Write};

use domain::{
    Anchor, Decoder, Encoder, Incarnation, Malformed, ResourceVersion, Revision, Timestamp,
};

use crate::engine::{StoreError, Stored};
use crate::key::{Key, KeyRange};
use crate::sled_engine::{decode_anchor, encode_anchor};

const MAGIC: &[u8; 8] = b"TRESORBK";
const FORMAT: u16 = 1;
/// Records are collected up to this size; a longer one has a frame of its own.
const FRAME_BYTES: usize = 64 << 10;
/// No frame is longer: a keyring is less, and the largest commit is 1.25 MiB.
const MAX_FRAME_BYTES: usize = 4 << 20;

const HEADER: u8 = 1;
const RECORDS: u8 = 2;
const KEPT: u8 = 3;
const END: u8 = 4;

/// What a backup says of itself, before its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHeader {
    /// The store's identity.
    pub store: [u8; 16],
    /// How often the store had been restored.
    pub incarnation: Incarnation,
    /// The commit at which it was taken: all of it and of those before is in it, nothing of later ones.
    pub revision: Revision,
    /// It holds what was written since then, and goes on top of a backup of that revision. None when
    /// it is whole.
    pub since: Option<Revision>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The last commit that had an event.
    pub last_event: Revision,
    /// Events of this commit and of earlier ones are not in it.
    pub log_floor: Revision,
    /// How many events the store had.
    pub log_count: u64,
    /// How far the audit log had come.
    pub anchor: Option<Anchor>,
    /// The keyring file of that moment, wrapped by the root keys.
    pub keyring: Vec<u8>,
}

impl BackupHeader {
    /// The resource version at which it was taken.
    pub const fn resource_version(&self) -> ResourceVersion {
        ResourceVersion::new(self.incarnation, self.revision)
    }
}

/// How large a backup has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// The commit at which it was taken.
    pub revision: Revision,
    /// The records in it.
    pub records: u64,
    /// The records that it leaves to the backup below it.
    pub kept: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Why there is no backup, or why it cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Reading or writing it failed.
    #[error("the backup cannot be {operation}")]
    Io {
        /// `read` or `written`.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its bytes are not what was written.
    #[error("the backup is damaged at byte {at}: {what}")]
    Damaged {
        /// Where that was found.
        at: u64,
        /// What was found.
        what: &'static str,
    },
    /// A newer release wrote it.
    #[error(
        "the backup has format {found}, and this release reads up to {FORMAT}; use the release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The format found.
        found: u16,
    },
    /// The file is something else.
    #[error(
        "it is no backup of Tresor's: it does not begin with {}",
        String::from_utf8_lossy(MAGIC)
    )]
    Foreign,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// It was to go on top of a state that this store never had.
    #[error(
        "resourceVersion {since} is not one that this store has had: it is at {now}; take a whole backup"
    )]
    NotOurs {
        /// What was asked for.
        since: ResourceVersion,
        /// Where the store is.
        now: ResourceVersion,
    },
    /// More was written than could be kept for it.
    #[error(
        "more was written meanwhile than the backup keeps in memory; where it goes is too slow, try again"
    )]
    Outrun,
    /// The keyring was replaced again and again while the backup was to begin.
    #[error("the keys were changed again and again; try again")]
    Keyring,
}

/// An entry of a backup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BackupEntry {
    /// A record.
    Record(Key, Stored),
    /// That a record is still there, as that commit wrote it; in the backup below.
    Kept(Key, Revision),
}

/// Writes a backup.
pub(crate) struct BackupWriter<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    checksum: u32,
    records: Encoder,
    kept: Encoder,
    pending: (usize, usize),
    summary: BackupSummary,
}

impl<'a> BackupWriter<'a> {
    pub(crate) fn begin(
        out: &'a mut dyn Write,
        header: &BackupHeader,
    ) -> Result<Self, BackupError> {
        let prologue = Encoder::default().raw(MAGIC).u16(FORMAT).finish();
        out.write_all(&prologue).map_err(written)?;
        let mut begun = Self {
            out,
            bytes: prologue.len() as u64,
            checksum: crc32c::crc32c(&prologue),
            records: Encoder::default(),
            kept: Encoder::default(),
            pending: (0, 0),
            summary: BackupSummary { revision: header.revision, ..BackupSummary::default() },
        };
        begun.frame(&encode_header(header))?;
        Ok(begun)
    }

    pub(crate) fn record(&mut self, key: &Key, stored: &Stored) -> Result<(), BackupError> {
        let Stored { value, changed_at, written_at } = stored;
        if self.pending.0 == 0 {
            self.records.u8(RECORDS);
        }
        self.records.bytes(key.as_bytes()).u64(changed_at.get()).u64(written_at.get()).bytes(value);
        self.pending.0 += key.as_bytes().len() + value.len() + 24;
        self.summary.records += 1;
        if self.pending.0 >= FRAME_BYTES { self.flush() } else { Ok(()) }
    }

    pub(crate) fn kept(&mut self, key: &Key, written_at: Revision) -> Result<(), BackupError> {
        if self.pending.1 == 0 {
            self.kept.u8(KEPT);
        }
        self.kept.bytes(key.as_bytes()).u64(written_at.get());
        self.pending.1 += key.as_bytes().len() + 12;
        self.summary.kept += 1;
        if self.pending.1 >= FRAME_BYTES { self.flush() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> Result<BackupSummary, BackupError> {
        self.flush()?;
        let BackupSummary { records, kept, .. } = self.summary;
        self.frame(&Encoder::default().u8(END).u64(records).u64(kept).finish())?;
        self.out.flush().map_err(written)?;
        Ok(BackupSummary { bytes: self.bytes, ..self.summary })
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        let (records, kept) = std::mem::take(&mut self.pending);
        if records > 0 {
            let body = self.records.finish();
            self.frame(&body)?;
        }
        if kept > 0 {
            let body = self.kept.finish();
            self.frame(&body)?;
        }
        Ok(())
    }

    /// Each frame's checksum covers that of the one before, so that none can be missing, doubled or
    /// out of order.
    fn frame(&mut self, body: &[u8]) -> Result<(), BackupError> {
        let framed = Encoder::with_capacity(body.len() + 4).bytes(body).finish();
        self.checksum = chained(self.checksum, &framed);
        self.out.write_all(&framed).map_err(written)?;
        self.out.write_all(&self.checksum.to_be_bytes()).map_err(written)?;
        self.bytes += framed.len() as u64 + 4;
        Ok(())
    }
}

/// Reads a backup, and has seen every byte of it verified when it has come to its end.
pub(crate) struct BackupReader<'a> {
    input: &'a mut dyn Read,
    at: u64,
    checksum: u32,
    /// What is left of the last frame, in reverse.
    entries: Vec<BackupEntry>,
    summary: BackupSummary,
}

impl<'a> BackupReader<'a> {
    pub(crate) fn begin(input: &'a mut dyn Read) -> Result<(BackupHeader, Self), BackupError> {
        let mut prologue = [0; 10];
        if let Err(error) = input.read_exact(&mut prologue) {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => BackupError::Foreign,
                _ => BackupError::Io { operation: "read", source: error },
            });
        }
        let mut read = Decoder::new(&prologue);
        if read.raw(MAGIC.len()).is_ok_and(|magic| magic != MAGIC) {
            return Err(BackupError::Foreign);
        }
        match read.u16() {
            Ok(FORMAT) => {}
            Ok(found) if found > FORMAT => return Err(BackupError::NewerFormat { found }),
            _ => return Err(BackupError::Foreign),
        }
        let checksum = crc32c::crc32c(&prologue);
        let at = prologue.len() as u64;
        let summary = BackupSummary::default();
        let mut reader = Self { input, at, checksum, entries: Vec::new(), summary };
        let body = reader.frame()?;
        let header = decode_header(&body).map_err(|_| reader.damaged("its header is malformed"))?;
        reader.summary.revision = header.revision;
        Ok((header, reader))
    }

    /// The next entry; none at the end, when everything was verified.
    pub(crate) fn next(&mut self) -> Result<Option<BackupEntry>, BackupError> {
        while self.entries.is_empty() {
            let body = self.frame()?;
            let malformed = |_: Malformed| self.damaged("a frame is malformed");
            let mut input = Decoder::new(&body);
            match input.u8().map_err(malformed)? {
                END => return self.end(&mut input).map(|()| None),
                kind => self.entries = decode_entries(kind, &mut input).map_err(malformed)?,
            }
            self.entries.reverse();
        }
        let entry = self.entries.pop();
        match &entry {
            Some(BackupEntry::Record(..)) => self.summary.records += 1,
            Some(BackupEntry::Kept(..)) => self.summary.kept += 1,
            None => {}
        }
        Ok(entry)
    }

    /// What was read so far.
    pub(crate) const fn summary(&self) -> BackupSummary {
        BackupSummary { bytes: self.at, ..self.summary }
    }

    fn end(&mut self, input: &mut Decoder<'_>) -> Result<(), BackupError> {
        let told = input.u64().and_then(|records| Ok((records, input.u64()?)));
        if input.remaining() > 0 || told != Ok((self.summary.records, self.summary.kept)) {
            return Err(self.damaged("it ends with another number of records than it has"));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("something follows its end")),
            Err(source) => Err(BackupError::Io { operation: "read", source }),
        }
    }

    fn frame(&mut self) -> Result<Vec<u8>, BackupError> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let body_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if body_bytes > MAX_FRAME_BYTES {
            return Err(self.damaged("a frame is longer than any that is written"));
        }
        let mut framed = vec![0; 4 + body_bytes + 4];
        let (head, rest) = framed.split_at_mut(4);
        head.copy_from_slice(&length);
        self.read(rest)?;
        let checksum = framed.split_off(4 + body_bytes);
        let expected = chained(self.checksum, &framed);
        if checksum != expected.to_be_bytes() {
            return Err(self.damaged("a checksum is wrong"));
        }
        self.checksum = expected;
        self.at += framed.len() as u64 + 4;
        framed.drain(..4);
        Ok(framed)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(into).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it is cut off"),
            _ => BackupError::Io { operation: "read", source },
        })
    }

    const fn damaged(&self, what: &'static str) -> BackupError {
        BackupError::Damaged { at: self.at, what }
    }
}

fn written(source: io::Error) -> BackupError {
    BackupError::Io { operation: "written", source }
}

fn chained(before: u32, framed: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&before.to_be_bytes()), framed)
}

fn encode_header(header: &BackupHeader) -> Vec<u8> {
    let mut out = Encoder::with_capacity(128 + header.keyring.len());
    out.u8(HEADER).raw(&header.store).u32(header.incarnation.get()).u64(header.revision.get());
    out.u8(u8::from(header.since.is_some())).u64(header.since.unwrap_or_default().get());
    out.timestamp(header.created_at).u64(header.last_event.get()).u64(header.log_floor.get());
    out.u64(header.log_count);
    encode_anchor(&mut out, header.anchor);
    out.bytes(&header.keyring).finish()
}

fn decode_header(body: &[u8]) -> Result<BackupHeader, Malformed> {
    let mut input = Decoder::new(body);
    if input.u8()? != HEADER {
        return Err(Malformed);
    }
    let store = input.array()?;
    let incarnation = input.u32()?;
    let revision = Revision::new(input.u64()?);
    let since = match (input.u8()?, Revision::new(input.u64()?)) {
        (0, Revision::ZERO) => None,
        (1, since) if since <= revision => Some(since),
        _ => return Err(Malformed),
    };
    let header = BackupHeader {
        store,
        incarnation: Incarnation::new(incarnation),
        revision,
        since,
        created_at: input.timestamp()?,
        last_event: Revision::new(input.u64()?),
        log_floor: Revision::new(input.u64()?),
        log_count: input.u64()?,
        anchor: decode_anchor(&mut input)?,
        keyring: input.bytes()?.to_vec(),
    };
    input.finish()?;
    let fits = header.incarnation.get() == incarnation && revision <= Revision::MAX;
    if fits { Ok(header) } else { Err(Malformed) }
}

fn decode_entries(kind: u8, input: &mut Decoder<'_>) -> Result<Vec<BackupEntry>, Malformed> {
    let mut entries = Vec::new();
    while input.remaining() > 0 {
        let key = Key::from_bytes(input.bytes()?.to_vec());
        if !KeyRange::records().holds(&key) || key.is_engines() {
            return Err(Malformed);
        }
        entries.push(match kind {
            RECORDS => {
                let changed_at = Revision::new(input.u64()?);
                let written_at = Revision::new(input.u64()?);
                let value = input.bytes()?.to_vec();
                BackupEntry::Record(key, Stored { value, changed_at, written_at })
            }
            KEPT => BackupEntry::Kept(key, Revision::new(input.u64()?)),
            _ => return Err(Malformed),
        });
    }
    if entries.is_empty() { Err(Malformed) } else { Ok(entries) }
}

/// Appends a frame, behind the prologue when it is the first.
#[cfg(any(test, fuzzing))]
pub(crate) fn frame(out: &mut Vec<u8>, checksum: &mut Option<u32>, body: &[u8]) {
    let before = checksum.unwrap_or_else(|| {
        out.extend(Encoder::default().raw(MAGIC).u16(FORMAT).finish());
        crc32c::crc32c(out)
    });
    let framed = Encoder::default().bytes(body).finish();
    let after = chained(before, &framed);
    out.extend(framed);
    out.extend(after.to_be_bytes());
    *checksum = Some(after);
}

/// The bodies of a small backup's frames.
#[cfg(test)]
pub(crate) fn sample_bodies() -> [Vec<u8>; 4] {
    let header = BackupHeader {
        store: [7; 16],
        incarnation: Incarnation::new(2),
        revision: Revision::new(9),
        since: Some(Revision::new(5)),
        created_at: Timestamp::from_unix_millis(1),
        last_event: Revision::new(9),
        log_floor: Revision::ZERO,
        log_count: 1,
        anchor: None,
        keyring: b"keys".to_vec(),
    };
    let key = Key::rotation();
    let record =
        Encoder::default().u8(RECORDS).bytes(key.as_bytes()).u64(9).u64(9).bytes(b"v").finish();
    let kept = Encoder::default().u8(KEPT).bytes(Key::keyring().as_bytes()).u64(3).finish();
    let end = Encoder::default().u8(END).u64(1).u64(1).finish();
    [encode_header(&header), record, kept, end]
}

/// Reads a backup to its end, and so verifies every byte of it.
///
/// # Errors
/// When it is damaged, of a newer format, or cannot be read.
pub fn read_backup(input: &mut dyn Read) -> Result<(BackupHeader, BackupSummary), BackupError> {
    let (header, mut reader) = BackupReader::begin(input)?;
    while reader.next()?.is_some() {}
    Ok((header, reader.summary()))
}
