//! The values of arguments, checked where they come in.

use shardline_domain::id::EntityId;
use std::str::FromStr;
use std::time::Duration;

/// A move's window: the follower has to keep up all the time.
const WINDOW_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// More users than people, so that a slip of the finger is noticed.
const USERS_MAX: f64 = 20e9;

/// An entity by its id, or a user by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Entity(EntityId),
    Name(String),
}

impl Target {
    pub(crate) fn entity(&self) -> u64 {
        match self {
            Target::Entity(entity) => entity.get(),
            Target::Name(_) => 0,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Target::Entity(_) => String::new(),
            Target::Name(name) => name.clone(),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        match text.strip_prefix('@') {
            Some("") => Err("a name follows the @".to_owned()),
            Some(name) => Ok(Target::Name(name.to_owned())),
            None => match text.parse() {
                Ok(entity) => Ok(Target::Entity(entity)),
                Err(error) => Err(format!("{error}; for a user's name write @{text}")),
            },
        }
    }
}

/// Bytes a second; 0: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate(pub(crate) u64);

/// How many, and as it was written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Users {
    pub(crate) text: String,
    pub(crate) count: f64,
}

pub(super) fn address(text: &str) -> Result<String, String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
    });
    if good { Ok(text.to_owned()) } else { Err("an address is like host:8111".to_owned()) }
}

/// As `address`, or the name of a shard in the one process that holds all of them.
pub(super) fn shard_address(text: &str) -> Result<String, String> {
    let number = text.strip_prefix("shard-").unwrap_or_default();
    match number.parse::<u32>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => address(text).map_err(|_| "an address is like host:8121, or shard-2".to_owned()),
    }
}

/// A number, and what follows it.
fn measure(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    Some((number, unit))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is like 90s, 30m, 1h or 0".to_owned();
    let (number, unit) = measure(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= WINDOW_MAX => Ok(time),
        _ => Err("a window is at most 7d".to_owned()),
    }
}

pub(super) fn rate(text: &str) -> Result<Rate, String> {
    if text == "off" {
        return Ok(Rate(0));
    }
    let wrong = || "bytes a second are like 8MiB, 500k or 1000000; without a limit: off".to_owned();
    let (number, unit) = measure(text).ok_or_else(wrong)?;
    let bytes = match unit.trim_end_matches("/s").to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * bytes;
    if !(1.0..=1e12).contains(&bytes) {
        return Err("a limit is from 1 to 1000G bytes a second; without one: off".to_owned());
    }
    // In range, so neither sign nor size is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(Rate(bytes as u64))
}

pub(super) fn users(text: &str) -> Result<Users, String> {
    let wrong = || "users are like 50000, 10M or 1B".to_owned();
    let (number, unit) = measure(text).ok_or_else(wrong)?;
    let times = match unit.to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "b" | "g" => 1e9,
        _ => return Err(wrong()),
    };
    let count = number * times;
    if !(1.0..=USERS_MAX).contains(&count) {
        return Err("there are 1 to 20B users".to_owned());
    }
    Ok(Users { text: text.to_owned(), count })
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && 0.0 < number => Ok(number),
        _ => Err("a number above 0 is wanted".to_owned()),
    }
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    match positive(text.trim_end_matches('%')) {
        Ok(number) if number <= 100.0 => Ok(number),
        _ => Err("a percentage is above 0 and at most 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_a_limit() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("30m", 1800), ("1.5h", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "h", "-1s", "8d", "1e9h", "1 h", "1..5h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_have_units_and_can_be_off() {
        for (text, bytes) in
            [("off", 0), ("1000", 1000), ("8MiB", 8 << 20), ("500k", 500_000), ("2MB/s", 2_000_000)]
        {
            assert_eq!(rate(text), Ok(Rate(bytes)), "{text}");
        }
        for text in ["", "0", "-1", "fast", "1x", "2000G", "0.5"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shard_is_at_an_address_or_is_named() {
        for good in ["10.0.0.7:8121", "host:1", "shard-0", "shard-2"] {
            assert_eq!(shard_address(good).as_deref(), Ok(good));
        }
        for bad in ["", "shard", "shard-", "shard-x", "shard--1", "host", "host:", ":1", "a/b:1"] {
            assert!(shard_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_counted_in_millions() {
        assert_eq!(users("10M").map(|users| users.count), Ok(1e7));
        assert_eq!(users("1b").map(|users| users.count), Ok(1e9));
        for text in ["0", "M", "100B", "ten"] {
            assert!(users(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_end_at_100() {
        assert_eq!(percent("60%"), Ok(60.0));
        for text in ["0", "101", "NaN", "inf", "-3"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
