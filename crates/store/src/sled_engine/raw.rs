//! Records in sled's one tree: the revision of the last change in front of each value, and values
//! of more than 4 KiB in chunks.
//!
//! sled moves a *leaf* that outgrows 128 KiB into a blob file of its own, which it never syncs. No
//! value above 4 KiB ever reaches it, so no leaf gets there.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{Decoder, Encoder, Revision};

use super::waker::Waker;
use crate::engine::{StoreError, Stored};
use crate::key::{CHUNK, Key, KeyRange};

/// The largest value that sled gets to see.
pub(super) const CHUNK_BYTES: usize = 4096;
/// What stands before an inline value: two revisions, and zero for "not in chunks".
const INLINE_HEADER: usize = 18;

/// How many chunks a value of so many bytes takes; none when it is kept in line.
pub(super) const fn chunks_of(bytes: usize) -> usize {
    if bytes + INLINE_HEADER <= CHUNK_BYTES { 0 } else { bytes.div_ceil(CHUNK_BYTES) }
}

/// Where a value's chunks are: named by the commit and write that made them, so that a new value
/// never overwrites the chunks of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunks {
    count: u16,
    revision: Revision,
    write: u16,
    bytes: u32,
}

/// The tree.
#[derive(Clone)]
pub(super) struct Raw(sled::Db, Waker);

impl Raw {
    pub(super) fn new(db: sled::Db) -> Self {
        Self(db, Waker::new())
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let Some(bytes) = self.0.get(key.as_bytes()).map_err(failed)? else { return Ok(None) };
        self.assemble(&bytes).map(Some)
    }

    /// Looks a record up, to be read as often as wanted.
    pub(super) fn find(&self, key: &Key) -> Result<Found, StoreError> {
        self.0.get(key.as_bytes()).map(Found).map_err(failed)
    }

    pub(super) fn range(
        &self,
        range: &KeyRange,
    ) -> impl Iterator<Item = Result<(Key, Stored), StoreError>> + '_ {
        self.entries(range).map(|entry| {
            let (key, bytes) = entry?;
            Ok((key, self.assemble(&bytes)?))
        })
    }

    /// As [`Raw::range`], each to be read as often as wanted.
    pub(super) fn range_of_found(
        &self,
        range: &KeyRange,
    ) -> impl Iterator<Item = Result<(Key, Found), StoreError>> + use<> {
        self.entries(range).map(|entry| entry.map(|(key, bytes)| (key, Found(Some(bytes)))))
    }

    fn entries(
        &self,
        range: &KeyRange,
    ) -> impl Iterator<Item = Result<(Key, sled::IVec), StoreError>> + use<> {
        let entries = self.0.range(range.start.as_bytes()..range.end.as_bytes());
        entries.map(|entry| {
            let (key, bytes) = entry.map_err(failed)?;
            Ok((Key::from_bytes(key.to_vec()), bytes))
        })
    }

    #[cfg(test)]
    pub(super) fn count_keys(&self, range: &KeyRange) -> usize {
        self.0.range(range.start.as_bytes()..range.end.as_bytes()).count()
    }

    /// What lies in sled behind a key, as it lies there: records, and the chunks of long values.
    pub(super) fn behind(
        &self,
        key: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        let start = key.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.0.range::<&[u8], _>((start, Bound::Unbounded));
        entries.map(|entry| entry.map_err(failed))
    }

    /// Adds a put, or a removal where there is no value; what was there before. `found` is what the
    /// tree has under the key.
    pub(super) fn stage(
        &self,
        staged: &mut Staged,
        key: &Key,
        found: &Found,
        stored: Option<&Stored>,
        origin: (Revision, u16),
    ) -> Result<Option<Stored>, StoreError> {
        let old = found.0.as_deref().map(|bytes| self.assemble(bytes)).transpose()?;
        if let Some(bytes) = &found.0 {
            stage_removal_of(staged, key, bytes)?;
        }
        if let Some(stored) = stored {
            stage_new(staged, key, stored, origin)?;
        }
        Ok(old)
    }

    /// Adds the removal of a record with its value's chunks.
    #[cfg(test)]
    pub(super) fn stage_remove(&self, staged: &mut Staged, key: &Key) -> Result<(), StoreError> {
        let found = self.find(key)?;
        self.stage(staged, key, &found, None, (Revision::ZERO, 0)).map(|_| ())
    }

    pub(super) fn apply(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.0.apply_batch(batch).map_err(failed)
    }

    /// Hands sled's buffers to the system. Not durable by itself: it ends in `sync_file_range`.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.1.flush(&self.0).map(|_| ()).map_err(failed)
    }

    /// Lets go of the tree, and tells what sled cannot: closing it ends in an `fsync`, and sled panics
    /// when that fails.
    pub(super) fn close(self) -> Result<(), StoreError> {
        // What is left to write is written here, where somebody looks after it.
        let flushed = self.flush();
        let closed = catch_unwind(AssertUnwindSafe(|| drop(self)));
        let panicked =
            |_| StoreError::Failed { reason: "sled panicked as it was closed".to_owned() };
        flushed.and(closed.map_err(panicked))
    }

    /// As [`Raw::close`], where there is another error to tell.
    pub(super) fn close_after<E>(self, error: E) -> E {
        if let Err(also) = self.close() {
            tracing::warn!(error = %also, "a store that is not used could not be closed");
        }
        error
    }

    fn assemble(&self, bytes: &[u8]) -> Result<Stored, StoreError> {
        let Layout { outline, place } = layout(bytes)?;
        let Outline { changed_at, written_at, .. } = outline;
        match place {
            Place::Inline(value) => Ok(Stored { value: value.to_vec(), changed_at, written_at }),
            Place::Chunked(chunks) => {
                let length = usize::try_from(chunks.bytes).map_err(|_| DAMAGED)?;
                let mut value = Vec::with_capacity(length);
                for number in 0..chunks.count {
                    let key = chunk_key(&chunks, number);
                    let part = self.0.get(key).map_err(failed)?.ok_or(DAMAGED)?;
                    value.extend_from_slice(&part);
                }
                if value.len() != length {
                    return Err(DAMAGED);
                }
                Ok(Stored { value, changed_at, written_at })
            }
        }
    }
}

