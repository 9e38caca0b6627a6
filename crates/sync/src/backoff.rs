//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(30);

/// Doubles from half a second up to thirty seconds. Half of each delay is left to chance, so that
/// what failed together does not come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The delay before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = delay(self.attempts, chance());
        self.attempts = self.attempts.saturating_add(1);
        delay
    }

    /// Starts over, since something changed.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

fn delay(attempts: u32, chance: f64) -> Duration {
    let full = FIRST.saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(CAP);
    full / 2 + (full / 2).mul_f64(chance)
}

/// From 0 to 1. Without randomness there is no jitter, which is no reason to stop working.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_cap() {
        let millis: Vec<_> = (0..9).map(|n| delay(n, 1.0).as_millis()).collect();
        assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(delay(u32::MAX, 1.0), CAP);
    }

    #[test]
    fn half_of_it_is_chance() {
        assert_eq!(delay(1, 0.0), Duration::from_millis(500));
        assert_eq!(delay(1, 0.5), Duration::from_millis(750));
    }

    #[test]
    fn a_change_starts_it_over() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            assert!(backoff.next_delay() <= CAP);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
