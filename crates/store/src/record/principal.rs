//! Someone who can hold rights: a user, a machine account or a group.

use authz::{Right, Subject};
use domain::{Decoder, Encoder, Malformed, Timestamp, Uid};

use super::right::{put_right, take_right};
use super::{FORMAT, check_format, take_bool};

/// What kind of principal it is. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PrincipalKind {
    /// A group: its members have its rights.
    Group = 3,
    /// A machine account: it has tokens and no password.
    Machine = 2,
    /// A person.
    User = 1,
}

impl PrincipalKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Machine => "machine",
            Self::User => "user",
        }
    }

    /// The kind of that name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Group, Self::Machine, Self::User].into_iter().find(|kind| kind.as_str() == text)
    }

    /// The stored number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            2 => Some(Self::Machine),
            3 => Some(Self::Group),
            _ => None,
        }
    }
}

/// A right that someone gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its identity.
    pub id: Uid,
    /// The right.
    pub right: Right,
    /// When it was given.
    pub created_at: Timestamp,
    /// Who gave it.
    pub created_by: String,
}

/// A principal with everything that decides what it may do, so that one precondition of a commit
/// covers all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalRecord {
    /// Its identity.
    pub uid: Uid,
    /// What kind it is.
    pub kind: PrincipalKind,
    /// Its name, unique in its kind.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Whether it is shut out.
    pub disabled: bool,
    /// The hash of its password, encoded, if it has one.
    pub password: Option<Vec<u8>>,
    /// When the password was last set.
    pub password_set_at: Timestamp,
    /// The identities of a group's members, in order.
    pub members: Vec<Uid>,
    /// Its own rights, oldest first.
    pub grants: Vec<Grant>,
}

impl PrincipalRecord {
    /// As a holder of rights.
    pub const fn subject(&self) -> Subject {
        match self.kind {
            PrincipalKind::Group => Subject::Group(self.uid),
            PrincipalKind::Machine => Subject::Machine(self.uid),
            PrincipalKind::User => Subject::User(self.uid),
        }
    }

    /// `KIND:NAME`, as logs and `createdBy` show it.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.name)
    }

    /// The bytes to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(FORMAT).uid(self.uid).u8(self.kind.code()).text(&self.name);
        out.timestamp(self.created_at).text(&self.created_by).u8(u8::from(self.disabled));
        out.u8(u8::from(self.password.is_some())).bytes(self.password.as_deref().unwrap_or(&[]));
        out.timestamp(self.password_set_at).u32(self.members.len() as u32);
        for member in &self.members {
            out.uid(*member);
        }
        out.u32(self.grants.len() as u32);
        for grant in &self.grants {
            out.uid(grant.id).timestamp(grant.created_at).text(&grant.created_by);
            put_right(&mut out, &grant.right);
        }
        out.finish()
    }

    /// Reads back what [`PrincipalRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not exactly such an encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(bytes);
        check_format(&mut input)?;
        let uid = input.uid()?;
        let kind = PrincipalKind::from_code(input.u8()?).ok_or(Malformed)?;
        let name = input.text()?.to_owned();
        let (created_at, created_by) = (input.timestamp()?, input.text()?.to_owned());
        let disabled = take_bool(&mut input)?;
        let password = match (take_bool(&mut input)?, input.bytes()?) {
            (true, bytes) => Some(bytes.to_vec()),
            (false, []) => None,
            (false, _) => return Err(Malformed),
        };
        let password_set_at = input.timestamp()?;
        let members = take_members(&mut input)?;
        let grants = take_grants(&mut input)?;
        input.finish()?;
        Ok(Self {
            uid,
            kind,
            name,
            created_at,
            created_by,
            disabled,
            password,
            password_set_at,
            members,
            grants,
        })
    }
}

fn take_members(input: &mut Decoder<'_>) -> Result<Vec<Uid>, Malformed> {
    let mut members: Vec<Uid> = Vec::new();
    for _ in 0..input.u32()? {
        let member = input.uid()?;
        if members.last().is_some_and(|last| *last >= member) {
            return Err(Malformed);
        }
        members.push(member);
    }
    Ok(members)
}

fn take_grants(input: &mut Decoder<'_>) -> Result<Vec<Grant>, Malformed> {
    let mut grants = Vec::new();
    for _ in 0..input.u32()? {
        let (id, created_at) = (input.uid()?, input.timestamp()?);
        let created_by = input.text()?.to_owned();
        grants.push(Grant { id, right: take_right(input)?, created_at, created_by });
    }
    Ok(grants)
}
