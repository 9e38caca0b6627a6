//! The table of rights: everyone who can ask, and what they may do, in memory.
//!
//! It is changed after the store and before the change is acknowledged, so that what was revoked
//! opens nothing from then on. Writers of rights go one at a time; readers never wait for a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use authz::{
    Actor, Ground, GroundRecord, Held, Identity, Narrowing, Right, Role, Scope, ShownToken, Subject,
};
use domain::{OrgName, Revision, Timestamp, Uid};
use parking_lot::RwLock;
use store::{OrgRecord, PrincipalKind, PrincipalRecord, TokenHolder, TokenRecord};

/// Everyone and everything that has rights.
#[derive(Default)]
pub(crate) struct Rights(RwLock<Table>);

#[derive(Default)]
struct Table {
    tokens: HashMap<[u8; 32], Arc<Token>>,
    token_hashes: BTreeMap<Uid, [u8; 32]>,
    principals: BTreeMap<Uid, Arc<Principal>>,
    groups: BTreeSet<Uid>,
    names: HashMap<(PrincipalKind, String), Uid>,
    orgs: BTreeMap<OrgName, (OrgRecord, Revision)>,
}

/// A token that is valid.
pub(crate) struct Token {
    pub(crate) record: TokenRecord,
    shown: Arc<ShownToken>,
    /// Of a token that belongs to nobody.
    own: Option<Arc<Identity>>,
    /// When it was last shown, in milliseconds; zero when it was not since the start.
    used: AtomicU64,
}

/// A user, a machine account or a group.
pub(crate) struct Principal {
    pub(crate) record: PrincipalRecord,
    pub(crate) changed_at: Revision,
    identity: Arc<Identity>,
    /// The groups that it is in.
    pub(crate) groups: Vec<Uid>,
}

/// A change that has not been made yet, for looking at what it would leave.
#[derive(Default)]
pub(crate) struct Without<'a> {
    pub(crate) token: Option<Uid>,
    pub(crate) principal: Option<Uid>,
    pub(crate) instead: Option<&'a PrincipalRecord>,
}

impl Rights {
    /// The actor that a token stands for, by its hash, if it is valid.
    pub(crate) fn bearer(&self, hash: &[u8; 32], now: Timestamp) -> Option<Actor> {
        let table = self.0.read();
        let token = table.tokens.get(hash)?;
        Some(Actor::known(table.holder(token, now)?, Some(token.shown.clone())))
    }

    /// The actor that someone is who shows what stands for a token until then, if the token is
    /// valid.
    pub(crate) fn stand_in(&self, id: Uid, until: Timestamp, now: Timestamp) -> Option<Actor> {
        let table = self.0.read();
        let token = table.tokens.get(table.token_hashes.get(&id)?)?;
        let identity = table.holder(token, now)?;
        let ShownToken { id, description, expires, narrowing, ground, .. } = &*token.shown;
        let shown = ShownToken {
            id: *id,
            description: description.clone(),
            expires: Some(expires.map_or(until, |own| own.min(until))),
            narrowing: narrowing.clone(),
            ground: *ground,
            stands_in: true,
        };
        Some(Actor::known(identity, Some(Arc::new(shown))))
    }

    /// The actor that a principal is without a token, if it is not shut out.
    pub(crate) fn principal_actor(&self, uid: Uid) -> Option<Actor> {
        let table = self.0.read();
        Some(Actor::known(table.enabled(uid)?.identity.clone(), None))
    }

    /// A principal as an actor, whether it is shut out or not, for looking at its rights.
    pub(crate) fn identity_of(&self, uid: Uid) -> Option<Actor> {
        let table = self.0.read();
        Some(Actor::known(table.principals.get(&uid)?.identity.clone(), None))
    }

    pub(crate) fn principal(&self, uid: Uid) -> Option<Arc<Principal>> {
        self.0.read().principals.get(&uid).cloned()
    }

    pub(crate) fn named(&self, kind: PrincipalKind, name: &str) -> Option<Arc<Principal>> {
        let table = self.0.read();
        let uid = table.names.get(&(kind, name.to_owned()))?;
        table.principals.get(uid).cloned()
    }

    /// All principals, oldest first.
    pub(crate) fn principals(&self) -> Vec<Arc<Principal>> {
        self.0.read().principals.values().cloned().collect()
    }

    /// All tokens, oldest first.
    pub(crate) fn tokens(&self) -> Vec<Arc<Token>> {
        let table = self.0.read();
        table.token_hashes.values().filter_map(|hash| table.tokens.get(hash).cloned()).collect()
    }

