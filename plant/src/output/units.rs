//! Durations, sizes and counts as people write and read them.

use std::time::Duration;

const KIB: f64 = 1024.0;

/// Reads `5`, `2.5s`, `250ms`, `1m` or `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "ms" => Some(1e-3),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    number
        .parse::<f64>()
        .ok()
        .zip(seconds_per_unit)
        .and_then(|(number, seconds)| Duration::try_from_secs_f64(number * seconds).ok())
        .ok_or_else(|| "write a duration such as 5, 2.5s, 250ms, 1m or 1h".to_owned())
}

/// Reads a duration that is not 0.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("give more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// `312 µs`, `1.53 ms`, `12.3 s`, `3 m 5 s`, `2 h 3 m` or `4 d 2 h`.
pub(crate) fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0 s".to_owned(),
        0 if duration < Duration::from_millis(1) => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", three_digits(duration.as_secs_f64() * 1e3)),
        1..MINUTE => format!("{} s", three_digits(duration.as_secs_f64())),
        MINUTE..HOUR => format!("{} m {} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{} h {} m", seconds / HOUR, seconds % HOUR / MINUTE),
        DAY.. => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// `812 B`, `1.5 KiB`, `12 MiB` or `3.2 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / KIB;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB"] {
        // From here on it would be shown as 1024.
        if scaled < KIB - 0.5 {
            break;
        }
        scaled /= KIB;
        unit = larger;
    }
    format!("{} {unit}", three_digits(scaled))
}

/// `1 key`, and `0 keys` or `12 keys`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {one}{ending}")
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// As many decimals as make three digits, without zeros at the end.
fn three_digits(number: f64) -> String {
    let decimals = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.decimals$}");
    if decimals == 0 {
        text
    } else {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_a_unit_or_as_seconds() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("2.5s", 2500),
            ("250ms", 250),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "-1",
            "nan",
            "inf",
            "1e400",
            "1 fortnight",
            "1m30s",
            "5 s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_timeout("0ms").is_err());
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        for (micros, shown) in [
            (0, "0 s"),
            (312, "312 µs"),
            (1_530, "1.53 ms"),
            (12_345, "12.3 ms"),
            (999_000, "999 ms"),
            (1_000_000, "1 s"),
            (12_345_678, "12.3 s"),
            (185_000_000, "3 m 5 s"),
            (7_380_000_000, "2 h 3 m"),
            (352_800_000_000, "4 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn one_of_a_kind_is_shown_in_the_singular() {
        let shown = [0, 1, 2].map(|count| counted(count, "key"));
        assert_eq!(shown, ["0 keys", "1 key", "2 keys"]);
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (8 << 20, "8 MiB"),
            ((1 << 20) - 1, "1 MiB"),
            (100 << 20, "100 MiB"),
            (3_435_973_837, "3.2 GiB"),
            (5 << 50, "5120 TiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}
