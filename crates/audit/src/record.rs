//! What a line says, by its kind, and how its parts are spelled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Anchor, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entry::Entry;

/// The format of the log as a whole.
pub(crate) const FORMAT: u32 = 1;

/// What a line says beside its number, its time and its predecessor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Begin(Begin),
    Entry(Entry),
    Signed(Statement, Seal),
}

impl Body {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Entry(_) => "entry",
            Self::Signed(statement, _) => statement.kind(),
        }
    }
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Begin {
    pub(crate) format: u32,
    pub(crate) store: Hex<16>,
    pub(crate) public_key: Hex<32>,
    /// The name of the file before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    Break(Break),
    Checkpoint(Checkpoint),
    Gap(Gap),
    Key(NewKey),
    Retention(Retention),
}

impl Statement {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Break(_) => "break",
            Self::Checkpoint(_) => "checkpoint",
            Self::Gap(_) => "gap",
            Self::Key(_) => "key",
            Self::Retention(_) => "retention",
        }
    }

    /// The line after which this one stands where something is missing between them.
    pub(crate) const fn after(&self) -> Option<Anchor> {
        match self {
            Self::Break(Break { after_seq, after_hash, .. })
            | Self::Gap(Gap { after_seq, after_hash, .. }) => {
                Some(Anchor { seq: *after_seq, hash: after_hash.0 })
            }
            Self::Checkpoint(_) | Self::Key(_) | Self::Retention(_) => None,
        }
    }
}

/// Signs every line before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {}

/// A sink lacks lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Gap {
    pub(crate) sink: String,
    pub(crate) after_seq: u64,
    pub(crate) after_hash: Hex<32>,
}

/// The file was not as it was left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Break {
    pub(crate) reason: Reason,
    pub(crate) after_seq: u64,
    pub(crate) after_hash: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_hash: Option<Hex<32>>,
    pub(crate) cut_bytes: u64,
}

impl Break {
    pub(crate) fn new(
        reason: Reason,
        after: Anchor,
        expected: Option<Anchor>,
        cut_bytes: u64,
    ) -> Self {
        Self {
            reason,
            after_seq: after.seq,
            after_hash: Hex(after.hash),
            expected_seq: expected.map(|anchor| anchor.seq),
            expected_hash: expected.map(|anchor| Hex(anchor.hash)),
            cut_bytes,
        }
    }

    pub(crate) fn expected(&self) -> Option<Anchor> {
        let (seq, hash) = self.expected_seq.zip(self.expected_hash)?;
        Some(Anchor { seq, hash: hash.0 })
    }
}

/// How the file differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// Another line stands where the anchor was, or the lines behind it are no chain.
    Differs,
    /// There is no line.
    Missing,
    /// It ends before the anchor.
    Short,
    /// Its last line, behind the anchor, had no end, and was cut off.
    Torn,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Short => "short",
            Self::Torn => "torn",
        }
    }
}

/// The next audit key, introduced by the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewKey {
    pub(crate) new_key: u32,
    pub(crate) new_public_key: Hex<32>,
}

/// Old files are deleted, as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Retention {
    pub(crate) through: u64,
}

/// Who signed, and the signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) key: u32,
    pub(crate) signature: Base64,
}

/// Bytes in lower-case hexadecimal, always as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Hex<N> {
    /// Reads them in either case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != N || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; N];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        }
        Some(Self(bytes))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        out.extend(self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    }
}

impl<const N: usize> std::fmt::Display for Hex<N> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

/// A signature in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("not base64"))
    }
}

/// Reads a public key in hexadecimal.
pub fn parse_public_key(text: &str) -> Option<[u8; 32]> {
    Hex::parse(text).map(|hex| hex.0)
}

/// Reads a time as [`Timestamp::to_rfc3339`] writes it. The calendar arithmetic is Howard Hinnant's
/// `days_from_civil`.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let mut digits = text.split(|c: char| !c.is_ascii_digit());
    let mut number = || digits.next()?.parse::<u64>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    let (hour, minute, second, millis) = (number()?, number()?, number()?, number()?);
    let fits = year <= 9999 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = (year % 400) * 365 + year % 400 / 4 - year % 400 / 100 + day_of_year;
    let days = (year / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour.min(24) * 3600 + minute.min(60) * 60 + second.min(60);
    let time = Timestamp::from_unix_millis(seconds * 1000 + millis.min(1000));
    // One spelling only: what is not written back alike was no such time.
    (time.to_rfc3339() == text).then_some(time)
}