    pub(crate) fn token(&self, id: Uid) -> Option<Arc<Token>> {
        let table = self.0.read();
        table.tokens.get(table.token_hashes.get(&id)?).cloned()
    }

    pub(crate) fn orgs(&self) -> Vec<(OrgName, OrgRecord, Revision)> {
        let table = self.0.read();
        let orgs = table.orgs.iter();
        orgs.map(|(name, (record, revision))| (name.clone(), record.clone(), *revision)).collect()
    }

    pub(crate) fn org(&self, name: &OrgName) -> Option<(OrgRecord, Revision)> {
        self.0.read().orgs.get(name).cloned()
    }

    pub(crate) fn put_token(&self, record: TokenRecord, changed_at: Revision) {
        let token = Token::new(record, changed_at);
        let mut table = self.0.write();
        table.token_hashes.insert(token.record.id, token.record.hash);
        table.tokens.insert(token.record.hash, Arc::new(token));
    }

    pub(crate) fn remove_tokens(&self, ids: &[Uid]) {
        let mut table = self.0.write();
        for id in ids {
            if let Some(hash) = table.token_hashes.remove(id) {
                table.tokens.remove(&hash);
            }
        }
    }

    pub(crate) fn put_org(&self, name: OrgName, record: OrgRecord, changed_at: Revision) {
        self.0.write().orgs.insert(name, (record, changed_at));
    }

    pub(crate) fn remove_org(&self, name: &OrgName) {
        self.0.write().orgs.remove(name);
    }

    pub(crate) fn put_principal(&self, record: PrincipalRecord, changed_at: Revision) {
        let mut table = self.0.write();
        let uid = record.uid;
        let mut concerned = record.members.clone();
        if let Some(before) = table.principals.get(&uid) {
            concerned.extend(&before.record.members);
        }
        table.names.insert((record.kind, record.name.clone()), uid);
        table.insert(record, changed_at);
        table.look_again_at(&concerned);
    }

    pub(crate) fn remove_principal(&self, uid: Uid) {
        let mut table = self.0.write();
        if let Some(gone) = table.principals.remove(&uid) {
            table.groups.remove(&uid);
            table.names.remove(&(gone.record.kind, gone.record.name.clone()));
            table.look_again_at(&gone.record.members);
        }
    }

    /// All of them at once, when the vault opens.
    pub(crate) fn load(
        &self,
        tokens: Vec<(TokenRecord, Revision)>,
        principals: Vec<(PrincipalRecord, Revision)>,
        orgs: Vec<(OrgName, OrgRecord, Revision)>,
    ) {
        for (record, changed_at) in tokens {
            self.put_token(record, changed_at);
        }
        for (name, record, changed_at) in orgs {
            self.put_org(name, record, changed_at);
        }
        for (record, changed_at) in principals {
            self.put_principal(record, changed_at);
        }
    }

    /// Whether anybody is left who administers the whole store and can sign in, once a change is
    /// made.
    pub(crate) fn has_administrator(&self, without: &Without<'_>, now: Timestamp) -> bool {
        let table = self.0.read();
        let lasting =
            |token: &&Arc<Token>| token.lasts(now) && without.token != Some(token.record.id);
        let tokens: Vec<_> = table.tokens.values().filter(lasting).collect();
        if tokens.iter().any(|token| token.own.as_ref().is_some_and(|own| is_admin(&own.held))) {
            return true;
        }
        let records: Vec<_> = table
            .principals
            .values()
            .filter(|principal| without.principal != Some(principal.record.uid))
            .map(|principal| match without.instead {
                Some(instead) if instead.uid == principal.record.uid => instead,
                _ => &principal.record,
            })
            .collect();
        let gives = |record: &PrincipalRecord| {
            record.grants.iter().any(|grant| grant.right.role() == Role::Admin)
        };
        let groups: Vec<_> = records
            .iter()
            .filter(|record| record.kind == PrincipalKind::Group && gives(record))
            .collect();
        let mut administrators = records.iter().filter(|record| {
            !record.disabled
                && (gives(record) || groups.iter().any(|group| group.members.contains(&record.uid)))
        });
        administrators.any(|record| {
            let is_whole = |token: &&&Arc<Token>| {
                matches!(&token.record.holder, TokenHolder::Principal(uid, narrowing)
                    if *uid == record.uid && *narrowing == Narrowing::default())
            };
            record.password.is_some() || tokens.iter().any(|token| is_whole(&token))
        })
    }

