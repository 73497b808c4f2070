//! Values with a unit: time spans and sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const TIME_UNITS: &[(&str, f64)] = &[
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
];

/// Smallest first within each family, so that the last exact one is the shortest to write.
const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const TIME_EXPECTED: &str = "a time span such as 2.5s, 250ms or 1m, or a number of seconds";
const BYTES_EXPECTED: &str = "a size such as 8MiB or 64KB, or a number of bytes";

/// A length of time: `2.5s`, `250ms`, `1m` (units us, ms, s, m, h, d) or a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// The span as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        if self.0 < Duration::from_secs(1)
            && nanoseconds != 0
            && nanoseconds.is_multiple_of(1_000_000)
        {
            write!(f, "{}ms", nanoseconds / 1_000_000)
        } else {
            write!(f, "{}s", self.0.as_secs_f64())
        }
    }
}

impl FromStr for TimeSpan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text);
        let scale = if unit.is_empty() {
            Some(1.0)
        } else {
            scale(TIME_UNITS, unit)
        };
        let number: Option<f64> = number.parse().ok();
        scale
            .zip(number)
            .and_then(|(scale, number)| Duration::try_from_secs_f64(number * scale).ok())
            .map(Self)
            .ok_or(UnitError(TIME_EXPECTED))
    }
}

/// A number of bytes: `8MiB`, `64KB` (KB is 1000, KiB is 1024 bytes) or a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size in bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size in KiB.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// A size in MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = BYTE_UNITS
            .iter()
            .rfind(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale))
            .unwrap_or(&BYTE_UNITS[0]);
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text);
        let scale = if unit.is_empty() {
            Some(1)
        } else {
            scale(BYTE_UNITS, unit)
        };
        scale
            .and_then(|scale| whole(number, scale).or_else(|| fraction(number, scale)))
            .map(Self)
            .ok_or(UnitError(BYTES_EXPECTED))
    }
}

/// A text that is not a value with a unit; says what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct UnitError(&'static str);

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    (text[..end].trim_end(), &text[end..])
}

fn scale<N: Copy>(units: &[(&str, N)], unit: &str) -> Option<N> {
    units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, scale)| *scale)
}

fn whole(number: &str, scale: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// `1.5GiB`: exact enough, since a fraction of a unit is a round figure to whoever writes it.
fn fraction(number: &str, scale: u64) -> Option<u64> {
    let bytes = number.parse::<f64>().ok()? * scale as f64;
    (number.contains('.') && bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

struct UnitVisitor {
    expected: &'static str,
}

impl Visitor<'_> for UnitVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

fn parse<'de, T: FromStr, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    let text = deserializer.deserialize_any(UnitVisitor { expected })?;
    text.parse()
        .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &expected))
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, TIME_EXPECTED)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, BYTES_EXPECTED)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_read_with_a_unit_or_as_seconds() {
        for (text, milliseconds) in [
            ("2.5s", 2_500),
            ("250ms", 250),
            ("1m", 60_000),
            ("2 h", 7_200_000),
            ("3", 3_000),
            ("0.25", 250),
        ] {
            assert_eq!(
                text.parse(),
                Ok(TimeSpan::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "s", "-1s", "1 fortnight", "nan", "1e400s", "1m30s"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn byte_sizes_read_with_a_unit_or_as_bytes() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("64KB", 64_000),
            ("64 kib", 65_536),
            ("1.5GiB", 3 << 29),
            ("512", 512),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::from_bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "8 megs",
            "18446744073709551616",
            "99999999TiB",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for milliseconds in [0, 1, 250, 999, 1_000, 1_500, 60_000, 86_400_001] {
            let span = TimeSpan::from_millis(milliseconds);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for bytes in [0, 1, 999, 1_000, 1_024, 64_000, 8 << 20, u64::MAX] {
            let size = ByteSize::from_bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(TimeSpan::from_millis(2_500).to_string(), "2.5s");
        assert_eq!(ByteSize::from_mib(8).to_string(), "8MiB");
    }
}
