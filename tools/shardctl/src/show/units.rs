//! Numbers as people read them.

use std::time::Duration;

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3.2 MB`.
pub(crate) fn bytes(number: u64) -> String {
    // For reading: three digits are shown.
    #[allow(clippy::cast_precision_loss)]
    let number = number as f64;
    format!("{}B", scaled(number))
}

/// Three digits and a unit: `1.2 k`, `35 T`.
pub(crate) fn scaled(number: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut number, mut unit) = (number, 0);
    while 999.5 <= number && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = if number < 9.95 && (0 < unit || number.fract() != 0.0) { 1 } else { 0 };
    format!("{number:.digits$} {}", UNITS[unit])
}

/// `12 s`, `2m 03s`, `5h 06m`.
pub(crate) fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment in milliseconds since 1970 as `2026-11-21 12:20:34.123`, in UTC.
pub(crate) fn moment(at_ms: i64) -> String {
    let (days, ms) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    // Eras of 400 years that begin with March: the leap day is the last of its year.
    let day = days + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_or_scaled() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 999, 1500, 35_040_000].map(bytes), ["0 B", "999 B", "1.5 kB", "35 MB"]);
        assert_eq!(scaled(999.7), "1.0 k");
        assert_eq!(scaled(3.504e15), "3.5 P");
    }

    #[test]
    fn times_have_two_units() {
        let shown = [5, 65, 3600, 18_420].map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(shown, ["5 s", "1m 05s", "1h 00m", "5h 07m"]);
    }

    #[test]
    fn moments_are_dates() {
        assert_eq!(moment(0), "1970-01-01 00:00:00.000");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00.000");
        assert_eq!(moment(1_795_264_834_123), "2026-11-21 12:40:34.123");
        assert_eq!(moment(-1), "1969-12-31 23:59:59.999");
    }
}
