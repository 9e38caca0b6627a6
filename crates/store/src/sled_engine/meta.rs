//! The engine's own record: how far the store has come, and how far back its log reaches.

use domain::{Decoder, Encoder, Incarnation, Malformed, Revision};

use crate::key::{ENGINE, Key};

const FORMAT: u8 = 1;

/// Written with every group, in the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) store: [u8; 16],
    pub(super) incarnation: Incarnation,
    /// The last commit.
    pub(super) revision: Revision,
    /// The last commit that had an event; each event names the one before, so that a gap shows.
    pub(super) last_event: Revision,
    /// Events of this commit and of earlier ones are no longer kept.
    pub(super) log_floor: Revision,
    /// How many events are kept.
    pub(super) log_count: u64,
}

impl Meta {
    pub(super) fn key() -> Key {
        Key::from_bytes(vec![ENGINE])
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(64);
        out.u8(FORMAT).raw(&self.store).u32(self.incarnation.get()).u64(self.revision.get());
        out.u64(self.last_event.get()).u64(self.log_floor.get()).u64(self.log_count).finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        if input.u8()? != FORMAT {
            return Err(Malformed);
        }
        let meta = Self {
            store: input.array()?,
            incarnation: Incarnation::new(input.u32()?),
            revision: Revision::new(input.u64()?),
            last_event: Revision::new(input.u64()?),
            log_floor: Revision::new(input.u64()?),
            log_count: input.u64()?,
        };
        input.finish()?;
        Ok(meta)
    }
}

/// An event as it lies in the log: the commit of the event before it, then its bytes.
pub(super) fn encode_event(previous: Revision, bytes: &[u8]) -> Vec<u8> {
    Encoder::with_capacity(8 + bytes.len()).u64(previous.get()).raw(bytes).finish()
}

pub(super) fn decode_event(bytes: &[u8]) -> Result<(Revision, &[u8]), Malformed> {
    let mut input = Decoder::new(bytes);
    let previous = Revision::new(input.u64()?);
    Ok((previous, input.raw(input.remaining())?))
}

/// The commit and place in an event's key.
pub(super) fn event_position(key: &Key) -> Result<(Revision, u16), Malformed> {
    let mut input = Decoder::new(key.as_bytes());
    input.u8()?;
    let position = (Revision::new(input.u64()?), input.u16()?);
    input.finish()?;
    Ok(position)
}
