//! Tokens: 256 random bits, or signed claims, that are shown once and stored as a hash.

use authz::{
    ActionKind, Actor, Administer, Basis, Denied, GroundRecord, Narrowing, PartOfProject, Permit,
    Right, Role, Scope, WholeStore, decide, may_give,
};
use crypto::JwtClaims;
use domain::{Invalid, PrincipalName, ProjectPath, Revision, Timestamp, Uid};
use sha2::{Digest, Sha256};
use store::{
    Change, ChangeKind, ChangedObject, Commit, Key, KeyRange, Precondition, PrincipalKind, Removal,
    TokenHolder, TokenRecord,
};
use zeroize::Zeroizing;

use crate::rights::{Token, Without};
use crate::{TokenView, Vault, VaultError};

/// What the hash of a token begins with, so that it is a hash of nothing else.
const HASH_DOMAIN: &[u8] = b"tresor/1/token";
/// Secret scanners find a token by its prefix and tell a real one by its checksum.
const PREFIX: &str = "tresor_";
const RANDOM_BYTES: usize = 32;
const MAX_DESCRIPTION_BYTES: usize = 512;
const MAX_RIGHTS: usize = 64;
/// How many tokens one principal has at once.
const MAX_TOKENS_OF_ONE: usize = 1000;
/// How many tokens one commit removes.
const TOKENS_A_COMMIT: usize = 30;
/// How long a JWT lasts when nobody says: one that never ends would have no `exp`.
const JWT_SECONDS: u64 = 365 * 24 * 3600;
const PAGE: usize = 256;

/// A token to be made.
pub struct NewToken {
    /// What it is for.
    pub description: String,
    /// Whose it is to be, and what it may do.
    pub holder: NewHolder,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
    /// Whether its text is to be a JSON Web Token (RFC 7519), for clients that insist on one.
    pub jwt: bool,
}

/// Whose a token is to be.
pub enum NewHolder {
    /// Nobody's, with rights of its own.
    Itself(Vec<Right>),
    /// A machine account's, by name, with what is left of its rights.
    Machine(PrincipalName, Narrowing),
    /// That of who asks, with what is left of their rights.
    Myself(Narrowing),
}

/// A token that was just made. Its text is not kept anywhere.
pub struct MintedToken {
    /// What is kept of it.
    pub view: TokenView,
    /// The token itself.
    pub text: Zeroizing<String>,
}

impl Vault {
    /// The actor that a token stands for, if it is one of this store's and has not ended. The
    /// signature of a JWT is verified each time, though the table would do.
    pub fn authenticate(&self, token: &str) -> Option<Actor> {
        let now = self.clock.now();
        // The table is looked up by hash, so timing tells at most about hashes.
        let hash = self.hash_token(token);
        if is_well_formed(token) {
            return self.rights.bearer(&hash, now);
        }
        let claimed = self.keyring().read_jwt(token, now)?;
        match self.rights.bearer(&hash, now) {
            Some(actor) => Some(actor)
                .filter(|actor| actor.token().is_some_and(|shown| shown.id == claimed.jti)),
            // One of those that stand for another token.
            None => self.rights.stand_in(claimed.jti, claimed.expires_at, now),
        }
    }

    /// Makes a token for someone else than who asks: one that belongs to nobody, or a machine
    /// account's.
    ///
    /// # Errors
    /// When it could do what its maker may not, has ended already, or its description is too long.
    pub fn create_token(
        &self,
        permit: &Permit<Administer, WholeStore>,
        new: NewToken,
    ) -> Result<MintedToken, VaultError> {
        let actor = permit.actor();
        let holder = match new.holder {
            NewHolder::Itself(rights) => {
                check_rights(&rights)?;
                if !rights.iter().all(|right| may_give(actor, right, None)) {
                    let fix =
                        "must allow nothing that you, with the token that you use, may not do";
                    return Err(Invalid::new("rights", fix).into());
                }
                TokenHolder::Itself(rights)
            }
            NewHolder::Machine(name, narrowing) => {
                let found = self.rights.named(PrincipalKind::Machine, name.as_str());
                let fix =
                    "must be a machine account that exists; users make their tokens themselves";
                let found = found.ok_or_else(|| Invalid::new("machineAccount", fix))?;
                self.check_narrowing(&narrowing)?;
                self.check_may_act_as(actor, found.record.uid, "machineAccount")?;
                check_lifetime(actor, new.expires)?;
                TokenHolder::Principal(found.record.uid, narrowing)
            }
            NewHolder::Myself(_) => {
                return Err(Invalid::new("rights", "must be given").into());
            }
        };
        let (description, expires, jwt) = (new.description, new.expires, new.jwt);
        let wanted = Wanted { description, holder, expires, jwt, session: false };
        self.mint(wanted, actor.name(), &permit.basis())
    }

