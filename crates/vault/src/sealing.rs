//! Sealing and opening records, with every use of a key reserved durably before it is made.

use crypto::{Keyring, OpenError, PayloadContext, RewrapError, SealError, SealedVersion};
use domain::{Malformed, Payload, Revision, SecretType, Uid};
use store::{Commit, Key, Precondition, WrappedKeys};

use crate::{Vault, VaultError};

/// How many uses the next reservation takes: few at first, so that a daemon that restarts in a
/// loop does not use a key up, and more for one that writes a lot.
pub(crate) struct NextBlock(u64);

const SMALLEST_BLOCK: u64 = 1 << 10;
const LARGEST_BLOCK: u64 = 1 << 16;

impl Default for NextBlock {
    fn default() -> Self {
        Self(SMALLEST_BLOCK)
    }
}

impl Vault {
    pub(crate) fn seal_record(&self, key: &Key, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let sealed =
            self.with_reservation(|keyring| keyring.seal_metadata(key.as_bytes(), plaintext));
        sealed.map(domain::Sealed::into_bytes)
    }

    pub(crate) fn seal_version(
        &self,
        context: &PayloadContext,
        payload: &Payload,
    ) -> Result<SealedVersion, VaultError> {
        let encoded = payload.encode();
        self.with_reservation(|keyring| keyring.seal_payload(context, &encoded))
    }

    /// Opens a sealed record and decodes it.
    pub(crate) fn open_record<T>(
        &self,
        key: &Key,
        sealed: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, VaultError> {
        let opened = self.keyring().open_metadata(key.as_bytes(), sealed);
        let opened = opened.map_err(|_| VaultError::Damaged)?;
        // EXPOSE: a record of names and times is decoded; it holds no value of a secret.
        decode(opened.expose()).map_err(|Malformed| VaultError::Damaged)
    }

    /// Reads a sealed record, opens and decodes it.
    pub(crate) fn read_record<T>(
        &self,
        key: &Key,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<(T, Revision)>, VaultError> {
        let Some(stored) = self.engine.read(key)? else { return Ok(None) };
        let record = self.open_record(key, &stored.value, decode)?;
        Ok(Some((record, stored.changed_at)))
    }

    /// Reads and opens one version's payload; none when its records are gone.
    pub(crate) fn read_payload(
        &self,
        uid: Uid,
        version: u64,
        kind: SecretType,
    ) -> Result<Option<Payload>, VaultError> {
        let context = PayloadContext { uid, version, kind };
        let mut seen = None;
        loop {
            let keys = self.engine.read(&Key::wrapped_keys(uid))?;
            let sealed = self.engine.read(&Key::payload(uid, version))?;
            let (Some(keys), Some(sealed)) = (keys, sealed) else { return Ok(None) };
            let wrapped = WrappedKeys::find(&keys.value, version);
            let Some(wrapped) = wrapped.map_err(|Malformed| VaultError::Damaged)? else {
                return Ok(None);
            };
            match self.keyring().open_payload(&context, wrapped, &sealed.value) {
                Ok(opened) => {
                    let payload = Payload::decode(kind, &opened);
                    return payload.map(Some).map_err(|Malformed| VaultError::Damaged);
                }
                // Between the two reads, or before the keyring was looked at, a rotation may have sealed
                // both anew: then they are read again.
                Err(_) if seen != Some(keys.written_at) => seen = Some(keys.written_at),
                Err(_) => return Err(VaultError::Damaged),
            }
        }
    }

    /// A version under a new data key and the current KEK.
    pub(crate) fn seal_anew(
        &self,
        context: &PayloadContext,
        wrapped_key: &[u8],
        payload: &[u8],
    ) -> Result<SealedVersion, VaultError> {
        let opened = self.keyring().open_payload(context, wrapped_key, payload);
        let opened = opened.map_err(|_| VaultError::Damaged)?;
        self.with_reservation(|keyring| keyring.seal_payload(context, &opened))
    }

    /// A version's data key under the current KEK, if it is under an older one.
    pub(crate) fn rewrap(
        &self,
        context: &PayloadContext,
        wrapped_key: &[u8],
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let rewrapped =
            self.with_reservation(|keyring| match keyring.rewrap(context, wrapped_key) {
                Ok(rewrapped) => Ok(Ok(rewrapped)),
                Err(RewrapError::Open(OpenError)) => Ok(Err(VaultError::Damaged)),
                Err(RewrapError::Seal(error)) => Err(error),
            });
        Ok(rewrapped??.map(domain::Sealed::into_bytes))
    }

    fn with_reservation<T>(
        &self,
        mut seal: impl FnMut(&Keyring) -> Result<T, SealError>,
    ) -> Result<T, VaultError> {
        loop {
            let keyring = self.keyring();
            match seal(&keyring) {
                Ok(sealed) => return Ok(sealed),
                Err(SealError::ReservationExhausted) => self.reserve_uses(&keyring)?,
                Err(SealError::Exhausted) => return Err(VaultError::KeysExhausted),
                Err(SealError::NoRandomness) => return Err(VaultError::NoRandomness),
                Err(SealError::TooLong) => return Err(VaultError::TooLarge),
            }
        }
    }

    /// Reserves the next block of uses: durably first, so that a crash skips uses and never
    /// repeats them.
    fn reserve_uses(&self, keyring: &Keyring) -> Result<(), VaultError> {
        let mut next = self.keys.reserving.lock();
        if keyring.uses_left() > 0 {
            return Ok(());
        }
        let key = Key::key_uses(keyring.current_kek().get());
        let stored = self.engine.read(&key)?;
        let reserved = match &stored {
            None => 0,
            Some(stored) => {
                let bytes = stored.value.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
                u64::from_be_bytes(bytes)
            }
        };
        let until = reserved.saturating_add(next.0);
        let mut commit = Commit::default();
        commit.require(match &stored {
            None => Precondition::Absent(key.clone()),
            Some(stored) => Precondition::WrittenAt(key.clone(), stored.written_at),
        });
        commit.put(key, until.to_be_bytes().to_vec());
        self.engine.commit(commit)?;
        keyring.set_uses(reserved, until);
        self.note_uses(keyring);
        next.0 = (next.0 * 2).min(LARGEST_BLOCK);
        Ok(())
    }
}
