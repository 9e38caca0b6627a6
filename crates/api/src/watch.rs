//! The lines of a watch.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, SecretBody};

/// One line: JSON, and a line feed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub enum WatchLine {
    /// A secret is new, or new among those that are watched.
    Added(Box<SecretBody>),
    /// A secret changed.
    Modified(Box<SecretBody>),
    /// A secret is gone, or is none of those any more that are watched.
    Deleted(Box<SecretBody>),
    /// Everything up to this resource version was sent.
    Bookmark(Bookmark),
    /// The watch ends; the problem says why and from where to go on.
    Error(Box<Problem>),
}

/// Up to where everything was sent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Bookmark {
    /// Its metadata.
    pub metadata: BookmarkMetadata,
}

/// A bookmark's metadata.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookmarkMetadata {
    /// The resource version to go on from.
    pub resource_version: String,
    /// Whether the secrets that there were when the watch began end here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial_events_end: bool,
}

impl Bookmark {
    /// A bookmark at a resource version.
    pub fn at(resource_version: String, initial_events_end: bool) -> Self {
        Self { metadata: BookmarkMetadata { resource_version, initial_events_end } }
    }
}
