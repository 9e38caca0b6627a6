//! Who asks.

use std::fmt;
use std::sync::Arc;

use domain::{ProjectPath, Revision, Timestamp, Uid};

use crate::{ActionKind, ActionSet, Place, Right};

/// Who can hold rights, and own secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A group; its members have its rights, and it owns nothing.
    Group(Uid),
    /// A machine account.
    Machine(Uid),
    /// A token that belongs to nobody and has rights of its own.
    Token(Uid),
    /// A person.
    User(Uid),
}

impl Subject {
    /// Reads `KIND:UID`, as [`Subject`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, uid) = text.split_once(':')?;
        let uid = Uid::parse(uid).ok()?;
        match kind {
            "group" => Some(Self::Group(uid)),
            "machine" => Some(Self::Machine(uid)),
            "token" => Some(Self::Token(uid)),
            "user" => Some(Self::User(uid)),
            _ => None,
        }
    }

    /// The kind's name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::Machine(_) => "machine",
            Self::Token(_) => "token",
            Self::User(_) => "user",
        }
    }

    /// The identity, which is never given to another subject of any kind.
    pub const fn uid(&self) -> Uid {
        match self {
            Self::Group(uid) | Self::Machine(uid) | Self::Token(uid) | Self::User(uid) => *uid,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.uid())
    }
}

/// A right, and how its holder came by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The right.
    pub right: Right,
    /// The name of the group that it is held through, if it is.
    pub group: Option<Arc<str>>,
}

/// A record that a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// Which record.
    pub record: GroundRecord,
    /// The revision of its last change.
    pub changed_at: Revision,
}

/// Which record a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroundRecord {
    /// A user, a machine account or a group, with its grants.
    Principal(Uid),
    /// A token.
    Token(Uid),
}

/// Someone whose rights are known.
#[derive(Debug)]
pub struct Identity {
    /// The name for logs and for `createdBy`; never a credential.
    pub name: String,
    /// Who owns what they make.
    pub subject: Subject,
    /// What they may do.
    pub held: Vec<Held>,
    /// The records that this rests on.
    pub grounds: Vec<Ground>,
}

/// What a token leaves of its holder's rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// The projects that it is good for; every place when none is named.
    pub projects: Option<Vec<ProjectPath>>,
    /// The actions that it is good for; all when none is named.
    pub actions: Option<ActionSet>,
}

impl Narrowing {
    fn leaves(&self, place: &Place<'_>, action: ActionKind) -> bool {
        self.leaves_place(place.project()) && self.actions.is_none_or(|left| left.contains(action))
    }

    /// Whether anything is left in a project, or outside of all.
    fn leaves_place(&self, project: Option<&ProjectPath>) -> bool {
        let Some(projects) = &self.projects else { return true };
        project.is_some_and(|project| projects.contains(project))
    }
}

/// The token that someone showed.
#[derive(Debug)]
pub struct ShownToken {
    /// Its identity.
    pub id: Uid,
    /// What its maker called it.
    pub description: String,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// What it leaves of its holder's rights.
    pub narrowing: Narrowing,
    /// The token's record.
    pub ground: Ground,
    /// Whether what was shown only stands for the token, for a while.
    pub stands_in: bool,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Known(Arc<Identity>, Option<Arc<ShownToken>>),
    Operator,
    SyncWorker,
}

/// What a permit was decided on: the records that must be unchanged when its act is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis(Vec<Ground>);

impl Basis {
    /// The records.
    pub fn grounds(&self) -> &[Ground] {
        &self.0
    }

    /// The same basis without some records: those that the act that rests on it has removed.
    #[must_use]
    pub fn without(mut self, gone: impl Fn(GroundRecord) -> bool) -> Self {
        self.0.retain(|ground| !gone(ground.record));
        self
    }

    /// The same basis, once the act that rests on it has itself changed a record.
    #[must_use]
    pub fn once_changed(mut self, record: GroundRecord, at: Revision) -> Self {
        for ground in self.0.iter_mut().filter(|ground| ground.record == record) {
            ground.changed_at = at;
        }
        self
    }
}

impl Actor {
    /// Whoever may open the operator's socket, `system:operator`: everything.
    pub const fn operator() -> Self {
        Self(Kind::Operator)
    }

