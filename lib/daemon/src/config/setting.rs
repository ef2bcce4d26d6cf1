//! Values a setting can have, and how they are written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A type of setting.
pub trait Setting: Sized {
    /// # Errors
    /// What is wrong with the text, for the operator. It may repeat the text unless it is secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// As it would be written.
    fn show(&self) -> String;

    /// Stands for a value that was missing or wrong until all mistakes are reported; never used.
    fn placeholder() -> Self;
}

/// A duration, written `500ms`, `3s`, `2m` or `1h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(Duration);

impl Span {
    pub fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl Setting for Span {
    fn parse(text: &str) -> Result<Span, String> {
        let wrong = || format!("`{text}` is not a duration like 500ms, 3s, 2m or 1h");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).map(|ms| Span(Duration::from_millis(ms))).ok_or_else(wrong)
    }

    fn show(&self) -> String {
        let ms = self.0.as_millis();
        match ms {
            0 => "0s".to_owned(),
            _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
            _ => format!("{ms}ms"),
        }
    }

    fn placeholder() -> Span {
        Span(Duration::ZERO)
    }
}

/// Text is never repeated in a message: it may be a password.
impl Setting for String {
    fn parse(text: &str) -> Result<String, String> {
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
    }

    fn show(&self) -> String {
        self.clone()
    }

    fn placeholder() -> String {
        String::new()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<PathBuf, String> {
        String::parse(text).map(PathBuf::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }

    fn placeholder() -> PathBuf {
        PathBuf::new()
    }
}

impl Setting for bool {
    fn parse(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn placeholder() -> bool {
        false
    }
}

impl Setting for SocketAddr {
    fn parse(text: &str) -> Result<SocketAddr, String> {
        text.parse().map_err(|_| format!("`{text}` is not an address like 127.0.0.1:8111"))
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn placeholder() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn parse(text: &str) -> Result<$number, String> {
                text.parse().map_err(|_| {
                    format!("`{text}` is not a whole number from {} to {}", Self::MIN, Self::MAX)
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn placeholder() -> $number {
                0
            }
        }
    )*};
}

whole_number!(u16, u32, u64, usize, i64);

impl Setting for f64 {
    fn parse(text: &str) -> Result<f64, String> {
        let number: Option<f64> = text.parse().ok();
        number.filter(|n| n.is_finite()).ok_or_else(|| format!("`{text}` is not a number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn placeholder() -> f64 {
        0.0
    }
}

/// Comma-separated; an array in the file. The empty text is the empty list.
impl<T: Setting> Setting for Vec<T> {
    fn parse(text: &str) -> Result<Vec<T>, String> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        text.split(',').map(|part| T::parse(part.trim())).collect()
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(",")
    }

    fn placeholder() -> Vec<T> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_span(text: &str, expected_ms: Option<u64>) {
        let span = Span::parse(text).ok();
        assert_eq!(span, expected_ms.map(|ms| Span(Duration::from_millis(ms))), "{text}");
    }

    #[test]
    fn a_span_has_a_number_and_a_unit() {
        check_span("500ms", Some(500));
        check_span("3s", Some(3_000));
        check_span("2m", Some(120_000));
        check_span("1h", Some(3_600_000));
        for bad in ["", "3", "s", "-1s", "1.5s", "3 s", "1d", "99999999999999999999s"] {
            check_span(bad, None);
        }
        check_span("18446744073709551615h", None);
    }

    #[test]
    fn a_span_is_shown_as_it_is_written() {
        for text in ["0s", "1ms", "1500ms", "3s", "2m", "1h"] {
            assert_eq!(Span::parse(text).map(|span| span.show()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_list_is_separated_by_commas() {
        assert_eq!(Vec::<u32>::parse("1, 2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u32>::parse(""), Ok(vec![]));
        assert!(Vec::<u32>::parse("1,,2").is_err());
    }

    #[test]
    fn a_wrong_text_is_not_repeated() {
        assert_eq!(String::parse(""), Err("it is empty".to_owned()));
    }
}
