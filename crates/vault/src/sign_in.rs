//! Signing in with a name and a password.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use authz::{Actor, Denied};
use crypto::PasswordHash;
use domain::{Invalid, Plaintext, PrincipalName, Timestamp, Uid};
use parking_lot::{Condvar, Mutex};
use sha2::{Digest, Sha256};
use store::{PrincipalKind, PrincipalRecord};

use crate::throttle::Throttle;
use crate::{MintedToken, Vault, VaultError};

/// How many passwords are hashed at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How long a hash waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a verified password is known again without hashing it, for clients that send it with
/// each request.
const REMEMBERED_SECONDS: u64 = 300;
const MAX_REMEMBERED: usize = 1024;

/// What decides who has signed in, and how often one may try.
pub(crate) struct SignIn {
    throttle: Throttle,
    /// Of no use elsewhere: what it keys are digests in the memory of this process.
    key: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

struct Remembered {
    signed_in: SignedIn,
    until: Timestamp,
}

/// Lets few hash at once.
#[derive(Default)]
pub(crate) struct Hashing {
    busy: Mutex<usize>,
    freed: Condvar,
}

/// A place among those who hash.
pub(crate) struct HashSlot<'a>(&'a Hashing);

impl Hashing {
    pub(crate) fn enter(&self) -> Result<HashSlot<'_>, VaultError> {
        let mut busy = self.busy.lock();
        let waited = self.freed.wait_while_for(&mut busy, |busy| *busy >= AT_ONCE, PATIENCE);
        if waited.timed_out() && *busy >= AT_ONCE {
            return Err(VaultError::Overloaded);
        }
        *busy += 1;
        Ok(HashSlot(self))
    }
}

impl Drop for HashSlot<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock() -= 1;
        self.0.freed.notify_one();
    }
}

/// Someone whose password was right: good until the password changes or the account is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    uid: Uid,
    /// Of the stored hash, which is another one with each password that is set.
    password: [u8; 32],
}

impl SignedIn {
    fn new(record: &PrincipalRecord) -> Self {
        let hash = record.password.as_deref().unwrap_or_default();
        Self { uid: record.uid, password: Sha256::digest(hash).into() }
    }
}

/// A name and a password, and where they come from.
pub struct Attempt<'a> {
    /// What was sent as the name; it may be anything.
    pub name: &'a str,
    /// The password.
    pub password: &'a Plaintext,
    /// The address of the other side.
    pub address: Option<IpAddr>,
}

impl SignIn {
    pub(crate) fn new() -> Result<Self, VaultError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| VaultError::NoRandomness)?;
        Ok(Self { throttle: Throttle::default(), key, remembered: Mutex::default() })
    }

    fn digest(&self, attempt: &Attempt<'_>) -> [u8; 32] {
        let name = attempt.name;
        let hash = Sha256::new().chain_update(self.key).chain_update(name.len().to_be_bytes());
        // EXPOSE: the password is digested under a key of this process, to be known again.
        hash.chain_update(name).chain_update(attempt.password.expose()).finalize().into()
    }
}

impl Vault {
    /// Checks a name and a password. An unknown name, a wrong password and an account that is shut
    /// out take the same time and get the same answer.
    ///
    /// # Errors
    /// [`VaultError::WrongPassword`]; [`VaultError::TooManyAttempts`] after too many of these;
    /// [`VaultError::Overloaded`] when too many hash at once.
    pub fn sign_in(&self, attempt: &Attempt<'_>) -> Result<SignedIn, VaultError> {
        let (now, throttle) = (self.clock.now(), &self.sign_in.throttle);
        if let Some(seconds) = throttle.wait(attempt.name, attempt.address, now) {
            return Err(VaultError::TooManyAttempts { seconds });
        }
        let found = self.rights.named(PrincipalKind::User, attempt.name);
        let password = found.as_ref().and_then(|found| found.record.password.as_deref());
        let hash = password.and_then(|encoded| PasswordHash::decode(encoded).ok());
        let hash = hash.unwrap_or_else(PasswordHash::decoy);
        let slot = self.hashing.enter()?;
        let right = hash.verify(attempt.password).map_err(|_| VaultError::Overloaded)?;
        drop(slot);
        match found.filter(|found| right && !found.record.disabled) {
            Some(found) => {
                throttle.succeeded(attempt.name, attempt.address, now);
                Ok(SignedIn::new(&found.record))
            }
            None => {
                throttle.failed(attempt.name, attempt.address, now);
                Err(VaultError::WrongPassword)
            }
        }
    }

