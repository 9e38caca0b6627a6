//! Clusters and nodes that refer to secrets, and how many refer to one.

use domain::{Annotations, Decoder, Encoder, Malformed, SecretPath, Timestamp, Uid};

use super::{
    FORMAT, check_format, put_annotations, put_secret, take_annotations, take_bool, take_secret,
};

/// What refers to secrets. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ConsumerKind {
    /// A cluster.
    Cluster = 1,
    /// A machine.
    Node = 2,
    /// A workspace. It has no record of its own: it is a project, and refers to what is bound to
    /// that for all its members.
    Workspace = 3,
}

impl ConsumerKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Node, Self::Workspace];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Workspace => "workspace",
        }
    }
}

/// A reference to a secret: to that one, and not to another that has come by its name since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// What it was called when it was referred to; a secret never moves while it lives.
    pub path: SecretPath,
    /// Its identity.
    pub uid: Uid,
    /// Which of its lives: one that was deleted and came back is referred to no more.
    pub life: u32,
}

/// A cluster or a node: its place in the key is its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its identity.
    pub uid: Uid,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: String,
    /// The identity of who did, `KIND:UID`.
    pub owner: String,
    /// What clients keep beside it.
    pub annotations: Annotations,
    /// The secret by which it is reached over SSH. It is not deleted while it is referred to.
    pub ssh: Option<SecretRef>,
    /// The secret by which it pulls images. The reference goes with the secret.
    pub image: Option<SecretRef>,
}

impl ConsumerRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).uid(self.uid).timestamp(self.created_at);
        out.text(&self.created_by).text(&self.owner);
        put_annotations(&mut out, &self.annotations);
        put_ref(&mut out, self.ssh.as_ref());
        put_ref(&mut out, self.image.as_ref());
        out.finish()
    }

    /// Reads back what [`ConsumerRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let (uid, created_at) = (input.uid()?, input.timestamp()?);
        let (created_by, owner) = (input.text()?.to_owned(), input.text()?.to_owned());
        let annotations = take_annotations(&mut input)?;
        let (ssh, image) = (take_ref(&mut input)?, take_ref(&mut input)?);
        input.finish()?;
        Ok(Self { uid, created_at, created_by, owner, annotations, ssh, image })
    }
}

fn put_ref(out: &mut Encoder, found: Option<&SecretRef>) {
    out.u8(u8::from(found.is_some()));
    if let Some(found) = found {
        put_secret(out, &found.path);
        out.uid(found.uid).u32(found.life);
    }
}

fn take_ref(input: &mut Decoder<'_>) -> Result<Option<SecretRef>, Malformed> {
    if !take_bool(input)? {
        return Ok(None);
    }
    let path = take_secret(input)?;
    let (uid, life) = (input.uid()?, input.u32()?);
    Ok(Some(SecretRef { path, uid, life }))
}

/// How a secret stands with those that refer to it. There is none for a secret that nothing ever
/// referred to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// How often the secret was deleted: what referred to it before refers to it no more.
    pub life: u32,
    /// How many hold it, so that it is not deleted.
    pub holders: u32,
}

impl Holding {
    /// The bytes, which are not sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).u32(self.life).u32(self.holders);
        out.finish()
    }

    /// Reads back what [`Holding::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let (life, holders) = (input.u32()?, input.u32()?);
        input.finish()?;
        Ok(Self { life, holders })
    }
}
