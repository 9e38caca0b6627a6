//! How often someone may be wrong: per account, and per address.
//!
//! An account that does not exist is counted like one that does, so that nothing is learnt from
//! being let wait. In memory: a restart forgets.

use std::collections::HashMap;
use std::net::IpAddr;

use domain::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// How often an account may fail before it has to wait.
const FREE_OF_ACCOUNT: u32 = 5;
/// How often an address may: several people may sit behind one.
const FREE_OF_ADDRESS: u32 = 20;
const LONGEST_WAIT_SECONDS: u64 = 900;
/// Failures are forgotten after this long without another.
const MEMORY_SECONDS: u64 = 3600;
const MAX_ENTRIES: usize = 10_000;

/// Who failed lately.
#[derive(Default)]
pub(crate) struct Throttle {
    accounts: Mutex<HashMap<Account, Failures>>,
    addresses: Mutex<HashMap<IpAddr, Failures>>,
    /// Who has signed in from where: a stranger's failures do not lock them out.
    known: Mutex<HashMap<Account, Timestamp>>,
}

/// A digest, since what was sent as a name may be a password. With the address for those who have
/// signed in from there before, so that others' failures are counted apart from theirs.
type Account = [u8; 32];

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn waits_until(&self, free: u32) -> Option<Timestamp> {
        let over = self.count.checked_sub(free)?;
        let seconds =
            1u64.checked_shl(over).map_or(LONGEST_WAIT_SECONDS, |s| s.min(LONGEST_WAIT_SECONDS));
        Some(self.last.plus_seconds(seconds))
    }
}

impl Throttle {
    /// How many seconds to wait before the next try, if any.
    pub(crate) fn wait(&self, name: &str, address: Option<IpAddr>, now: Timestamp) -> Option<u64> {
        let account = self.account(name, address);
        let account = self.accounts.lock().get(&account).copied();
        let account = account.and_then(|failures| failures.waits_until(FREE_OF_ACCOUNT));
        let address = address.and_then(|address| self.addresses.lock().get(&address).copied());
        let address = address.and_then(|failures| failures.waits_until(FREE_OF_ADDRESS));
        let until = account.max(address)?;
        let left = until.unix_millis().checked_sub(now.unix_millis())?;
        (left > 0).then(|| left.div_ceil(1000))
    }

    pub(crate) fn failed(&self, name: &str, address: Option<IpAddr>, now: Timestamp) {
        let account = self.account(name, address);
        count(&mut self.accounts.lock(), account, now);
        if let Some(address) = address {
            count(&mut self.addresses.lock(), address, now);
        }
    }

    pub(crate) fn succeeded(&self, name: &str, address: Option<IpAddr>, now: Timestamp) {
        let account = self.account(name, address);
        self.accounts.lock().remove(&account);
        if address.is_some() {
            let mut known = self.known.lock();
            make_room(&mut known, |seen| *seen);
            known.insert(digest(name, address), now);
        }
    }

    fn account(&self, name: &str, address: Option<IpAddr>) -> Account {
        let together = digest(name, address);
        match self.known.lock().contains_key(&together) {
            true => together,
            false => digest(name, None),
        }
    }
}

fn count<K: Copy + Eq + std::hash::Hash>(table: &mut HashMap<K, Failures>, key: K, now: Timestamp) {
    table.retain(|_, failures| failures.last.plus_seconds(MEMORY_SECONDS) > now);
    make_room(table, |failures| failures.last);
    let failures = table.entry(key).or_insert(Failures { count: 0, last: now });
    *failures = Failures { count: failures.count.saturating_add(1), last: now };
}

/// Lets the oldest entry go when there are too many.
fn make_room<K: Copy + Eq + std::hash::Hash, V>(
    table: &mut HashMap<K, V>,
    seen: impl Fn(&V) -> Timestamp,
) {
    if table.len() < MAX_ENTRIES {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, value)| seen(value)).map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        table.remove(&oldest);
    }
}

fn digest(name: &str, address: Option<IpAddr>) -> Account {
    let mut hash = Sha256::new().chain_update(name.len().to_be_bytes()).chain_update(name);
    if let Some(address) = address {
        hash = hash.chain_update(address.to_string());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::default().plus_seconds(1_000_000 + second)
    }

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::BROADCAST));

    #[test]
    fn an_account_waits_longer_each_time_and_is_forgiven_on_success_or_in_time() {
        let throttle = Throttle::default();
        for _ in 0..FREE_OF_ACCOUNT - 1 {
            throttle.failed("alice", None, at(0));
        }
        assert_eq!(throttle.wait("alice", None, at(0)), None);
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.failed("alice", None, at(0));
            waits.push(throttle.wait("alice", None, at(0)).unwrap());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(throttle.wait("alice", None, at(899)), Some(1));
        assert_eq!(throttle.wait("alice", None, at(900)), None);
        assert_eq!(throttle.wait("bob", None, at(0)), None);
        throttle.succeeded("alice", None, at(900));
        throttle.failed("alice", None, at(901));
        assert_eq!(throttle.wait("alice", None, at(901)), None);
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits_and_others_do_not() {
        let throttle = Throttle::default();
        for number in 0..FREE_OF_ADDRESS {
            throttle.failed(&format!("user{number}"), HERE, at(0));
        }
        assert_eq!(throttle.wait("somebody", HERE, at(0)), Some(1));
        assert_eq!(throttle.wait("somebody", THERE, at(0)), None);
    }

    #[test]
    fn a_stranger_does_not_lock_out_who_has_signed_in_from_elsewhere() {
        let throttle = Throttle::default();
        throttle.succeeded("alice", HERE, at(0));
        for _ in 0..10 {
            throttle.failed("alice", THERE, at(1));
        }
        assert!(throttle.wait("alice", THERE, at(1)).is_some());
        assert_eq!(throttle.wait("alice", HERE, at(1)), None);
        for _ in 0..10 {
            throttle.failed("alice", HERE, at(1));
        }
        assert!(throttle.wait("alice", HERE, at(1)).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let throttle = Throttle::default();
        for _ in 0..FREE_OF_ACCOUNT + 3 {
            throttle.failed("alice", None, at(1));
        }
        for number in 0..50 {
            throttle.failed(&format!("user{number}"), None, at(2));
        }
        assert!(throttle.accounts.lock().len() <= MAX_ENTRIES);
        assert!(throttle.wait("alice", None, at(2)).is_some());
        throttle.failed("bob", None, at(MEMORY_SECONDS + 10));
        assert_eq!(throttle.accounts.lock().len(), 1);
    }
}