    /// Makes a token of who asks, with at most the rights that they have with the token that they
    /// use. It needs no permit: it gives nobody anything that they do not have.
    ///
    /// # Errors
    /// When who asks is neither a user nor a machine account, or the token would be wider, or would
    /// outlast a narrowed one.
    pub fn create_own_token(
        &self,
        actor: &Actor,
        new: NewToken,
    ) -> Result<MintedToken, VaultError> {
        let uid = self.own_principal(actor).ok_or_else(|| {
            Invalid::new(
                "rights",
                "must be given: who asks has no account that a token could be of",
            )
        })?;
        let NewHolder::Myself(narrowing) = new.holder else { return Err(VaultError::NotFound) };
        self.check_narrowing(&narrowing)?;
        self.check_within(actor, &narrowing)?;
        check_lifetime(actor, new.expires)?;
        let holder = TokenHolder::Principal(uid, narrowing);
        let (description, expires, jwt) = (new.description, new.expires, new.jwt);
        let wanted = Wanted { description, holder, expires, jwt, session: false };
        self.mint(wanted, actor.name(), &actor.basis())
    }

    /// Makes the token of someone who has just signed in.
    pub(crate) fn create_session(
        &self,
        uid: Uid,
        expires: Timestamp,
        jwt: bool,
    ) -> Result<MintedToken, VaultError> {
        let actor = self.rights.principal_actor(uid).ok_or(VaultError::NotFound)?;
        let wanted = Wanted {
            description: "signed in with a password".to_owned(),
            holder: TokenHolder::Principal(uid, Narrowing::default()),
            expires: Some(expires),
            jwt,
            session: true,
        };
        self.mint(wanted, actor.name(), &actor.basis())
    }