/// What a group changes in sled, put together before any of it is applied.
pub(super) struct Staged {
    batch: sled::Batch,
    /// Where a compaction is under way: the last key that it has copied, and what changes up to there.
    copied: Option<(Vec<u8>, sled::Batch, usize)>,
    live_bytes: u64,
}

impl Staged {
    /// `live_bytes` is what keys and values come to before the group; `copied` is how far a compaction
    /// has come.
    pub(super) fn new(live_bytes: u64, copied: Option<&[u8]>) -> Self {
        let copied = copied.map(|key| (key.to_vec(), sled::Batch::default(), 0));
        Self { batch: sled::Batch::default(), copied, live_bytes }
    }

    /// What keys and values come to after the group, but for the engine's own record.
    pub(super) const fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Adds the engine's own record, which is not counted.
    pub(super) fn put_meta(&mut self, key: &Key, stored: &Stored) -> Result<(), StoreError> {
        let live_bytes = self.live_bytes;
        // It is small: no chunk of it needs a name.
        stage_new(self, key, stored, (Revision::ZERO, 0))?;
        self.live_bytes = live_bytes;
        Ok(())
    }

    /// The changes; and those that the copy of a compaction needs too, with their number.
    pub(super) fn finish(self) -> (sled::Batch, Option<(sled::Batch, usize)>) {
        (self.batch, self.copied.map(|(_, batch, keys)| (batch, keys)))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.live_bytes += (key.len() + value.len()) as u64;
        self.batch.insert(key, value);
        if let Some(copy) = self.copy_of(key) {
            copy.insert(key, value);
        }
    }

    fn remove(&mut self, key: &[u8], value_bytes: usize) {
        // It was counted when it came.
        self.live_bytes = self.live_bytes.saturating_sub((key.len() + value_bytes) as u64);
        self.batch.remove(key);
        if let Some(copy) = self.copy_of(key) {
            copy.remove(key);
        }
    }

