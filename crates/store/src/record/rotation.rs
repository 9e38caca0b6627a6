//! How far a change of keys has come.

use domain::{Decoder, Encoder, Malformed, Timestamp};

use super::{FORMAT, check_format, take_bool};

/// Why keys are changed. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RotationReason {
    /// They are as old as the settings let them become.
    Age = 1,
    /// An operator wants it.
    Operator = 2,
    /// They were used as often as the settings let them be.
    Uses = 3,
}

/// Where a change of keys stands. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RotationState {
    /// Records are under older keys, and are rewritten.
    Running = 1,
    /// Records are under older keys, and stay so until someone says to go on.
    Paused = 2,
    /// The older keys are gone.
    Done = 3,
}

/// The last change of keys. It says numbers and times, and lies in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationRecord {
    /// The KEK that everything comes under.
    pub kek: u32,
    /// The oldest metadata key that stays.
    pub metadata_from: u32,
    /// Whether values and metadata are sealed anew too.
    pub reseal: bool,
    /// Where it stands.
    pub state: RotationState,
    /// Why it was begun.
    pub reason: RotationReason,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When the older keys were destroyed.
    pub finished_at: Option<Timestamp>,
    /// How many records were under older keys when it was begun.
    pub total: u64,
}

impl RotationRecord {
    /// The bytes as they are stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).u32(self.kek).u32(self.metadata_from).u8(self.reseal.into());
        out.u8(self.state as u8).u8(self.reason as u8).timestamp(self.started_at);
        out.timestamp(self.finished_at.unwrap_or_default()).u64(self.total).finish()
    }

    /// Reads back what [`RotationRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let record = Self {
            kek: input.u32()?,
            metadata_from: input.u32()?,
            reseal: take_bool(&mut input)?,
            state: RotationState::from_code(input.u8()?).ok_or(Malformed)?,
            reason: RotationReason::from_code(input.u8()?).ok_or(Malformed)?,
            started_at: input.timestamp()?,
            finished_at: Some(input.timestamp()?).filter(|at| *at != Timestamp::default()),
            total: input.u64()?,
        };
        input.finish()?;
        Ok(record)
    }
}

impl RotationState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Done].into_iter().find(|state| *state as u8 == code)
    }
}

impl RotationReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Operator => "operator",
            Self::Uses => "uses",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Age, Self::Operator, Self::Uses].into_iter().find(|reason| *reason as u8 == code)
    }
}