    /// Makes an administrator's token for whoever holds the root key and the data directory: the
    /// first one of a new store, and the way back in when all are lost.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn create_operator_token(&self, description: &str) -> Result<MintedToken, VaultError> {
        let admin = Right::new(Role::Admin, Scope::WholeStore)?;
        let wanted = Wanted {
            description: description.to_owned(),
            holder: TokenHolder::Itself(vec![admin]),
            expires: None,
            jwt: false,
            session: false,
        };
        self.mint(wanted, Actor::operator().name(), &Basis::default())
    }

    /// All tokens, oldest first.
    pub fn tokens(&self, _permit: &Permit<Administer, WholeStore>) -> Vec<TokenView> {
        self.rights.tokens().iter().map(|token| self.token_view(token)).collect()
    }

    /// The tokens of who asks, oldest first; a narrowed token sees itself only.
    pub fn own_tokens(&self, actor: &Actor) -> Vec<TokenView> {
        let tokens = self.rights.tokens();
        let own = tokens.iter().filter(|token| self.is_own(actor, token));
        own.map(|token| self.token_view(token)).collect()
    }

    /// Ends a token: when this returns, it opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that identity, or it is the last administrator's.
    pub fn revoke_token(
        &self,
        permit: &Permit<Administer, WholeStore>,
        id: Uid,
    ) -> Result<(), VaultError> {
        let token = self.rights.token(id).ok_or(VaultError::NotFound)?;
        self.end_token(&token, &permit.basis())
    }

    /// Ends a token of who asks, and be it the one that they ask with.
    ///
    /// # Errors
    /// When none of that identity is theirs, or it is the last administrator's.
    pub fn revoke_own_token(&self, actor: &Actor, id: Uid) -> Result<(), VaultError> {
        // Whether there is a token of others of that identity is not told.
        let not_theirs = VaultError::NotPermitted(Denied::NotVisible);
        let token = self.rights.token(id).ok_or(VaultError::NotFound)?;
        let token = Some(token).filter(|token| self.is_own(actor, token)).ok_or(not_theirs)?;
        self.end_token(&token, &actor.basis())
    }

    fn end_token(&self, token: &Token, basis: &Basis) -> Result<(), VaultError> {
        let _one_at_a_time = self.rights_writes.lock();
        let id = token.record.id;
        if !token.record.session {
            self.check_administrators(&Without { token: Some(id), ..Without::default() })?;
        }
        if self.rights.token(id).is_none() {
            return Err(VaultError::NotFound);
        }
        // A token may end itself: the commit then rests on the record that it removes.
        self.remove_tokens([&token.record], basis)
    }

    /// Removes tokens that ended by themselves. The daemon calls it from time to time; no actor says
    /// what goes.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn purge_ended_tokens(&self) -> Result<usize, VaultError> {
        let now = self.clock.now();
        let tokens = self.rights.tokens();
        let ended: Vec<_> = tokens.iter().filter(|token| !token.lasts(now)).collect();
        for some in ended.chunks(TOKENS_A_COMMIT) {
            let _one_at_a_time = self.rights_writes.lock();
            let there = some.iter().filter(|token| self.rights.token(token.record.id).is_some());
            self.remove_tokens(there.map(|token| &token.record), &Basis::default())?;
        }
        Ok(ended.len())
    }

    /// Removes tokens in one commit, and from the table; under the lock of who writes rights.
    pub(crate) fn remove_tokens<'a>(
        &self,
        records: impl IntoIterator<Item = &'a TokenRecord>,
        basis: &Basis,
    ) -> Result<(), VaultError> {
        let (mut commit, mut ids) = (Commit::default(), Vec::new());
        for record in records {
            commit.remove(Key::token(record.id)).remove(Key::token_hash(&record.hash));
            commit.remove(Key::last_use(record.id));
            commit.tell(change(ChangeKind::Deleted, record.id));
            ids.push(record.id);
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.commit(commit, basis.clone())?;
        self.rights.remove_tokens(&ids);
        Ok(())
    }

    pub(crate) fn token_records(&self) -> Result<Vec<(TokenRecord, Revision)>, VaultError> {
        self.all_records(KeyRange::tokens(), TokenRecord::decode)
    }

    /// All sealed records of a range, with when they last changed.
    pub(crate) fn all_records<T>(
        &self,
        range: KeyRange,
        decode: impl Fn(&[u8]) -> Result<T, domain::Malformed>,
    ) -> Result<Vec<(T, Revision)>, VaultError> {
        let (mut range, mut more, mut records) = (range, true, Vec::new());
        while more {
            let page = self.engine.scan(&range, PAGE)?;
            more = page.more;
            for (key, stored) in page.records {
                let record = self.open_record(&key, &stored.value, &decode)?;
                records.push((record, stored.changed_at));
                range = range.after(&key);
            }
        }
        Ok(records)
    }

    fn mint(
        &self,
        wanted: Wanted,
        created_by: String,
        basis: &Basis,
    ) -> Result<MintedToken, VaultError> {
        let now = self.clock.now();
        wanted.check(now)?;
        let _one_at_a_time = self.rights_writes.lock();
        let mut commit = Commit::default();
        if let TokenHolder::Itself(rights) = &wanted.holder {
            self.check_projects(rights)?;
        }
        if let TokenHolder::Principal(uid, _) = &wanted.holder {
            self.check_room(*uid)?;
            let holder = self.rights.principal(*uid).ok_or(VaultError::NotFound)?;
            commit.require(Precondition::ChangedAt(Key::principal(*uid), holder.changed_at));
        }
        let id = self.make_uid()?;
        let expires = match (wanted.expires, wanted.jwt) {
            (None, true) => Some(now.plus_seconds(JWT_SECONDS)),
            (expires, _) => expires,
        };
        let text = match (wanted.jwt, expires) {
            (true, Some(expires)) => self.make_jwt(id, &wanted.holder, now, expires),
            _ => make_text()?,
        };
        let record = TokenRecord {
            id,
            hash: self.hash_token(&text),
            description: wanted.description,
            holder: wanted.holder,
            created_at: now,
            created_by,
            expires,
            session: wanted.session,
        };
        let (key, hash_key) = (Key::token(record.id), Key::token_hash(&record.hash));
        commit.require(Precondition::Absent(key.clone()));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.put(hash_key, record.id.as_bytes().to_vec());
        commit.tell(change(ChangeKind::Added, record.id));
        let revision = self.commit(commit, basis.clone())?;
        self.rights.put_token(record, revision);
        let token = self.rights.token(id).ok_or(VaultError::NotFound)?;
        Ok(MintedToken { view: self.token_view(&token), text })
    }

    pub(crate) fn make_jwt(
        &self,
        id: Uid,
        holder: &TokenHolder,
        now: Timestamp,
        expires: Timestamp,
    ) -> Zeroizing<String> {
        let name = match holder {
            TokenHolder::Itself(_) => format!("token:{id}"),
            TokenHolder::Principal(uid, _) => {
                let found = self.rights.principal(*uid);
                found.map_or_else(String::new, |found| found.record.name.clone())
            }
        };
        let claims = JwtClaims { name: &name, jti: id, issued_at: now, expires_at: expires };
        self.keyring().make_jwt(&claims)
    }

    /// Who asks, where that is a user or a machine account.
    pub(crate) fn own_principal(&self, actor: &Actor) -> Option<Uid> {
        let subject = actor.subject()?;
        self.rights.principal(subject.uid()).map(|found| found.record.uid)
    }

    fn is_own(&self, actor: &Actor, token: &Token) -> bool {
        let asks_with = actor.token().is_some_and(|shown| shown.id == token.record.id);
        let principal = token.principal().filter(|_| !actor.is_narrowed());
        asks_with || (principal.is_some() && principal == self.own_principal(actor))
    }

    fn check_room(&self, uid: Uid) -> Result<(), VaultError> {
        let tokens = self.rights.tokens();
        let count = tokens.iter().filter(|token| token.principal() == Some(uid)).count();
        if count >= MAX_TOKENS_OF_ONE { Err(VaultError::TooManyTokens) } else { Ok(()) }
    }

    /// A right in a project that does not exist would wait for whoever makes one of that name.
    fn check_projects(&self, rights: &[Right]) -> Result<(), VaultError> {
        for right in rights {
            let Some(path) = right.scope().project() else { continue };
            if !self.is_open(path)? {
                return Err(Invalid::new("rights", "must name projects that exist").into());
            }
        }
        Ok(())
    }

    /// Whether there is such a project, and it is not being removed.
    fn is_open(&self, path: &ProjectPath) -> Result<bool, VaultError> {
        match self.project_record(path) {
            Ok((record, _)) => Ok(record.removal == Removal::None),
            Err(VaultError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check_narrowing(&self, narrowing: &Narrowing) -> Result<(), VaultError> {
        let refuse = |field: &str, fix: String| Err(Invalid::new(field, fix).into());
        if narrowing.actions.is_some_and(authz::ActionSet::is_empty) {
            return refuse("narrowing.actions", "must name an action, or be left out".to_owned());
        }
        let Some(projects) = &narrowing.projects else { return Ok(()) };
        if projects.is_empty() || projects.len() > MAX_RIGHTS {
            let fix = format!("must name 1 to {MAX_RIGHTS} projects, or be left out");
            return refuse("narrowing.projects", fix);
        }
        Ok(())
    }

    /// A token is never wider than its maker, with the token that the maker uses.
    fn check_within(&self, actor: &Actor, narrowing: &Narrowing) -> Result<(), VaultError> {
        let now = self.clock.now();
        let mine = actor.token().map(|token| &token.narrowing);
        let wider = |field: &str, fix: &str| Err(Invalid::new(field, fix).into());
        if let Some(mine) = mine.and_then(|mine| mine.projects.as_ref()) {
            let inside = |path: &ProjectPath| mine.contains(path);
            if !narrowing.projects.as_ref().is_some_and(|named| named.iter().all(inside)) {
                let fix = "must name projects of the token that you use, and nothing else";
                return wider("narrowing.projects", fix);
            }
        }
        if let Some(mine) = mine.and_then(|mine| mine.actions) {
            let inside = |action: ActionKind| mine.contains(action);
            if !narrowing.actions.is_some_and(|named| named.iter().all(inside)) {
                let fix = "must name actions of the token that you use, and nothing else";
                return wider("narrowing.actions", fix);
            }
        }
        for path in narrowing.projects.iter().flatten() {
            // Whether there is no such project, or one that is none of theirs, is not told.
            let reached = decide::<authz::List, _>(actor, PartOfProject(path.clone()), now).is_ok()
                && self.is_open(path)?;
            if !reached {
                let fix = "must name projects in which you have rights";
                return wider("narrowing.projects", fix);
            }
        }
        Ok(())
    }

    pub(crate) fn token_view(&self, token: &Token) -> TokenView {
        let record = &token.record;
        let (rights, principal, narrowing) = match &record.holder {
            TokenHolder::Itself(rights) => (rights.clone(), None, Narrowing::default()),
            TokenHolder::Principal(uid, narrowing) => {
                let name = self.rights.principal(*uid).map(|found| found.record.full_name());
                (Vec::new(), name, narrowing.clone())
            }
        };
        TokenView {
            id: record.id,
            description: record.description.clone(),
            rights,
            principal,
            narrowing,
            created_at: record.created_at,
            created_by: record.created_by.clone(),
            expires: record.expires,
            last_used_at: token.used().or_else(|| self.stored_last_use(record.id)),
        }
    }

    /// Whether a token that has not ended and belongs to nobody holds rights in a project.
    pub(crate) fn is_named_by_a_token(&self, path: &ProjectPath) -> bool {
        let names = |scope: &Scope| scope.project() == Some(path);
        self.rights.is_named_by_a_token(names, self.clock.now())
    }

    fn hash_token(&self, token: &str) -> [u8; 32] {
        let store = self.keyring().store_id();
        let hash = Sha256::new().chain_update(HASH_DOMAIN).chain_update(store.as_bytes());
        hash.chain_update(token.as_bytes()).finalize().into()
    }
}

/// A token of which everything but its text is decided.
struct Wanted {
    description: String,
    holder: TokenHolder,
    expires: Option<Timestamp>,
    jwt: bool,
    session: bool,
}

impl Wanted {
    fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        let printable = !self.description.chars().any(char::is_control);
        if self.description.len() > MAX_DESCRIPTION_BYTES || !printable {
            let fix =
                format!("must be at most {MAX_DESCRIPTION_BYTES} bytes without control characters");
            return Err(Invalid::new("description", fix));
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Invalid::new("expiresInSeconds", "must be at least 1"));
        }
        Ok(())
    }
}

fn check_rights(rights: &[Right]) -> Result<(), Invalid> {
    if rights.is_empty() || rights.len() > MAX_RIGHTS {
        let fix = format!("must hold 1 to {MAX_RIGHTS} roles and projects in all");
        return Err(Invalid::new("rights", fix));
    }
    Ok(())
}

/// What was narrowed is not made to last: a token that leaks must not be turned into a longer one.
/// What stands for a token makes none at all, which would go on when that is taken back.
fn check_lifetime(actor: &Actor, expires: Option<Timestamp>) -> Result<(), Invalid> {
    if actor.token().is_some_and(|token| token.stands_in) {
        let fix = "must be asked for with the token that this one stands for";
        return Err(Invalid::new("rights", fix));
    }
    let Some(mine) = actor.token().filter(|token| token.narrowing != Narrowing::default()) else {
        return Ok(());
    };
    let Some(last) = mine.expires else { return Ok(()) };
    if expires.is_none_or(|expires| expires > last) {
        let fix = "must end no later than the narrowed token that you use";
        return Err(Invalid::new("expiresInSeconds", fix));
    }
    Ok(())
}

/// Prefix, 64 hexadecimal digits, and the CRC-32C of both in 8 more.
fn make_text() -> Result<Zeroizing<String>, VaultError> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(random.as_mut()).map_err(|_| VaultError::NoRandomness)?;
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * RANDOM_BYTES + 8));
    text.push_str(PREFIX);
    for byte in random.iter() {
        text.extend(hex_digits(*byte));
    }
    for byte in crc32c::crc32c(text.as_bytes()).to_be_bytes() {
        text.extend(hex_digits(byte));
    }
    Ok(text)
}