    /// As [`Vault::sign_in`], for clients that send the password with each request: one that was
    /// right a moment ago is known again, without being hashed.
    ///
    /// # Errors
    /// As [`Vault::sign_in`].
    pub fn sign_in_again(&self, attempt: &Attempt<'_>) -> Result<SignedIn, VaultError> {
        if let Some(signed_in) = self.known_again(attempt) {
            return Ok(signed_in);
        }
        let signed_in = self.sign_in(attempt)?;
        let now = self.clock.now();
        let mut remembered = self.sign_in.remembered.lock();
        remembered.retain(|_, known| known.until > now);
        if remembered.len() < MAX_REMEMBERED {
            let until = now.plus_seconds(REMEMBERED_SECONDS);
            remembered.insert(self.sign_in.digest(attempt), Remembered { signed_in, until });
        }
        Ok(signed_in)
    }

    /// Whether a password was right a moment ago.
    pub fn known_again(&self, attempt: &Attempt<'_>) -> Option<SignedIn> {
        let digest = self.sign_in.digest(attempt);
        let remembered = self.sign_in.remembered.lock();
        let known = remembered.get(&digest).filter(|known| known.until > self.clock.now())?;
        let signed_in = known.signed_in;
        self.signed_in_actor(&signed_in).map(|_| signed_in)
    }

    /// The actor that someone who has signed in is, unless the account was shut out or has another
    /// password by now.
    pub fn signed_in_actor(&self, signed_in: &SignedIn) -> Option<Actor> {
        let found = self.rights.principal(signed_in.uid)?;
        if SignedIn::new(&found.record) == *signed_in {
            self.rights.principal_actor(signed_in.uid)
        } else {
            None
        }
    }

    /// Makes the token of someone who has signed in.
    ///
    /// # Errors
    /// When they were shut out meanwhile, or have too many tokens.
    pub fn start_session(
        &self,
        signed_in: &SignedIn,
        expires: Timestamp,
        jwt: bool,
    ) -> Result<MintedToken, VaultError> {
        self.signed_in_actor(signed_in).ok_or(VaultError::WrongPassword)?;
        self.create_session(signed_in.uid, expires, jwt)
    }

    /// Lets a user choose another password, who knows the present one. Whoever else has signed in
    /// as them is out.
    ///
    /// # Errors
    /// As [`Vault::sign_in`]; when the asking actor is another user, or the new password is weak.
    pub fn change_own_password(
        &self,
        actor: &Actor,
        present: &Attempt<'_>,
        new: &Plaintext,
    ) -> Result<(), VaultError> {
        if actor.is_narrowed() {
            return Err(VaultError::NotPermitted(Denied::Forbidden));
        }
        let name = PrincipalName::parse(present.name)?;
        let uid = self.own_principal(actor);
        let found = self.rights.named(PrincipalKind::User, name.as_str());
        let found = found.filter(|found| Some(found.record.uid) == uid);
        let uid = found.ok_or(VaultError::NotFound)?.record.uid;
        self.sign_in(present).map_err(|error| match error {
            VaultError::WrongPassword => {
                Invalid::new("currentPassword", "must be your present password").into()
            }
            other => other,
        })?;
        let keep = actor.token().map(|token| token.id);
        self.replace_password(uid, &name, new, actor.basis(), keep)
    }

    /// Whether a name is a user's: only then may it be written down, since what is sent as a name
    /// may be a password.
    pub fn is_user(&self, name: &str) -> bool {
        self.rights.named(PrincipalKind::User, name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_than_two_hash_at_once() {
        let (gate, most, now) = (
            Arc::new(Hashing::default()),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (gate, most, now) = (gate.clone(), most.clone(), now.clone());
                std::thread::spawn(move || {
                    let _slot = gate.enter().ok().unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    }
}
