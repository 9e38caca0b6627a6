//! Where keys and nonces come from: the one place that asks for random bytes.

use zeroize::Zeroizing;

use crate::NoRandomness;
use crate::hazmat::{KEY_BYTES, NONCE_BYTES};
use crate::keys::{DataKey, KeyBytes};

/// A nonce that nobody has seen: it cannot be copied, and sealing consumes it.
pub(crate) struct FreshNonce([u8; NONCE_BYTES]);

static_assertions::assert_not_impl_any!(FreshNonce: Clone, Copy);

impl FreshNonce {
    pub(crate) fn make() -> Result<Self, NoRandomness> {
        let mut bytes = [0; NONCE_BYTES];
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn into_bytes(self) -> [u8; NONCE_BYTES] {
        self.0
    }
}

const FRESH_BYTES: usize = KEY_BYTES + 2 * NONCE_BYTES;

/// What sealing one version takes.
pub(crate) struct Fresh {
    pub(crate) key: DataKey,
    pub(crate) payload_nonce: FreshNonce,
    pub(crate) wrap_nonce: FreshNonce,
}

impl Fresh {
    /// All three at once.
    pub(crate) fn make() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; FRESH_BYTES]);
        fill(bytes.as_mut_slice())?;
        // The lengths fit by construction; a mistake in them must never pass for random bytes.
        let (key, nonces) = bytes.split_first_chunk().ok_or(NoRandomness)?;
        let (payload_nonce, rest) = nonces.split_first_chunk().ok_or(NoRandomness)?;
        let (wrap_nonce, _) = rest.split_first_chunk().ok_or(NoRandomness)?;
        Ok(Self {
            key: DataKey::new(KeyBytes::copied_from(key)),
            payload_nonce: FreshNonce(*payload_nonce),
            wrap_nonce: FreshNonce(*wrap_nonce),
        })
    }
}

/// Fills `bytes` from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    #[cfg(test)]
    if scripted::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}

/// Randomness that repeats, for test vectors. It exists in this crate's own unit tests only.
#[cfg(test)]
pub(crate) mod scripted {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Runs `act` with bytes that depend on `seed` and on how many were drawn before.
    pub(crate) fn with_seed<T>(seed: u64, act: impl FnOnce() -> T) -> T {
        NEXT.set(Some(seed << 32));
        let outcome = act();
        NEXT.set(None);
        outcome
    }

    /// SHA-256 in counter mode, so that vectors look like what they stand for.
    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        let Some(mut counter) = NEXT.get() else { return false };
        for chunk in bytes.chunks_mut(32) {
            let block = ring::digest::digest(&ring::digest::SHA256, &counter.to_be_bytes());
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
            counter += 1;
        }
        NEXT.set(Some(counter));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_and_nonces_never_repeat() {
        let mut seen = HashSet::new();
        for _ in 0..500 {
            let nonce = FreshNonce::make().unwrap().into_bytes();
            let fresh = Fresh::make().unwrap();
            let key = fresh.key.as_bytes();
            let (low, high) = (key[..12].to_vec(), key[20..].to_vec());
            let nonces = [fresh.payload_nonce, fresh.wrap_nonce].map(|n| n.into_bytes().to_vec());
            for drawn in [nonce.to_vec(), low, high].into_iter().chain(nonces) {
                assert!(seen.insert(drawn));
            }
        }
    }
}
