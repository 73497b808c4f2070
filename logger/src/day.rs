//! A day in UTC: what rows are partitioned by.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECONDS: i64 = 86_400;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i32);

impl Day {
    /// The day that a moment is in.
    pub(crate) fn of(moment: Timestamp) -> Self {
        // A `Timestamp` is within 9,999 years of the epoch.
        Self(moment.as_second().div_euclid(SECONDS) as i32)
    }

    /// The day after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its name in a partition's: `20260115`.
    pub(crate) fn compact(self) -> String {
        self.to_string().replace('-', "")
    }

    /// Reads what [`Day::compact`] writes.
    pub(crate) fn from_compact(text: &str) -> Option<Self> {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
        let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
        let date = jiff::civil::Date::new(year, month as i8, day as i8).ok()?;
        let moment = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        digits.then(|| Self::of(moment))
    }
}

impl fmt::Display for Day {
    /// `2026-01-15`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp::from_second(i64::from(self.0) * SECONDS).unwrap_or_default();
        write!(f, "{}", start.to_zoned(TimeZone::UTC).date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_its_moments() {
        for (moment, day) in [
            ("2026-01-15T00:00:00Z", "2026-01-15"),
            ("2026-01-15T23:59:59.999999999Z", "2026-01-15"),
            ("2026-01-16T00:30:00+01:00", "2026-01-15"),
            ("1969-12-31T23:59:59Z", "1969-12-31"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
        ] {
            let moment: Timestamp = moment.parse().unwrap();
            assert_eq!(Day::of(moment).to_string(), day);
        }
    }

    #[test]
    fn its_compact_name_reads_back() {
        let day = Day::of("2026-01-31T10:30:00Z".parse().unwrap());
        assert_eq!(day.compact(), "20260131");
        assert_eq!(Day::from_compact("20260131"), Some(day));
        assert_eq!(day.next().compact(), "20260201");
        for other in ["", "2026", "20261301", "2026013x", "202601311", "older"] {
            assert_eq!(Day::from_compact(other), None, "{other}");
        }
    }
}
