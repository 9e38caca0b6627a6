//! How often the current keys may still be used (FORMAT.md section 6).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::SealError;

/// The most uses of one key: with random 96-bit nonces the chance that two of them meet stays at
/// 2^-35.
pub const MAX_USES: u64 = 1 << 31;

/// Counts uses, up to a bound that the caller has stored durably.
///
/// Both numbers only grow, in whatever order calls arrive, so that a reservation made while others
/// seal never gives a use back.
#[derive(Default)]
pub(crate) struct UseCounter {
    taken: AtomicU64,
    reserved_until: AtomicU64,
}

impl UseCounter {
    /// Takes one use.
    pub(crate) fn take(&self) -> Result<(), SealError> {
        let bound = self.bound();
        let take_one = |taken: u64| (taken < bound).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one) {
            Ok(_) => Ok(()),
            Err(taken) if taken >= MAX_USES => Err(SealError::Exhausted),
            Err(_) => Err(SealError::ReservationExhausted),
        }
    }

    /// Counts everything below `from` as taken, and allows uses below `until`.
    pub(crate) fn reserve(&self, from: u64, until: u64) {
        // In this order, so that nobody takes a use below `from` out of the new reservation.
        self.taken.fetch_max(from, Ordering::Release);
        self.reserved_until.fetch_max(until, Ordering::Release);
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn left(&self) -> u64 {
        self.bound().saturating_sub(self.taken())
    }

    fn bound(&self) -> u64 {
        self.reserved_until.load(Ordering::Acquire).min(MAX_USES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_before_something_is_reserved() {
        let uses = UseCounter::default();
        assert_eq!(uses.take(), Err(SealError::ReservationExhausted));
        uses.reserve(0, 2);
        assert_eq!((uses.take(), uses.take()), (Ok(()), Ok(())));
        assert_eq!(uses.take(), Err(SealError::ReservationExhausted));
        assert_eq!((uses.taken(), uses.left()), (2, 0));
    }

    #[test]
    fn the_last_use_is_the_last() {
        let uses = UseCounter::default();
        uses.reserve(MAX_USES - 1, u64::MAX);
        assert_eq!(uses.left(), 1);
        assert_eq!(uses.take(), Ok(()));
        assert_eq!(uses.take(), Err(SealError::Exhausted));
    }

    #[test]
    fn a_late_reservation_gives_nothing_back() {
        let uses = UseCounter::default();
        uses.reserve(10, 20);
        uses.reserve(0, 15);
        assert_eq!((uses.taken(), uses.left()), (10, 10));
    }

    #[test]
    fn threads_never_take_more_than_was_reserved() {
        let uses = UseCounter::default();
        uses.reserve(0, 1000);
        let take_some = || (0..500).filter(|_| uses.take().is_ok()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take_some)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((taken, uses.left()), (1000, 0));
    }
}