    /// Whether a token that has not ended and belongs to nobody has rights of its own that touch a
    /// scope.
    pub(crate) fn is_named_by_a_token(
        &self,
        names: impl Fn(&Scope) -> bool,
        now: Timestamp,
    ) -> bool {
        let table = self.0.read();
        table.tokens.values().any(|token| {
            let own = token.own.as_ref().filter(|_| token.lasts(now));
            own.is_some_and(|own| own.held.iter().any(|held| names(held.right.scope())))
        })
    }
}

impl Table {
    fn enabled(&self, uid: Uid) -> Option<&Arc<Principal>> {
        self.principals.get(&uid).filter(|principal| !principal.record.disabled)
    }

    /// Whose a token is that was shown now, if it is valid.
    fn holder(&self, token: &Token, now: Timestamp) -> Option<Arc<Identity>> {
        if !token.lasts(now) {
            return None;
        }
        let identity = match &token.record.holder {
            TokenHolder::Itself(_) => token.own.clone()?,
            TokenHolder::Principal(uid, _) => self.enabled(*uid)?.identity.clone(),
        };
        token.used.store(now.unix_millis(), Ordering::Relaxed);
        Some(identity)
    }

    fn insert(&mut self, record: PrincipalRecord, changed_at: Revision) {
        if record.kind == PrincipalKind::Group {
            self.groups.insert(record.uid);
        }
        let groups: Vec<_> = self
            .groups
            .iter()
            .filter_map(|group| self.principals.get(group))
            .filter(|group| group.record.members.binary_search(&record.uid).is_ok())
            .collect();
        let mut identity = Identity {
            name: record.full_name(),
            subject: record.subject(),
            held: hold(&record, None).collect(),
            grounds: vec![ground(record.uid, changed_at)],
        };
        for group in &groups {
            let name: Arc<str> = group.record.name.as_str().into();
            identity.held.extend(hold(&group.record, Some(&name)));
            identity.grounds.push(ground(group.record.uid, group.changed_at));
        }
        let groups = groups.iter().map(|group| group.record.uid).collect();
        let identity = Arc::new(identity);
        let uid = record.uid;
        self.principals.insert(uid, Arc::new(Principal { record, changed_at, identity, groups }));
    }

    /// A group of theirs has changed.
    fn look_again_at(&mut self, members: &[Uid]) {
        for member in members {
            if let Some(principal) = self.principals.get(member).cloned() {
                self.insert(principal.record.clone(), principal.changed_at);
            }
        }
    }
}

impl Token {
    fn new(record: TokenRecord, changed_at: Revision) -> Self {
        let ground = Ground { record: GroundRecord::Token(record.id), changed_at };
        let (narrowing, own) = match &record.holder {
            TokenHolder::Principal(_, narrowing) => (narrowing.clone(), None),
            TokenHolder::Itself(rights) => {
                let held = |right: &Right| Held { right: right.clone(), group: None };
                let subject = Subject::Token(record.id);
                let identity = Identity {
                    name: subject.to_string(),
                    subject,
                    held: rights.iter().map(held).collect(),
                    grounds: vec![ground],
                };
                (Narrowing::default(), Some(Arc::new(identity)))
            }
        };
        let shown = ShownToken {
            id: record.id,
            description: record.description.clone(),
            expires: record.expires,
            narrowing,
            ground,
            stands_in: false,
        };
        Self { record, shown: Arc::new(shown), own, used: AtomicU64::new(0) }
    }

    /// The rights of its own, as an actor.
    pub(crate) fn own_actor(&self) -> Option<Actor> {
        self.own.clone().map(|own| Actor::known(own, None))
    }

    pub(crate) fn lasts(&self, now: Timestamp) -> bool {
        self.record.expires.is_none_or(|expires| expires > now)
    }

    /// When it was last shown since the start, if it was.
    pub(crate) fn used(&self) -> Option<Timestamp> {
        let millis = self.used.load(Ordering::Relaxed);
        (millis != 0).then(|| Timestamp::from_unix_millis(millis))
    }

    /// Whose it is.
    pub(crate) const fn principal(&self) -> Option<Uid> {
        match &self.record.holder {
            TokenHolder::Itself(_) => None,
            TokenHolder::Principal(uid, _) => Some(*uid),
        }
    }
}

fn hold<'a>(
    record: &'a PrincipalRecord,
    group: Option<&'a Arc<str>>,
) -> impl Iterator<Item = Held> + use<'a> {
    let held =
        move |grant: &store::Grant| Held { right: grant.right.clone(), group: group.cloned() };
    record.grants.iter().map(held)
}

const fn ground(uid: Uid, changed_at: Revision) -> Ground {
    Ground { record: GroundRecord::Principal(uid), changed_at }
}

fn is_admin(held: &[Held]) -> bool {
    held.iter().any(|held| held.right.role() == Role::Admin)
}
