//! What the change log says: that something changed, and never what it changed to.

use domain::{Decoder, Encoder, Malformed, ProjectPath, Revision, SecretPath, Uid};

use super::{FORMAT, check_format, put_project, put_secret, take_project, take_secret};

/// How something changed. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeKind {
    /// It is new.
    Added = 1,
    /// It was there before.
    Modified = 2,
    /// It is gone.
    Deleted = 3,
}

impl ChangeKind {
    /// The name in a watch line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Added),
            2 => Some(Self::Modified),
            3 => Some(Self::Deleted),
            _ => None,
        }
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedObject {
    /// A cluster or a node.
    Consumer,
    /// An organization.
    Organization,
    /// A user, a machine account or a group.
    Principal,
    /// A project.
    Project(ProjectPath),
    /// A secret.
    Secret(SecretPath),
    /// A token.
    Token,
    /// Something that is to be removed from clusters.
    Tombstone,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How it changed.
    pub kind: ChangeKind,
    /// What changed.
    pub object: ChangedObject,
    /// Its identity.
    pub uid: Uid,
    /// For a secret: its metadata as this change left it.
    pub view: Option<ChangeView>,
}

/// A secret's metadata in an event, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeView {
    /// The revision of the change before this one; zero for the first. The seal binds it.
    pub previous: Revision,
    /// A head without the versions that are not current, sealed under [`crate::Key::event_view`].
    pub sealed: Vec<u8>,
}

impl Change {
    /// The bytes of the event.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).u8(self.kind as u8).uid(self.uid);
        match &self.object {
            ChangedObject::Project(path) => put_project(out.u8(1), path),
            ChangedObject::Secret(path) => put_secret(out.u8(2), path),
            ChangedObject::Token => {
                out.u8(3);
            }
            ChangedObject::Tombstone => {
                out.u8(4);
            }
            ChangedObject::Principal => {
                out.u8(5);
            }
            ChangedObject::Organization => {
                out.u8(6);
            }
            ChangedObject::Consumer => {
                out.u8(7);
            }
        }
        if let Some(view) = &self.view {
            out.u64(view.previous.get()).bytes(&view.sealed);
        }
        out.finish()
    }

    /// Reads back what [`Change::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let kind = ChangeKind::from_code(input.u8()?).ok_or(Malformed)?;
        let uid = input.uid()?;
        let object = match input.u8()? {
            1 => ChangedObject::Project(take_project(&mut input)?),
            2 => ChangedObject::Secret(take_secret(&mut input)?),
            3 => ChangedObject::Token,
            4 => ChangedObject::Tombstone,
            5 => ChangedObject::Principal,
            6 => ChangedObject::Organization,
            7 => ChangedObject::Consumer,
            _ => return Err(Malformed),
        };
        let view = match object {
            ChangedObject::Secret(_) => {
                let previous = Revision::new(input.u64()?);
                Some(ChangeView { previous, sealed: input.bytes()?.to_vec() })
            }
            _ => None,
        };
        input.finish()?;
        Ok(Self { kind, object, uid, view })
    }
}
/// An event of the change log as it is stored: the revision of the event before it, and what changed.
pub fn encode_stored_event(previous: Revision, change: &Change) -> Vec<u8> {
    Encoder::default().u64(previous.get()).raw(&change.encode()).finish()
}

/// Reads back what [`encode_stored_event`] wrote.
///
/// # Errors
/// When the bytes are not exactly such an encoding.
pub fn decode_stored_event(bytes: &[u8]) -> Result<(Revision, Change), Malformed> {
    let mut input = Decoder::new(bytes);
    let previous = Revision::new(input.u64()?);
    Ok((previous, Change::decode(input.raw(input.remaining())?)?))
}
