//! The engine's own record: how far the store has come, and how far back its log reaches.

use domain::{Anchor, Decoder, Encoder, Incarnation, Malformed, Revision};

use crate::key::{ENGINE, Key};

const FORMAT: u8 = 3;

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
    /// The bytes of all keys and values in sled, but for this record's: what a compaction copies.
    pub(super) live_bytes: u64,
    /// How far the audit log had come, durably, when the group was written.
    pub(super) anchor: Option<Anchor>,
}

impl Meta {
    pub(super) fn key() -> Key {
        Key::from_bytes(vec![ENGINE])
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(64 + ANCHOR_BYTES);
        out.u8(FORMAT).raw(&self.store).u32(self.incarnation.get()).u64(self.revision.get());
        out.u64(self.last_event.get()).u64(self.log_floor.get()).u64(self.log_count);
        out.u64(self.live_bytes);
        encode_anchor(&mut out, self.anchor);
        out.finish()
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
            live_bytes: input.u64()?,
            anchor: decode_anchor(&mut input)?,
        };
        input.finish()?;
        Ok(meta)
    }
}

/// What an anchor takes, whether there is one or not.
pub(super) const ANCHOR_BYTES: usize = 8 + 32;

/// None is all zeros: no line of the audit log has the number 0.
pub(crate) fn encode_anchor(out: &mut Encoder, anchor: Option<Anchor>) {
    let Anchor { seq, hash } = anchor.unwrap_or(Anchor { seq: 0, hash: [0; 32] });
    out.u64(seq).raw(&hash);
}

pub(crate) fn decode_anchor(input: &mut Decoder<'_>) -> Result<Option<Anchor>, Malformed> {
    let anchor = Anchor { seq: input.u64()?, hash: input.array()? };
    match anchor.seq {
        0 if anchor.hash == [0; 32] => Ok(None),
        0 => Err(Malformed),
        _ => Ok(Some(anchor)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(anchor: Option<Anchor>) -> Meta {
        Meta {
            store: *b"0123456789abcdef",
            incarnation: Incarnation::new(1),
            revision: Revision::new(5),
            last_event: Revision::new(4),
            log_floor: Revision::new(3),
            log_count: 2,
            live_bytes: 259,
            anchor,
        }
    }

    #[test]
    fn golden_engine_record() {
        let anchor = Anchor { seq: 258, hash: *b"0123456789abcdef0123456789abcdef" };
        let shown = meta(Some(anchor)).encode().escape_ascii().to_string().replace("\\x00", "0");
        assert_eq!(
            shown,
            r"\x030123456789abcdef000\x010000000\x050000000\x040000000\x030000000\x02000000\x01\x03000000\x01\x020123456789abcdef0123456789abcdef"
        );
    }

    #[test]
    fn no_anchor_has_one_spelling() {
        let mut bytes = meta(None).encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta(None)));
        *bytes.last_mut().unwrap() = 1;
        assert_eq!(Meta::decode(&bytes), Err(Malformed));
    }
}
