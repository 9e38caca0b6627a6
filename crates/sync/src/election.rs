//! Who leads, judged as client-go's `leaderelection` does. Pure.
//!
//! The times in a Lease are other machines' and are never compared with ours. What counts is how
//! long ago, by our own clock, the record was last seen to change: a holder that has not renewed for
//! as long as its lease lasts holds it no more.

use std::time::Duration;

use domain::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use tokio::time::Instant;

/// So long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long acts no more, well before its lease ends.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// So often a leader renews and the others look.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// What one candidate knows.
#[derive(Debug)]
pub(crate) struct Election {
    identity: String,
    seen: Option<(LeaseSpec, Instant)>,
    renewed: Option<Instant>,
}

impl Election {
    /// A candidate of that name, which no other has.
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, seen: None, renewed: None }
    }

    /// Takes note of the record, and says whether it may be written: it is ours, nobody's, or was
    /// not renewed in time.
    pub(crate) fn may_take(&mut self, record: &LeaseSpec, now: Instant) -> bool {
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => now,
        };
        self.seen = Some((record.clone(), since));
        let holder = record.holder_identity.as_deref().unwrap_or_default();
        if holder != self.identity {
            self.renewed = None;
        }
        holder.is_empty() || holder == self.identity || now >= since + duration(record)
    }

    /// The record that makes us the holder, or says that we still are.
    pub(crate) fn record(&self, before: &LeaseSpec, wall: Timestamp) -> LeaseSpec {
        let held = before.holder_identity.as_ref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds(LEASE)),
            acquire_time: if held { before.acquire_time.clone() } else { micro_time(wall) },
            renew_time: micro_time(wall),
            lease_transitions: Some(if held { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    /// The record that lets the next one lead at once; none when we are not the holder.
    pub(crate) fn release(&self, before: &LeaseSpec, wall: Timestamp) -> Option<LeaseSpec> {
        (before.holder_identity.as_ref() == Some(&self.identity)).then(|| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: micro_time(wall),
            ..before.clone()
        })
    }

    /// Our record was written by a call that began then.
    pub(crate) fn renewed(&mut self, began: Instant) {
        self.renewed = Some(began);
    }

    /// Until when we lead, if we do, unless we renew again.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + RENEW_DEADLINE).filter(|deadline| now < *deadline)
    }
}

fn duration(record: &LeaseSpec) -> Duration {
    let seconds = record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LEASE, Duration::from_secs)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// For people to read, and for the record to change with each renewal.
fn micro_time(wall: Timestamp) -> Option<MicroTime> {
    let millis = i64::try_from(wall.unix_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok().map(MicroTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn candidate(name: &str) -> Election {
        Election::new(name.to_owned())
    }

    fn leads(candidate: &Election, now: Instant) -> bool {
        candidate.deadline(now).is_some()
    }

    fn held_by(name: &str, renewed: u64) -> LeaseSpec {
        candidate(name).record(&LeaseSpec::default(), wall(renewed))
    }

    #[test]
    fn what_nobody_holds_is_taken_at_once() {
        let (mut us, now) = (candidate("us"), Instant::now());
        assert!(us.may_take(&LeaseSpec::default(), now));
        let released = candidate("other").release(&held_by("other", 1), wall(2)).unwrap();
        assert!(us.may_take(&released, now));
        assert!(us.may_take(&held_by("us", 1), now));
    }

    #[test]
    fn another_s_lease_is_taken_only_when_it_was_not_seen_to_change_for_as_long_as_it_lasts() {
        let (mut us, start) = (candidate("us"), Instant::now());
        // However old the times in it are, it has only just been seen.
        assert!(!us.may_take(&held_by("other", 1), start));
        let almost = start + LEASE - Duration::from_millis(1);
        assert!(!us.may_take(&held_by("other", 1), almost));
        assert!(!us.may_take(&held_by("other", 2), almost));
        assert!(!us.may_take(&held_by("other", 2), start + LEASE));
        assert!(us.may_take(&held_by("other", 2), almost + LEASE));
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_its_lease_ends() {
        let (mut us, start) = (candidate("us"), Instant::now());
        us.renewed(start);
        assert!(leads(&us, start) && leads(&us, start + Duration::from_secs(9)));
        assert!(!leads(&us, start + RENEW_DEADLINE));
        assert_eq!(
            us.deadline(start + RENEW_DEADLINE),
            None,
            "a past deadline cuts attempts short"
        );
        assert!(RENEW_DEADLINE + RETRY < LEASE);
    }

    #[test]
    fn a_leader_that_sees_another_holder_stops_at_once() {
        let (mut us, now) = (candidate("us"), Instant::now());
        us.renewed(now);
        us.may_take(&held_by("other", 1), now);
        assert!(!leads(&us, now));
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired_and_a_take_over_is_counted() {
        let first = held_by("us", 1);
        assert_eq!(first.lease_transitions, Some(1));
        let again = candidate("us").record(&first, wall(5));
        assert_eq!(again.acquire_time, first.acquire_time);
        assert_ne!(again.renew_time, first.renew_time);
        let taken = candidate("other").record(&again, wall(9));
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(2), micro_time(wall(9))));
    }

    #[test]
    fn only_the_holder_releases() {
        assert!(candidate("us").release(&held_by("other", 1), wall(2)).is_none());
    }
}