fn hex_digits(byte: u8) -> impl Iterator<Item = char> {
    [byte >> 4, byte & 0xf].into_iter().filter_map(|digit| char::from_digit(u32::from(digit), 16))
}

fn is_well_formed(token: &str) -> bool {
    let Some((body, checksum)) = token.split_at_checked(PREFIX.len() + 2 * RANDOM_BYTES) else {
        return false;
    };
    body.starts_with(PREFIX) && checksum == format!("{:08x}", crc32c::crc32c(body.as_bytes()))
}

fn change(kind: ChangeKind, id: Uid) -> Vec<u8> {
    Change { kind, object: ChangedObject::Token, uid: id, view: None }.encode()
}

/// Has a commit rest on the rights that it was decided on.
pub(crate) fn require_grounds(commit: &mut Commit, basis: &Basis) {
    for ground in basis.grounds() {
        commit.require(Precondition::ChangedAt(ground_key(ground.record), ground.changed_at));
    }
}

/// The key of a record that a decision rested on.
fn ground_key(record: GroundRecord) -> Key {
    match record {
        GroundRecord::Principal(uid) => Key::principal(uid),
        GroundRecord::Token(id) => Key::token(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_prefix_and_a_checksum() {
        let text = make_text().unwrap();
        assert!(is_well_formed(&text));
        assert_eq!(text.len(), 79);
        let mut typo = text.to_string();
        let other = if typo.as_bytes()[20] == b'a' { "b" } else { "a" };
        typo.replace_range(20..21, other);
        assert!(!is_well_formed(&typo));
        for wrong in ["", "tresor_", "Bearer", text.trim_start_matches('t'), &format!("{}0", *text)]
        {
            assert!(!is_well_formed(wrong));
        }
    }
}
