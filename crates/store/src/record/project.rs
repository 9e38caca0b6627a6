//! A project.

use domain::{
    Annotations, Decoder, Encoder, Malformed, NamePattern, Namespace, ProjectionMode,
    ProjectionRule, Timestamp, Uid,
};

use super::{put_annotations, put_labels, take_annotations, take_bool, take_labels};

/// 1 had no annotations, 2 no labels in a rule; no release wrote them.
const PROJECT_FORMAT: u8 = 3;

/// How far a project's removal has come. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Removal {
    /// It stays.
    None = 0,
    /// It is being removed if nothing is in it, and takes no new secrets.
    IfEmpty = 1,
    /// It is being removed with all that is in it, whatever interrupts that.
    WithAll = 2,
    /// It is being removed if no secret is in it, with the bindings of others' secrets to it, whatever
    /// interrupts that.
    Unbound = 3,
}

impl Removal {
    /// Whether it goes on by itself when it was interrupted.
    pub const fn is_resumed(self) -> bool {
        matches!(self, Self::WithAll | Self::Unbound)
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::IfEmpty),
            2 => Some(Self::WithAll),
            3 => Some(Self::Unbound),
            _ => None,
        }
    }
}

/// A project: its place in the key is its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRecord {
    /// Its identity.
    pub uid: Uid,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Where its secrets appear in Kubernetes.
    pub rules: Vec<ProjectionRule>,
    /// How many versions of a secret are kept, where the project says so itself.
    pub keep_versions: Option<u32>,
    /// What clients keep beside it.
    pub annotations: Annotations,
    /// How far its removal has come.
    pub removal: Removal,
}

impl ProjectRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(PROJECT_FORMAT).uid(self.uid).timestamp(self.created_at).text(&self.created_by);
        out.u8(self.removal as u8).u32(self.keep_versions.unwrap_or(0));
        out.u32(self.rules.len() as u32);
        for rule in &self.rules {
            out.u8(rule.mode.code()).text(rule.namespace.as_str());
            out.text(rule.name_pattern.as_str());
            put_labels(&mut out, &rule.labels);
            out.u8(u8::from(rule.secret_labels));
        }
        put_annotations(&mut out, &self.annotations);
        out.finish()
    }

    /// Reads back what [`ProjectRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        if input.u8()? != PROJECT_FORMAT {
            return Err(Malformed);
        }
        let uid = input.uid()?;
        let created_at = input.timestamp()?;
        let created_by = input.text()?.to_owned();
        let removal = Removal::from_code(input.u8()?).ok_or(Malformed)?;
        let keep_versions = Some(input.u32()?).filter(|keep| *keep != 0);
        let mut rules = Vec::new();
        for _ in 0..input.u32()? {
            rules.push(take_rule(&mut input)?);
        }
        let annotations = take_annotations(&mut input)?;
        input.finish()?;
        Ok(Self { uid, created_at, created_by, rules, keep_versions, annotations, removal })
    }
}

fn take_rule(input: &mut Decoder<'_>) -> Result<ProjectionRule, Malformed> {
    let mode = ProjectionMode::from_code(input.u8()?).ok_or(Malformed)?;
    let namespace = Namespace::parse(input.text()?).map_err(|_| Malformed)?;
    let name_pattern = NamePattern::parse(mode, input.text()?).map_err(|_| Malformed)?;
    let labels = take_labels(input)?;
    let secret_labels = take_bool(input)?;
    let rule = ProjectionRule { mode, namespace, name_pattern, labels, secret_labels };
    rule.check().map_err(|_| Malformed)?;
    Ok(rule)
}
