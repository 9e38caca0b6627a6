//! A secret's head: everything about it except its values.

use std::slice;
use std::sync::Arc;

use domain::{
    Annotations, BindingKind, Decoder, Encoder, Labels, Malformed, ProjectPath, SecretPath,
    SecretType, Timestamp, Uid,
};

use super::{
    put_annotations, put_labels, put_project, put_secret, take_annotations, take_labels,
    take_project, take_secret,
};

/// 1 had neither alias nor annotations; no release wrote it.
const HEAD_FORMAT: u8 = 2;
/// How long most heads are without their versions, and how long a version is with the name of who wrote it.
const USUAL_BYTES: usize = 256;
const USUAL_VERSION_BYTES: usize = 48;
/// The shortest version: its number, its state, its time, and the length of a name.
const VERSION_BYTES: usize = 21;

/// How one version stands. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VersionState {
    /// Readable.
    Live = 1,
    /// Not readable, and can be undeleted.
    Deleted = 2,
    /// Gone for good; the number stays.
    Destroyed = 3,
}

impl VersionState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Live),
            2 => Some(Self::Deleted),
            3 => Some(Self::Destroyed),
            _ => None,
        }
    }
}

/// One version in a secret's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// 1, 2, 3 and so on, per secret.
    pub number: u64,
    /// How it stands.
    pub state: VersionState,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who wrote it: mostly the same for a secret's versions, which then share it.
    pub created_by: Arc<str>,
}

/// A further project in which a secret may be used and is projected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The project.
    pub project: ProjectPath,
    /// Who may use the secret there.
    pub kind: BindingKind,
    /// Whether it is an owner's binding that an administrator of the project opened to all its
    /// members; it is an owner's again when they close it.
    pub opened: bool,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The stored number of an owner's binding that was opened to members; see
/// [`BindingKind::from_code`] for the others.
const OPENED: u8 = 3;

impl Binding {
    fn code(&self) -> u8 {
        if self.opened { OPENED } else { self.kind.code() }
    }
}

/// A secret's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its identity.
    pub uid: Uid,
    /// A further identity, which a client chose; it leads to the secret as its own does.
    pub alias: Option<String>,
    /// Where it lives; repeated here for a deleted secret, whose key no longer says so.
    pub path: SecretPath,
    /// Its type.
    pub kind: SecretType,
    /// Who made it, and therefore owns it.
    pub owner: String,
    /// Its labels.
    pub labels: Labels,
    /// What clients keep beside it.
    pub annotations: Annotations,
    /// The further projects that it is bound to, by name.
    pub bindings: Vec<Binding>,
    /// How many versions are kept, where the secret says so itself.
    pub keep_versions: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it is.
    pub deleted_at: Option<Timestamp>,
    /// The versions still kept, oldest first.
    pub versions: Vec<VersionInfo>,
}

impl Head {
    /// The version that is read when none is named: the newest live one.
    pub fn current(&self) -> Option<&VersionInfo> {
        self.versions.iter().rev().find(|version| version.state == VersionState::Live)
    }

    /// A version by number.
    pub fn version(&self, number: u64) -> Option<&VersionInfo> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The number that the next version gets.
    pub fn next_number(&self) -> u64 {
        self.versions.last().map_or(1, |newest| newest.number + 1)
    }

    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(&self.versions)
    }

    /// The bytes of the same head without its history: of the versions it has the current one.
    pub fn encode_shown(&self) -> Vec<u8> {
        self.encode_with(self.current().map(slice::from_ref).unwrap_or_default())
    }

    fn encode_with(&self, versions: &[VersionInfo]) -> Vec<u8> {
        let mut out = Encoder::with_capacity(USUAL_BYTES + versions.len() * USUAL_VERSION_BYTES);
        out.u8(HEAD_FORMAT).uid(self.uid).text(self.alias.as_deref().unwrap_or_default());
        put_secret(&mut out, &self.path);
        out.u8(self.kind.code()).text(&self.owner);
        out.timestamp(self.created_at).timestamp(self.updated_at);
        out.u64(self.deleted_at.map_or(0, Timestamp::unix_millis));
        out.u32(self.keep_versions.unwrap_or(0));
        put_labels(&mut out, &self.labels);
        put_annotations(&mut out, &self.annotations);
        out.u32(self.bindings.len() as u32);
        for binding in &self.bindings {
            put_project(&mut out, &binding.project);
            out.u8(binding.code()).text(&binding.created_by).timestamp(binding.created_at);
        }
        out.u32(versions.len() as u32);
        for version in versions {
            out.u64(version.number).u8(version.state as u8);
            out.timestamp(version.created_at).text(&version.created_by);
        }
        out.finish()
    }

    /// Reads back what [`Head::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        if input.u8()? != HEAD_FORMAT {
            return Err(Malformed);
        }
        let uid = input.uid()?;
        let alias = Some(input.text()?.to_owned()).filter(|alias| !alias.is_empty());
        let path = take_secret(&mut input)?;
        let kind = SecretType::from_code(input.u8()?).ok_or(Malformed)?;
        let owner = input.text()?.to_owned();
        let (created_at, updated_at) = (input.timestamp()?, input.timestamp()?);
        let deleted_at = Some(input.timestamp()?).filter(|at| at.unix_millis() != 0);
        let keep_versions = Some(input.u32()?).filter(|keep| *keep != 0);
        let labels = take_labels(&mut input)?;
        let annotations = take_annotations(&mut input)?;
        let bindings = take_bindings(&mut input)?;
        let versions = take_versions(&mut input)?;
        input.finish()?;
        Ok(Self {
            uid,
            alias,
            path,
            kind,
            owner,
            labels,
            annotations,
            bindings,
            keep_versions,
            created_at,
            updated_at,
            deleted_at,
            versions,
        })
    }
}

fn take_bindings(input: &mut Decoder<'_>) -> Result<Vec<Binding>, Malformed> {
    let mut bindings: Vec<Binding> = Vec::new();
    for _ in 0..input.u32()? {
        let project = take_project(input)?;
        if bindings.last().is_some_and(|last| last.project >= project) {
            return Err(Malformed);
        }
        let (kind, opened) = match input.u8()? {
            OPENED => (BindingKind::Members, true),
            code => (BindingKind::from_code(code).ok_or(Malformed)?, false),
        };
        let (created_by, created_at) = (input.text()?.to_owned(), input.timestamp()?);
        bindings.push(Binding { project, kind, opened, created_by, created_at });
    }
    Ok(bindings)
}

fn take_versions(input: &mut Decoder<'_>) -> Result<Vec<VersionInfo>, Malformed> {
    let count = input.u32()?;
    // Never more room than what is left can hold, whatever the count says.
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(input.remaining() / VERSION_BYTES);
    let mut versions: Vec<VersionInfo> = Vec::with_capacity(room);
    for _ in 0..count {
        let number = input.u64()?;
        if versions.last().is_some_and(|last| last.number >= number) {
            return Err(Malformed);
        }
        let state = VersionState::from_code(input.u8()?).ok_or(Malformed)?;
        let created_at = input.timestamp()?;
        let created_by = input.text()?;
        let created_by = match versions.last() {
            Some(last) if *last.created_by == *created_by => last.created_by.clone(),
            _ => Arc::from(created_by),
        };
        versions.push(VersionInfo { number, state, created_at, created_by });
    }
    Ok(versions)
}