    /// The projection worker inside the daemon, `system:sync`: it lists and reads everything and
    /// changes nothing.
    pub const fn sync_worker() -> Self {
        Self(Kind::SyncWorker)
    }

    /// Someone who was recognized, by a token or otherwise.
    pub const fn known(identity: Arc<Identity>, token: Option<Arc<ShownToken>>) -> Self {
        Self(Kind::Known(identity, token))
    }

    /// A name for logs and for `createdBy`; never a credential.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Known(identity, _) => identity.name.clone(),
            Kind::Operator => "system:operator".to_owned(),
            Kind::SyncWorker => "system:sync".to_owned(),
        }
    }

    /// Who owns what the actor makes, if anybody.
    pub fn subject(&self) -> Option<Subject> {
        self.identity().map(|identity| identity.subject)
    }

    /// The identity, unless it is one of the system's own actors.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.0 {
            Kind::Known(identity, _) => Some(identity),
            Kind::Operator | Kind::SyncWorker => None,
        }
    }

    /// The token that was shown, if one was.
    pub fn token(&self) -> Option<&ShownToken> {
        match &self.0 {
            Kind::Known(_, token) => token.as_deref(),
            Kind::Operator | Kind::SyncWorker => None,
        }
    }

    /// Whether the token that was shown leaves less than all of its holder's rights. Such a token
    /// stands for its holder in what it leaves, and in nothing else that is the holder's own.
    pub fn is_narrowed(&self) -> bool {
        self.token().is_some_and(|token| token.narrowing != Narrowing::default())
    }

    /// What a decision about this actor rests on, as far as it can change.
    pub fn basis(&self) -> Basis {
        let identity = self.identity().map_or(&[][..], |identity| &identity.grounds);
        let token = self.token().map(|token| token.ground);
        let token = token.filter(|ground| !identity.contains(ground));
        Basis(identity.iter().copied().chain(token).collect())
    }

    pub(crate) const fn is_operator(&self) -> bool {
        matches!(self.0, Kind::Operator)
    }

    pub(crate) const fn is_sync_worker(&self) -> bool {
        matches!(self.0, Kind::SyncWorker)
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.token().and_then(|token| token.expires).is_some_and(|expires| expires <= now)
    }

    /// Whether the token, if there is one, leaves an action at a place.
    pub(crate) fn is_left(&self, place: &Place<'_>, action: ActionKind) -> bool {
        self.token().is_none_or(|token| token.narrowing.leaves(place, action))
    }

    pub(crate) fn is_left_in(&self, project: &ProjectPath) -> bool {
        self.token().is_none_or(|token| token.narrowing.leaves_place(Some(project)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subjects_text_leads_back_to_it() {
        let uid = Uid::from_bytes([7; 16]);
        for subject in
            [Subject::Group(uid), Subject::Machine(uid), Subject::Token(uid), Subject::User(uid)]
        {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
            assert_eq!(subject.uid(), uid);
        }
        for text in ["", "user", "user:", "user:alice", "root:07", "system:sync"] {
            assert_eq!(Subject::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_actor_tells_who_it_is() {
        let subject = Subject::Machine(Uid::from_bytes([7; 16]));
        let (name, held) = ("machine:ci".to_owned(), Vec::new());
        let identity = Identity { name, subject, held, grounds: Vec::new() };
        let record = GroundRecord::Token(Uid::from_bytes([9; 16]));
        let shown = ShownToken {
            id: Uid::from_bytes([9; 16]),
            description: "nightly".to_owned(),
            expires: None,
            narrowing: Narrowing::default(),
            ground: Ground { record, changed_at: Revision::ZERO },
            stands_in: false,
        };
        let known = Actor::known(Arc::new(identity), Some(Arc::new(shown)));
        assert_eq!(known.name(), "machine:ci");
        assert_eq!(known.subject(), Some(subject));
        assert_eq!(known.identity().map(|identity| identity.subject), Some(subject));
        assert_eq!(known.token().map(|token| token.description.as_str()), Some("nightly"));
        for (system, name) in
            [(Actor::operator(), "system:operator"), (Actor::sync_worker(), "system:sync")]
        {
            assert_eq!(system.name(), name);
            assert!(system.subject().is_none() && system.identity().is_none());
            assert!(system.token().is_none());
        }
    }
}
