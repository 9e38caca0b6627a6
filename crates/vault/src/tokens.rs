//! Tokens: 256 random bits that are shown once and stored as a hash.

use std::collections::HashMap;
use std::sync::Arc;

use authz::{Actor, Administer, Permit, Right, Role, Scope, TokenActor, WholeStore};
use domain::{Invalid, ProjectPath, Revision, Timestamp, Uid};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use store::{Change, ChangeKind, ChangedObject, Commit, Key, KeyRange, Precondition, TokenRecord};
use zeroize::Zeroizing;

use crate::{TokenView, Vault, VaultError};

/// What the hash of a token begins with, so that it is a hash of nothing else.
const HASH_DOMAIN: &[u8] = b"tresor/1/token";
/// Secret scanners find a token by its prefix and tell a real one by its checksum.
const PREFIX: &str = "tresor_";
const RANDOM_BYTES: usize = 32;
const MAX_DESCRIPTION_BYTES: usize = 512;
const MAX_RIGHTS: usize = 64;
const PAGE: usize = 256;

/// Every token that is valid, by its hash.
pub(crate) type Table = RwLock<HashMap<[u8; 32], Arc<TokenActor>>>;

/// A token to be made.
pub struct NewToken {
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// When it ends, if it does by itself.
    pub expires: Option<Timestamp>,
}

/// A token that was just made. Its text is not kept anywhere.
pub struct MintedToken {
    /// What is kept of it.
    pub view: TokenView,
    /// The token itself.
    pub text: Zeroizing<String>,
}

