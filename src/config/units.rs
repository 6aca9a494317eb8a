//! Times and sizes as people write them: `30s`, `64 MiB`. It must not know what
//! they are for.

use std::time::Duration;

/// Splits a number from its unit: `1.5 h` is 1.5 and `h`.
fn parts(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads `2s`, `500ms`, `1m`, `2h`, `7d` or a number of seconds.
///
/// # Errors
/// Says how a time is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write it like 2s, 500ms or 1m");
    let (number, unit) = parts(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" | "" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads `64 MiB`, `512KiB`, `1GB` or a number of bytes; at least 1.
///
/// # Errors
/// Says how a size is written.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it like 64MiB, 512KiB or 1GB");
    let (number, unit) = parts(text).ok_or_else(wrong)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        _ => return Err(wrong()),
    };
    // Whole numbers are exact; a fraction of a unit is rounded down to a byte.
    let whole = text.trim().split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    let bytes = if number.fract() == 0.0 {
        whole.parse::<u64>().ok().and_then(|n| n.checked_mul(factor))
    } else {
        let bytes = number * factor as f64;
        (bytes < 1e18).then_some(bytes as u64)
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// Writes a time so that [`duration`] reads the same again.
#[must_use]
pub fn show_duration(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// Writes a size so that [`size`] reads the same again.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        let read =
            [("2s", 2000), ("500ms", 500), ("1m", 60_000), ("1.5", 1500), ("2 h", 7_200_000)];
        for (text, ms) in read {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "2 weeks", "-1s", "1e400"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let read = [("1", 1), ("65536", 65_536), ("64MiB", 64 << 20), ("1.5 KiB", 1536)];
        for (text, bytes) in read.into_iter().chain([("2 GB", 2_000_000_000), ("3k", 3072)]) {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in
            ["", "0", "MiB", "-1", "1 parsec", "99999999999999999999", "18446744073709551615k"]
        {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["0s", "90s", "30s", "2m", "1h", "1500ms"] {
            let time = duration(text).unwrap();
            assert_eq!(duration(&show_duration(time)), Ok(time), "{text}");
        }
        for bytes in [1, 1023, 1024, 64 << 20, 3 << 30, (1 << 30) + 1] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes), "{bytes}");
        }
    }
}
