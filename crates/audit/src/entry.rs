//! What is recorded of a request.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// The most bytes of one text, before escaping.
pub(crate) const MAX_TEXT_BYTES: usize = 2048;
const ELLIPSIS: &str = "...";

/// One thing that was asked for, and what became of it. Never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was asked for.
    #[serde(skip)]
    pub time: Timestamp,
    /// Who asked.
    pub actor: String,
    /// The identity, never the text, of the token that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The address that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was asked for.
    pub action: String,
    /// Which thing it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// That thing's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Which of its versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The resource version that was read or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The actor may not do it.
    Denied,
    /// It could not be done, for no fault of the request.
    Failed,
    /// It was done.
    #[default]
    Ok,
    /// The request was wrong, or came at the wrong time.
    Refused,
}

impl Outcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}

impl Entry {
    /// The entry with every text shortened to what a line takes; nothing when it is short enough.
    pub(crate) fn shortened(&self) -> Option<Self> {
        let optional = [
            &self.token,
            &self.address,
            &self.resource,
            &self.uid,
            &self.resource_version,
            &self.detail,
        ];
        let texts = [&self.actor, &self.action].into_iter();
        let mut texts = texts.chain(optional.into_iter().flatten());
        if texts.all(|text| text.len() <= MAX_TEXT_BYTES) {
            return None;
        }
        let mut entry = self.clone();
        for text in [&mut entry.actor, &mut entry.action] {
            shorten(text);
        }
        for text in [
            &mut entry.token,
            &mut entry.address,
            &mut entry.resource,
            &mut entry.uid,
            &mut entry.resource_version,
            &mut entry.detail,
        ] {
            text.iter_mut().for_each(shorten);
        }
        Some(entry)
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
}
