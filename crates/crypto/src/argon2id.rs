//! Argon2id (RFC 9106): the only module that names it, and what it may cost (FORMAT.md sections 4
//! and 10).

use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::NoMemory;
use crate::keys::KeyBytes;

pub(crate) const SALT_BYTES: usize = 16;

/// 32 bytes from a passphrase or password of 1 to 1,024 bytes.
pub(crate) fn derive(
    secret: &[u8],
    salt: &[u8; SALT_BYTES],
    cost: Argon2Cost,
) -> Result<KeyBytes, NoMemory> {
    let mut key = KeyBytes::zeroed();
    let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, None)
        .expect("a cost is within its bounds, which are narrower than Argon2's own");
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| NoMemory)?;
    memory.resize(params.block_count(), Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret, salt, key.as_mut_bytes(), memory.as_mut_slice())
        .expect("secret, salt and key have lengths that Argon2 takes");
    Ok(key)
}

/// What one derivation costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

/// What a reader takes: neither so weak that guessing is cheap, nor so high that reading does harm.
struct Bounds {
    memory_kib: RangeInclusive<u32>,
    iterations: RangeInclusive<u32>,
    lanes: RangeInclusive<u32>,
    /// Memory times iterations is no less.
    least_work: u64,
}

const ROOT_KEY: Bounds =
    Bounds { memory_kib: 65_536..=2_097_152, iterations: 3..=32, lanes: 1..=16, least_work: 0 };

const PASSWORD: Bounds = Bounds {
    memory_kib: 19_456..=1_048_576,
    iterations: 1..=10,
    lanes: 1..=4,
    least_work: 2 * 19_456,
};

impl Argon2Cost {
    /// For a root key: the second recommended option of RFC 9106 section 4, which is 64 MiB, 3
    /// passes, 4 lanes. It is also the least that is read or written.
    pub const RECOMMENDED: Self = Self { memory_kib: 1 << 16, iterations: 3, lanes: 4 };

    /// For the password of a user, who logs in beside others: 19 MiB, 2 passes, 1 lane, as OWASP's
    /// cheat sheet on password storage recommends.
    pub const PASSWORD: Self = Self { memory_kib: 19_456, iterations: 2, lanes: 1 };

    /// A cost that a slot names, when it is neither too weak nor beyond reason.
    pub(crate) fn checked(memory_kib: u32, iterations: u32, lanes: u32) -> Option<Self> {
        Self { memory_kib, iterations, lanes }.within(&ROOT_KEY)
    }

    /// A cost that a password's hash names, when it is neither too weak nor beyond reason.
    pub(crate) fn checked_for_password(
        memory_kib: u32,
        iterations: u32,
        lanes: u32,
    ) -> Option<Self> {
        Self { memory_kib, iterations, lanes }.within(&PASSWORD)
    }

    fn within(self, bounds: &Bounds) -> Option<Self> {
        let work = u64::from(self.memory_kib) * u64::from(self.iterations);
        let within = bounds.memory_kib.contains(&self.memory_kib)
            && bounds.iterations.contains(&self.iterations)
            && bounds.lanes.contains(&self.lanes)
            && work >= bounds.least_work;
        within.then_some(self)
    }

    /// The memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// How often the memory is gone through.
    pub const fn iterations(self) -> u32 {
        self.iterations
    }

    /// How many lanes the memory has.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference implementation gives: `printf 'correct horse' | argon2 "nobody's salt..."
    /// -id -t 2 -k 19456 -p 1 -l 32 -r`. OpenSSL agrees.
    #[test]
    fn the_reference_implementation_derives_the_same() {
        for (cost, expected) in [
            (
                Argon2Cost::PASSWORD,
                "f475be665ee27e1ad3525c0ecdf8209b1717fd5228a8ca220855f7fbae2872a1",
            ),
            (
                Argon2Cost { memory_kib: 38_912, iterations: 1, lanes: 4 },
                "1b5c22506ea36f50b65e08757d87c0797ae22b6ccdadfaf86044b348b573bb20",
            ),
            (
                Argon2Cost::RECOMMENDED,
                "d84005078f806c608e87159c795b7d1d67ad442c04e13c99167a42541f3add8f",
            ),
        ] {
            let key = derive(b"correct horse", b"nobody's salt...", cost).ok().unwrap();
            let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{cost:?}");
        }
    }

    #[test]
    fn a_cost_that_is_too_weak_or_beyond_reason_is_no_cost() {
        let Argon2Cost { memory_kib, iterations, lanes } = Argon2Cost::RECOMMENDED;
        assert!(Argon2Cost::checked(memory_kib, iterations, lanes).is_some());
        assert!(Argon2Cost::checked(1 << 21, 32, 16).is_some());
        for (memory_kib, iterations, lanes) in [
            (memory_kib - 1, iterations, lanes),
            (memory_kib, iterations - 1, lanes),
            (memory_kib, iterations, 0),
            ((1 << 21) + 1, iterations, lanes),
            (u32::MAX, u32::MAX, u32::MAX),
            (memory_kib, 33, lanes),
            (memory_kib, iterations, 17),
        ] {
            let cost = Argon2Cost::checked(memory_kib, iterations, lanes);
            assert_eq!(cost, None, "{memory_kib} {iterations} {lanes}");
        }
    }

    #[test]
    fn so_is_a_password_hashs() {
        let check = |(memory_kib, iterations, lanes)| {
            Argon2Cost::checked_for_password(memory_kib, iterations, lanes)
        };
        assert_eq!(check((19_456, 2, 1)), Some(Argon2Cost::PASSWORD));
        for fine in [(38_912, 1, 1), (1 << 20, 10, 4)] {
            assert!(check(fine).is_some(), "{fine:?}");
        }
        for wrong in [
            (19_455, 3, 1),
            (19_456, 1, 1),
            (38_911, 1, 1),
            (19_456, 0, 1),
            (19_456, 11, 1),
            (19_456, 2, 0),
            (19_456, 2, 5),
            ((1 << 20) + 1, 2, 1),
            (u32::MAX, u32::MAX, u32::MAX),
        ] {
            assert_eq!(check(wrong), None, "{wrong:?}");
        }
    }
}
