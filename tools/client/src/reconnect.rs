//! What the end of a connection means for the next one. Pure: the driver waits and connects.

use crate::frames::Closing;
use std::time::Duration;
use thiserror::Error;

/// Why a client connects no more.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Stop {
    #[error("it was closed here")]
    Here,
    #[error("the server closed with {code} {reason}")]
    Closed { code: u16, reason: String },
    /// The refresh token is no longer good.
    #[error("the session ended: {0}")]
    SessionEnded(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// After the delay that the server asked for, or the client's own backoff.
    Connect {
        delay: Option<Duration>,
    },
    /// The token is no longer good: renew it, then connect.
    Renew,
    Stop(Stop),
}

/// The first code that says "not like this"; below, from 4000, it says "again".
const NOT_LIKE_THIS: u16 = 4500;
const TOKEN_EXPIRED: u16 = 4501;

/// `code` and `reason` are of the close frame, `closing` is the frame that came before it; each may
/// be missing.
pub(crate) fn after_close(code: Option<u16>, reason: &str, closing: Option<&Closing>) -> After {
    let said = closing.and_then(|closing| u16::try_from(closing.code).ok());
    let code = code.filter(|code| 4000 <= *code).or(said);
    let never = match closing {
        Some(closing) => closing.retry == "never",
        None => code.is_some_and(|code| NOT_LIKE_THIS <= code),
    };
    if code == Some(TOKEN_EXPIRED) {
        return After::Renew;
    }
    if never {
        let reason = closing.map_or(reason, |closing| closing.reason.as_str()).to_owned();
        return After::Stop(Stop::Closed { code: code.unwrap_or(0), reason });
    }
    let delay = closing.map(|closing| Duration::from_millis(closing.retry_after_ms));
    After::Connect { delay }
}

/// The delays between attempts: doubling from `first` to `max`, spread by `random` in 0..1 so that
/// many clients do not come at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max, attempts: 0 }
    }

    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let whole = self.first.saturating_mul(1 << self.attempts.min(16)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * random)
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The delay the server asked for, spread upwards: earlier than asked helps nobody.
pub(crate) fn spread(asked: Duration, at_least: Duration, random: f64) -> Duration {
    asked + (asked / 2).max(at_least).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing(code: u32, retry: &str, retry_after_ms: u64) -> Closing {
        Closing { code, reason: "said".to_owned(), retry: retry.to_owned(), retry_after_ms }
    }

    fn check(code: Option<u16>, closing: Option<Closing>, expected: After) {
        assert_eq!(after_close(code, "framed", closing.as_ref()), expected);
    }

    #[test]
    fn a_draining_server_is_left_after_the_delay_it_gave() {
        let delay = Some(Duration::from_millis(700));
        check(Some(4000), Some(closing(4000, "now", 700)), After::Connect { delay });
        check(None, Some(closing(4003, "later", 700)), After::Connect { delay });
    }

    #[test]
    fn a_connection_that_just_ends_is_tried_again_by_the_clients_own_pace() {
        for code in [None, Some(1000), Some(1006), Some(1011), Some(4001), Some(4499)] {
            check(code, None, After::Connect { delay: None });
        }
    }

    #[test]
    fn an_expired_token_is_renewed() {
        check(Some(4501), None, After::Renew);
        check(Some(4501), Some(closing(4501, "never", 0)), After::Renew);
        check(None, Some(closing(4501, "never", 0)), After::Renew);
    }

    #[test]
    fn never_means_never() {
        for code in [4500, 4502, 4503, 4504, 4505, 4999] {
            let stop = |reason: &str| After::Stop(Stop::Closed { code, reason: reason.to_owned() });
            check(Some(code), None, stop("framed"));
            check(Some(code), Some(closing(u32::from(code), "never", 0)), stop("said"));
        }
    }

    #[test]
    fn delays_double_up_to_the_most_and_never_reach_zero() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<u128> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 50);
        assert_eq!(spread(Duration::from_secs(1), Duration::ZERO, 0.0), Duration::from_secs(1));
        assert_eq!(spread(Duration::ZERO, Duration::from_millis(200), 0.5).as_millis(), 100);
    }
}
