//! A project.

use domain::{
    Decoder, Encoder, Malformed, NamePattern, Namespace, ProjectionMode, ProjectionRule, Timestamp,
    Uid,
};

use super::{FORMAT, check_format, take_bool};

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
    /// Whether its removal has begun: it takes no new secrets.
    pub deleting: bool,
}

impl ProjectRecord {
    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).uid(self.uid).timestamp(self.created_at).text(&self.created_by);
        out.u8(u8::from(self.deleting)).u32(self.keep_versions.unwrap_or(0));
        out.u32(self.rules.len() as u32);
        for rule in &self.rules {
            out.u8(rule.mode.code()).text(rule.namespace.as_str());
            out.text(rule.name_pattern.as_str());
        }
        out.finish()
    }

    /// Reads back what [`ProjectRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let uid = input.uid()?;
        let created_at = input.timestamp()?;
        let created_by = input.text()?.to_owned();
        let deleting = take_bool(&mut input)?;
        let keep_versions = Some(input.u32()?).filter(|keep| *keep != 0);
        let mut rules = Vec::new();
        for _ in 0..input.u32()? {
            rules.push(take_rule(&mut input)?);
        }
        input.finish()?;
        Ok(Self { uid, created_at, created_by, rules, keep_versions, deleting })
    }
}

fn take_rule(input: &mut Decoder<'_>) -> Result<ProjectionRule, Malformed> {
    let mode = ProjectionMode::from_code(input.u8()?).ok_or(Malformed)?;
    let namespace = Namespace::parse(input.text()?).map_err(|_| Malformed)?;
    let name_pattern = NamePattern::parse(mode, input.text()?).map_err(|_| Malformed)?;
    Ok(ProjectionRule { mode, namespace, name_pattern })
}