impl Vault {
    /// The actor that a token stands for, if it is one of this store's and has not ended.
    pub fn authenticate(&self, token: &str) -> Option<Actor> {
        if !is_well_formed(token) {
            return None;
        }
        // The table is looked up by hash, so timing tells at most about hashes.
        let actor = self.tokens.read().get(&self.hash_token(token))?.clone();
        lasts(&actor, self.clock.now()).then(|| Actor::token(actor))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When it could do nothing, has ended already, or its description is too long.
    pub fn create_token(
        &self,
        permit: &Permit<Administer, WholeStore>,
        new: NewToken,
    ) -> Result<MintedToken, VaultError> {
        self.mint(new, permit.actor().name(), permit.basis())
    }

    /// Makes an administrator's token for whoever holds the root key and the data directory: the
    /// first one of a new store, and the way back in when all are lost.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn create_operator_token(&self, description: &str) -> Result<MintedToken, VaultError> {
        let admin = Right::new(Role::Admin, Scope::WholeStore)?;
        let description = description.to_owned();
        let new = NewToken { description, rights: vec![admin], expires: None };
        self.mint(new, "system:operator".to_owned(), None)
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tokens(
        &self,
        _permit: &Permit<Administer, WholeStore>,
    ) -> Result<Vec<TokenView>, VaultError> {
        Ok(self.token_records()?.into_iter().map(|(record, _)| view(record)).collect())
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
        let _one_at_a_time = self.token_writes.lock();
        let key = Key::token(id);
        let found = self.read_record(&key, TokenRecord::decode)?;
        let (record, revision) = found.ok_or(VaultError::NotFound)?;
        if is_admin(&record.rights) && !self.another_admin(id) {
            return Err(VaultError::LastAdministrator);
        }
        let mut commit = Commit::default();
        commit.require(Precondition::ChangedAt(key.clone(), revision));
        commit.remove(key).remove(Key::token_hash(&record.hash));
        commit.tell(change(ChangeKind::Deleted, id));
        self.commit(commit, permit.basis())?;
        self.tokens.write().remove(&record.hash);
        Ok(())
    }

    pub(crate) fn load_tokens(&self) -> Result<(), VaultError> {
        let records = self.token_records()?;
        let mut table = self.tokens.write();
        for (record, revision) in records {
            table.insert(record.hash, Arc::new(actor(record, revision)));
        }
        Ok(())
    }

    fn mint(
        &self,
        new: NewToken,
        created_by: String,
        basis: Option<authz::Basis>,
    ) -> Result<MintedToken, VaultError> {
        let now = self.clock.now();
        check(&new, now)?;
        let _one_at_a_time = self.token_writes.lock();
        self.check_projects(&new.rights)?;
        let text = make_text()?;
        let record = TokenRecord {
            id: self.make_uid()?,
            hash: self.hash_token(&text),
            description: new.description,
            rights: new.rights,
            created_at: now,
            created_by,
            expires: new.expires,
        };
        let (key, hash_key) = (Key::token(record.id), Key::token_hash(&record.hash));
        let mut commit = Commit::default();
        commit.require(Precondition::Absent(key.clone()));
        commit.put(key.clone(), self.seal_record(&key, &record.encode())?);
        commit.put(hash_key, record.id.as_bytes().to_vec());
        commit.tell(change(ChangeKind::Added, record.id));
        let revision = self.commit(commit, basis)?;
        let view = view(record.clone());
        self.tokens.write().insert(record.hash, Arc::new(actor(record, revision)));
        Ok(MintedToken { view, text })
    }

    fn token_records(&self) -> Result<Vec<(TokenRecord, Revision)>, VaultError> {
        let (mut range, mut more, mut records) = (KeyRange::tokens(), true, Vec::new());
        while more {
            let page = self.engine.scan(&range, PAGE)?;
            more = page.more;
            for (key, stored) in page.records {
                let record = self.open_record(&key, &stored.value, TokenRecord::decode)?;
                records.push((record, stored.changed_at));
                range = range.after(&key);
            }
        }
        Ok(records)
    }

    /// A right in a project that does not exist would wait for whoever makes one of that name.
    fn check_projects(&self, rights: &[Right]) -> Result<(), VaultError> {
        for right in rights {
            let Scope::Project(path) = right.scope() else { continue };
            match self.project_record(path) {
                Err(VaultError::NotFound) => {
                    return Err(Invalid::new("rights", "must name projects that exist").into());
                }
                found => found.map(|_| ())?,
            }
        }
        Ok(())
    }

    /// Whether a token that has not ended holds rights in a project.
    pub(crate) fn is_named_by_a_token(&self, path: &ProjectPath) -> bool {
        let now = self.clock.now();
        let names = |right: &Right| matches!(right.scope(), Scope::Project(named) if named == path);
        self.tokens.read().values().any(|token| lasts(token, now) && token.rights.iter().any(names))
    }

    fn another_admin(&self, than: Uid) -> bool {
        let now = self.clock.now();
        let table = self.tokens.read();
        table.values().any(|token| token.id != than && is_admin(&token.rights) && lasts(token, now))
    }

    fn hash_token(&self, token: &str) -> [u8; 32] {
        let store = self.keyring.store_id();
        let hash = Sha256::new().chain_update(HASH_DOMAIN).chain_update(store.as_bytes());
        hash.chain_update(token.as_bytes()).finalize().into()
    }
}

fn check(new: &NewToken, now: Timestamp) -> Result<(), Invalid> {
    let printable = !new.description.chars().any(char::is_control);
    if new.description.len() > MAX_DESCRIPTION_BYTES || !printable {
        let fix =
            format!("must be at most {MAX_DESCRIPTION_BYTES} bytes without control characters");
        return Err(Invalid::new("description", fix));
    }
    if new.rights.is_empty() || new.rights.len() > MAX_RIGHTS {
        let fix = format!("must hold 1 to {MAX_RIGHTS} roles and projects in all");
        return Err(Invalid::new("rights", fix));
    }
    if new.expires.is_some_and(|expires| expires <= now) {
        return Err(Invalid::new("expiresInSeconds", "must be at least 1"));
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

fn lasts(token: &TokenActor, now: Timestamp) -> bool {
    token.expires.is_none_or(|expires| expires > now)
}

fn is_admin(rights: &[Right]) -> bool {
    rights.iter().any(|right| right.role() == Role::Admin)
}

fn actor(record: TokenRecord, changed_at: Revision) -> TokenActor {
    let TokenRecord { id, description, rights, expires, .. } = record;
    TokenActor { id, description, rights, expires, changed_at }
}

fn view(record: TokenRecord) -> TokenView {
    let TokenRecord { id, description, rights, created_at, created_by, expires, .. } = record;
    TokenView { id, description, rights, created_at, created_by, expires }
}

fn change(kind: ChangeKind, id: Uid) -> Vec<u8> {
    Change { kind, object: ChangedObject::Token, uid: id, view: None }.encode()
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
