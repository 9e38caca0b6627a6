//! How old something may become: `90d`, `12h`.

use crate::{Invalid, Labels, Timestamp};

/// The label that says after what age a secret's value is to be replaced.
pub const ROTATE_AFTER: &str = "tresor.io/rotate-after";
const MAX_DIGITS: usize = 9;

/// A length of time: a whole number and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    seconds: u64,
}

impl Age {
    /// Reads a number from 1 up with `s`, `m`, `h`, `d` or `w` behind it.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong =
            || Invalid::new("age", "must be a whole number from 1 up with a unit s, m, h, d or w");
        let unit = match text.chars().next_back() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            Some('w') => 7 * 24 * 3600,
            _ => return Err(wrong()),
        };
        let number = text.strip_suffix(char::is_alphabetic).unwrap_or_default();
        let plain = number.len() <= MAX_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|n| plain && *n > 0).ok_or_else(wrong)?;
        Ok(Self { seconds: number * unit })
    }

    /// The instant that lies so far before another one.
    pub const fn before(self, now: Timestamp) -> Timestamp {
        let millis = self.seconds.saturating_mul(1000);
        Timestamp::from_unix_millis(now.unix_millis().saturating_sub(millis))
    }

    /// The instant that lies so far behind another one.
    pub const fn after(self, then: Timestamp) -> Timestamp {
        then.plus_seconds(self.seconds)
    }
}

impl Labels {
    /// After what age the value is to be replaced, where [`ROTATE_AFTER`] says so.
    pub fn rotate_after(&self) -> Option<Age> {
        Age::parse(self.as_map().get(ROTATE_AFTER)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        let day = Timestamp::from_unix_millis(86_400_000);
        for (text, seconds) in
            [("1s", 1), ("90m", 5400), ("12h", 43_200), ("1d", 86_400), ("2w", 1_209_600)]
        {
            let age = Age::parse(text).unwrap();
            assert_eq!(age.after(day), day.plus_seconds(seconds), "{text}");
        }
        assert_eq!(Age::parse("1d").unwrap().before(day), Timestamp::default());
        assert_eq!(Age::parse("2d").unwrap().before(day), Timestamp::default());
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1",
            "1.5d",
            "1 d",
            "1D",
            "1y",
            "1dd",
            "9999999999d",
            "\u{661}d",
        ] {
            assert!(Age::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_label_of_rotation_holds_an_age() {
        let labels = |value: &str| {
            Labels::parse(BTreeMap::from([(ROTATE_AFTER.to_owned(), value.to_owned())]))
        };
        assert_eq!(labels("90d").unwrap().rotate_after(), Some(Age::parse("90d").unwrap()));
        assert_eq!(labels("soon").unwrap_err().field, "metadata.labels");
        assert_eq!(Labels::default().rotate_after(), None);
    }
}