    /// A key that is yet to be copied will be found as it is then.
    fn copy_of(&mut self, key: &[u8]) -> Option<&mut sled::Batch> {
        let (through, batch, keys) = self.copied.as_mut()?;
        (key <= through.as_slice()).then(|| {
            *keys += 1;
            batch
        })
    }
}

/// Adds what was not there before, or is being removed.
fn stage_new(
    staged: &mut Staged,
    key: &Key,
    stored: &Stored,
    origin: (Revision, u16),
) -> Result<(), StoreError> {
    let mut out = Encoder::with_capacity(INLINE_HEADER + stored.value.len().min(CHUNK_BYTES));
    out.u64(stored.changed_at.get()).u64(stored.written_at.get());
    if chunks_of(stored.value.len()) == 0 {
        out.u16(0).raw(&stored.value);
    } else {
        let parts = stored.value.chunks(CHUNK_BYTES);
        let chunks = Chunks {
            count: u16::try_from(parts.len()).map_err(|_| DAMAGED)?,
            revision: origin.0,
            write: origin.1,
            bytes: u32::try_from(stored.value.len()).map_err(|_| DAMAGED)?,
        };
        out.u16(chunks.count).u64(chunks.revision.get()).u16(chunks.write).u32(chunks.bytes);
        for (number, part) in (0..chunks.count).zip(parts) {
            staged.insert(&chunk_key(&chunks, number), part);
        }
    }
    staged.insert(key.as_bytes(), &out.finish());
    Ok(())
}

/// Adds the removal of a record, as sled has it.
fn stage_removal_of(staged: &mut Staged, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
    if let Place::Chunked(chunks) = layout(bytes)?.place {
        let mut left = usize::try_from(chunks.bytes).map_err(|_| DAMAGED)?;
        for number in 0..chunks.count {
            let part = left.min(CHUNK_BYTES);
            staged.remove(&chunk_key(&chunks, number), part);
            left -= part;
        }
    }
    staged.remove(key.as_bytes(), bytes.len());
    Ok(())
}

/// What the tree has under a key.
pub(super) struct Found(Option<sled::IVec>);

impl Found {
    /// What is known of the record, if there is one, without its value.
    pub(super) fn outline(&self) -> Result<Option<Outline>, StoreError> {
        self.0.as_deref().map(|bytes| layout(bytes).map(|layout| layout.outline)).transpose()
    }
}

/// What is known of a record without its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    pub(super) changed_at: Revision,
    pub(super) written_at: Revision,
    /// How many chunks its value has; none for an inline one.
    pub(super) chunks: u16,
}

struct Layout<'a> {
    outline: Outline,
    place: Place<'a>,
}

enum Place<'a> {
    Chunked(Chunks),
    Inline(&'a [u8]),
}

const DAMAGED: StoreError = StoreError::Damaged { what: "a record's layout" };

fn layout(bytes: &[u8]) -> Result<Layout<'_>, StoreError> {
    let read = || {
        let mut input = Decoder::new(bytes);
        let changed_at = Revision::new(input.u64()?);
        let written_at = Revision::new(input.u64()?);
        let count = input.u16()?;
        let outline = Outline { changed_at, written_at, chunks: count };
        if count == 0 {
            let place = Place::Inline(input.raw(input.remaining())?);
            return Ok(Layout { outline, place });
        }
        let revision = Revision::new(input.u64()?);
        let chunks = Chunks { count, revision, write: input.u16()?, bytes: input.u32()? };
        input.finish()?;
        Ok(Layout { outline, place: Place::Chunked(chunks) })
    };
    read().map_err(|_: domain::Malformed| DAMAGED)
}

fn chunk_key(chunks: &Chunks, number: u16) -> Vec<u8> {
    let mut out = Encoder::with_capacity(13);
    out.u8(CHUNK).u64(chunks.revision.get()).u16(chunks.write).u16(number).finish()
}

pub(super) fn failed(error: sled::Error) -> StoreError {
    StoreError::Failed { reason: format!("sled: {error}") }
}
