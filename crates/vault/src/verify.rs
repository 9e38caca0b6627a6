//! Verification: that every sealed record opens, and that every reference in the store leads to what
//! it names.
//!
//! It runs beside writers. What is found wrong is looked at again, from its beginning, so that a
//! change between two looks is no finding: only what stays wrong is.

use std::thread;
use std::time::Duration;

use authz::{Administer, Permit, WholeStore};
use domain::{Malformed, SecretPath, Uid};
use store::{
    ChangedObject, ConsumerKind, ConsumerRecord, Head, Key, KeyRange, OrgRecord, PrincipalRecord,
    ProjectRecord, RotationRecord, Stored, TokenRecord, VersionState, WrappedKeys, decode_last_use,
    decode_secret_path, decode_stored_event, decode_tombstone,
};

use crate::{Vault, VaultError};

/// How often something is looked at before it counts as wrong.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 20 });
/// So many findings are told one by one; the others are counted.
const MAX_TOLD: usize = 100;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a name, an identity or a resource version; never a value.
    pub at: String,
    /// What is wrong there.
    pub what: &'static str,
}

/// What a verification has looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Secrets, deleted ones included.
    pub secrets: u64,
    /// Versions whose payload was opened.
    pub versions: u64,
    /// All records, these included.
    pub records: u64,
    /// What is wrong: the first hundred.
    pub findings: Vec<Finding>,
    /// How much is wrong.
    pub wrong: u64,
}

/// What is wrong with a record, if anything is. An error is one of the store itself.
type Look = Result<Option<&'static str>, VaultError>;

const OPENS: &str = "it does not open: it is damaged, or not where it was sealed";

impl Vault {
    /// Opens every record, and follows every reference; an administrator's act.
    ///
    /// # Errors
    /// When the store cannot be read. What is wrong in it is no error, but in the result.
    pub fn verify(
        &self,
        _permit: &Permit<Administer, WholeStore>,
        told: &mut dyn FnMut(u64),
    ) -> Result<Verification, VaultError> {
        self.verify_operators_store(told)
    }

    /// The same for whoever holds the root key and the data directory. `told` is called with the
    /// records that were looked at.
    ///
    /// # Errors
    /// As [`Vault::verify`].
    pub fn verify_operators_store(
        &self,
        told: &mut dyn FnMut(u64),
    ) -> Result<Verification, VaultError> {
        let mut done = Verification::default();
        self.verify_secrets(&mut done, told)?;
        self.verify_parts_of_secrets(&mut done, told)?;
        self.verify_people(&mut done, told)?;
        self.verify_others(&mut done, told)?;
        self.verify_events(&mut done, told)?;
        Ok(done)
    }

    fn verify_secrets(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), VaultError> {
        for range in [KeyRange::all_heads(), KeyRange::all_deleted_heads()] {
            self.each(&range, |key, _| {
                done.secrets += 1;
                let at = || key.secret_path().map_or_else(|| format!("{key:?}"), |p| p.to_string());
                let mut versions = 0;
                done.look(told, at, || {
                    versions = 0;
                    self.look_at_secret(key, &mut versions)
                })?;
                done.versions += versions;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn look_at_secret(&self, key: &Key, opened: &mut u64) -> Look {
        let Some(stored) = self.engine.read(key)? else { return Ok(None) };
        let Ok(head) = self.open_record(key, &stored.value, Head::decode) else {
            return Ok(Some(OPENS));
        };
        let living = Key::head(&head.path) == *key;
        if !living && Key::deleted_head(&head.path, head.uid) != *key {
            return Ok(Some("its metadata is that of another secret"));
        }
        if living == head.deleted_at.is_some() {
            return Ok(Some("it is deleted and is not, at once"));
        }
        if self.engine.read(&Key::project(&head.path.project))?.is_none() {
            return Ok(Some("its project is not there"));
        }
        let alias = head.alias.as_deref().filter(|_| living);
        for id in [Some(head.uid.to_string().as_str()), alias].into_iter().flatten() {
            let found = self.engine.read(&Key::secret_id(id))?;
            let leads = found.map(|stored| decode_secret_path(&stored.value));
            if leads != Some(Ok(head.path.clone())) {
                return Ok(Some("its identity does not lead to it"));
            }
        }
        for binding in &head.bindings {
            if self.engine.read(&Key::binding(&binding.project, head.uid))?.is_none() {
                return Ok(Some(
                    "a binding of it is not found from the project that it is bound to",
                ));
            }
        }
        let keys = self.engine.read(&Key::wrapped_keys(head.uid))?;
        let keys = keys.map(|stored| WrappedKeys::decode(&stored.value)).transpose();
        let Ok(keys) = keys.map(Option::unwrap_or_default) else {
            return Ok(Some("its wrapped data keys are malformed"));
        };
        let kept = head.versions.iter().filter(|version| version.state != VersionState::Destroyed);
        if !kept.clone().map(|version| version.number).eq(keys.iter().map(|(number, _)| number)) {
            return Ok(Some("it has not exactly the data keys of the versions that are kept"));
        }
        for version in kept {
            match self.read_payload(head.uid, version.number, head.kind) {
                Ok(Some(_)) => *opened += 1,
                Ok(None) => return Ok(Some("a version that is kept is not there")),
                Err(VaultError::Damaged) => return Ok(Some("a version of it does not open")),
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }

    /// Whether a secret of that identity is there, deleted or not, as `holds` says.
    fn of_a_secret(&self, uid: Uid, holds: impl Fn(&Head) -> bool) -> Result<bool, VaultError> {
        let Some(stored) = self.engine.read(&Key::secret_id(&uid.to_string()))? else {
            return Ok(false);
        };
        let Ok(path) = decode_secret_path(&stored.value) else { return Ok(false) };
        Ok(self.head_at(&path, uid)?.is_some_and(|head| holds(&head)))
    }

    /// The head of the secret of that identity, living or deleted.
    fn head_at(&self, path: &SecretPath, uid: Uid) -> Result<Option<Head>, VaultError> {
        for key in [Key::head(path), Key::deleted_head(path, uid)] {
            let Some(stored) = self.engine.read(&key)? else { continue };
            match self.open_record(&key, &stored.value, Head::decode) {
                Ok(head) if head.uid == uid => return Ok(Some(head)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn verify_parts_of_secrets(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), VaultError> {
        let gone = |key: &Key| Ok::<_, VaultError>(self.engine.read(key)?.is_none());
        self.each(&KeyRange::wrapped_keys(), |key, _| {
            let uid = key.wrapped_keys_of().ok_or(VaultError::Damaged)?;
            done.look(
                told,
                || format!("the data keys of {uid}"),
                || {
                    let right = self.of_a_secret(uid, |_| true)? || gone(key)?;
                    Ok((!right).then_some("there is no secret that they belong to"))
                },
            )
        })?;
        self.each(&KeyRange::payloads(), |key, _| {
            let (uid, number) = key.payload_of().ok_or(VaultError::Damaged)?;
            done.look(
                told,
                || format!("version {number} of {uid}"),
                || {
                    let is_kept = |head: &Head| {
                        let mut versions = head.versions.iter();
                        versions.any(|v| v.number == number && v.state != VersionState::Destroyed)
                    };
                    let right = self.of_a_secret(uid, is_kept)? || gone(key)?;
                    Ok((!right).then_some("there is no secret that keeps it"))
                },
            )
        })?;
        self.each(&KeyRange::all_bindings(), |key, _| {
            let uid = key.last_uid().ok_or(VaultError::Damaged)?;
            done.look(
                told,
                || format!("a binding of {uid}"),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    if self.open_record(key, &stored.value, decode_secret_path).is_err() {
                        return Ok(Some(OPENS));
                    }
                    let is_bound = |head: &Head| {
                        head.bindings.iter().any(|to| Key::binding(&to.project, uid) == *key)
                    };
                    let right = self.of_a_secret(uid, is_bound)?;
                    Ok((!right).then_some("the secret is not bound there"))
                },
            )
        })?;
        self.each(&KeyRange::secret_ids(), |key, _| {
            done.look(
                told,
                || format!("{key:?}"),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    let Ok(path) = decode_secret_path(&stored.value) else {
                        return Ok(Some("it is malformed"));
                    };
                    let named = |head: &Head| {
                        let alias = head.alias.as_deref().map(Key::secret_id);
                        Key::secret_id(&head.uid.to_string()) == *key || alias.as_ref() == Some(key)
                    };
                    let head = Key::head(&path);
                    let living = self.engine.read(&head)?;
                    let living =
                        living.and_then(|s| self.open_record(&head, &s.value, Head::decode).ok());
                    if living.is_some_and(|head| named(&head)) {
                        return Ok(None);
                    }
                    // A deleted secret has no other identity than its own.
                    let own = key.id_of_secret().and_then(|id| Uid::parse(id).ok());
                    let right = match own {
                        Some(uid) => self.head_at(&path, uid)?.is_some(),
                        None => false,
                    };
                    Ok((!right).then_some("the identity leads to no secret"))
                },
            )
        })
    }

    fn verify_people(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), VaultError> {
        self.each(&KeyRange::tokens(), |key, _| {
            done.look(
                told,
                || format!("token {}", shown(key)),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    let Ok(token) = self.open_record(key, &stored.value, TokenRecord::decode)
                    else {
                        return Ok(Some(OPENS));
                    };
                    let found = self.engine.read(&Key::token_hash(&token.hash))?;
                    let leads = found.is_some_and(|stored| stored.value == token.id.as_bytes());
                    Ok((!leads || Key::token(token.id) != *key)
                        .then_some("its hash does not lead to it"))
                },
            )
        })?;
        self.each(&KeyRange::token_hashes(), |key, _| {
            done.look(
                told,
                || "the hash of a token".to_owned(),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    let uid = stored.value.as_slice().try_into().map(Uid::from_bytes);
                    let Ok(uid) = uid else { return Ok(Some("it is malformed")) };
                    let leads = self.engine.read(&Key::token(uid))?.is_some();
                    Ok((!leads).then_some("it leads to no token"))
                },
            )
        })?;
        self.each(&KeyRange::principals(), |key, _| {
            done.look(
                told,
                || format!("account {}", shown(key)),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    let Ok(found) = self.open_record(key, &stored.value, PrincipalRecord::decode)
                    else {
                        return Ok(Some(OPENS));
                    };
                    let name = self.engine.read(&Key::principal_name(found.kind, &found.name))?;
                    let leads = name.is_some_and(|stored| stored.value == found.uid.as_bytes());
                    Ok((!leads || Key::principal(found.uid) != *key)
                        .then_some("its name does not lead to it"))
                },
            )
        })?;
        self.each(&KeyRange::principal_names(), |key, _| {
            done.look(
                told,
                || format!("{key:?}"),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    let uid = stored.value.as_slice().try_into().map(Uid::from_bytes);
                    let Ok(uid) = uid else { return Ok(Some("it is malformed")) };
                    let leads = self.engine.read(&Key::principal(uid))?.is_some();
                    Ok((!leads).then_some("the name leads to no account"))
                },
            )
        })
    }

    fn verify_others(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), VaultError> {
        self.verify_sealed(done, told, &KeyRange::projects(), ProjectRecord::decode)?;
        self.verify_sealed(done, told, &KeyRange::orgs(), OrgRecord::decode)?;
        self.verify_sealed(done, told, &KeyRange::last_uses(), decode_last_use)?;
        for kind in [ConsumerKind::Cluster, ConsumerKind::Node] {
            self.verify_sealed(done, told, &KeyRange::consumers(kind), ConsumerRecord::decode)?;
        }
        self.each(&KeyRange::tombstones(), |key, stored| {
            done.look(
                told,
                || format!("tombstone {}", shown(key)),
                || Ok(decode_tombstone(&stored.value).err().map(|Malformed| "it is malformed")),
            )
        })?;
        if let Some(stored) = self.engine.read(&Key::rotation())? {
            done.look(
                told,
                || "the change of keys".to_owned(),
                || {
                    Ok(RotationRecord::decode(&stored.value)
                        .err()
                        .map(|Malformed| "it is malformed"))
                },
            )?;
        }
        Ok(())
    }

    fn verify_sealed<T>(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
        range: &KeyRange,
        decode: fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<(), VaultError> {
        self.each(range, |key, _| {
            done.look(
                told,
                || format!("{key:?}"),
                || {
                    let Some(stored) = self.engine.read(key)? else { return Ok(None) };
                    Ok(self.open_record(key, &stored.value, decode).err().map(|_| OPENS))
                },
            )
        })
    }

    /// The change log, whose order and gaps the engine checks with each start after a kill.
    fn verify_events(
        &self,
        done: &mut Verification,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), VaultError> {
        self.each(&KeyRange::change_log(), |_, stored| {
            let at = || format!("the event at resourceVersion {}", self.wire(stored.changed_at));
            done.look(told, at, || Ok(self.look_at_event(stored)))
        })
    }

    fn look_at_event(&self, stored: &Stored) -> Option<&'static str> {
        let Ok((_, change)) = decode_stored_event(&stored.value) else {
            return Some("it is malformed");
        };
        let (ChangedObject::Secret(path), Some(view)) = (&change.object, &change.view) else {
            return None;
        };
        let key = Key::event_view(change.uid, view.previous);
        match self.open_record(&key, &view.sealed, Head::decode) {
            Ok(head) if head.path == *path && head.uid == change.uid => None,
            Ok(_) => Some("its metadata is that of another secret"),
            Err(_) => Some(OPENS),
        }
    }
}

fn shown(key: &Key) -> String {
    key.uid().map_or_else(|| format!("{key:?}"), |uid| uid.to_string())
}

impl Verification {
    /// Looks at a record, again where something is wrong, and keeps what stays wrong.
    fn look(
        &mut self,
        told: &mut dyn FnMut(u64),
        at: impl Fn() -> String,
        mut look: impl FnMut() -> Look,
    ) -> Result<(), VaultError> {
        self.records += 1;
        told(self.records);
        let mut found = look()?;
        for _ in 1..LOOKS {
            if found.is_none() {
                return Ok(());
            }
            thread::sleep(BETWEEN_LOOKS);
            found = look()?;
        }
        if let Some(what) = found {
            self.wrong += 1;
            if self.findings.len() < MAX_TOLD {
                self.findings.push(Finding { at: at(), what });
            }
        }
        Ok(())
    }
}
