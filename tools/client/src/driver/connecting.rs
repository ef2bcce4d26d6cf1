//! From a lost connection to the next one, and the token that it needs.

use super::{Driver, SPREAD_AT_LEAST, Waiter};
use crate::connection::ConnectionError;
use crate::error::HttpError;
use crate::frames::Auth;
use crate::frames::client_frame::Call;
use crate::http::Session;
use crate::reconnect::{After, Stop, after_close, spread};
use crate::seen::State;
use std::time::Duration;
use tokio::time::Instant;

impl Driver {
    pub(super) fn connect(&mut self) {
        let token = self.session.lock().token.clone();
        let address = self.http.addresses()[self.address].clone();
        self.state.send_replace(State::Connecting);
        self.link.connect(self.http.dial(), address, token, &self.options);
    }

    pub(super) fn renew(&mut self) {
        let refresh_token = self.session.lock().refresh_token.clone();
        self.link.renew(self.http.clone(), refresh_token, &self.options);
    }

    pub(super) fn on_not_connected(&mut self, error: ConnectionError, now: Instant) {
        let why = error.to_string();
        match error {
            ConnectionError::Closed { code, reason, closing } => {
                self.closing = closing;
                self.on_lost(code, &reason, now);
            }
            _ => self.on_lost(None, &why, now),
        }
    }

    pub(super) fn on_lost(&mut self, code: Option<u16>, reason: &str, now: Instant) {
        self.sends.on_disconnected();
        let mut ended = Vec::new();
        let wanted = |waiter: &Waiter| matches!(waiter, Waiter::User(_) | Waiter::Opener { .. });
        self.requests.on_disconnected(wanted, |answer| ended.push(answer));
        for answer in ended {
            self.on_answer(answer, now);
        }
        let closing = self.closing.take();
        match after_close(code, reason, closing.as_ref()) {
            After::Stop(stop) => self.stop = Some(stop),
            After::Renew => {
                let delay = self.backoff.next(rand::random());
                self.wait(delay, "the token expired", now);
                self.link.idle();
                self.renew_at = now + delay;
            }
            After::Connect { delay } => {
                // Never sooner than the own pace: a server that closes at once must not be hammered.
                let own = self.backoff.next(rand::random());
                let delay = delay
                    .map_or(own, |asked| spread(asked, SPREAD_AT_LEAST, rand::random()).max(own));
                self.address = (self.address + 1) % self.http.addresses().len();
                let why = closing.map_or(reason.to_owned(), |closing| closing.reason);
                self.wait(delay, &why, now);
            }
        }
    }

    pub(super) fn wait(&mut self, delay: Duration, why: &str, now: Instant) {
        self.link.set_down(now + delay);
        self.state.send_replace(State::Waiting { why: why.to_owned(), retry_in: delay });
    }

    /// Milliseconds of our own clock, from an arbitrary start.
    pub(super) fn own_ms(&self, now: Instant) -> i64 {
        i64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(i64::MAX)
    }

    /// Renews when four fifths of what is left of the token have passed.
    pub(super) fn plan_renewal(&mut self, expires_at_ms: i64, now: Instant) {
        let left_ms = expires_at_ms - self.server_ahead_ms - self.own_ms(now);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        self.renew_at = now + (left * 4 / 5).max(Duration::from_secs(1));
    }

    pub(super) fn on_renewed(&mut self, result: Result<Session, HttpError>, now: Instant) {
        match result {
            Ok(session) => {
                let token = session.token.clone();
                self.plan_renewal(session.expires_at_ms, now);
                *self.session.lock() = session;
                if self.link.is_up() {
                    let deadline = now + self.options.call_deadline;
                    let auth = Call::Auth(Auth { token });
                    self.requests.push(auth, Waiter::Renewal, now, deadline);
                } else if self.link.due().is_none() {
                    self.link.set_down(now);
                }
            }
            Err(HttpError::Refused { status: 401, refused }) if !self.link.is_up() => {
                self.stop = Some(Stop::SessionEnded(refused.to_string()));
            }
            Err(error) if self.link.is_up() => {
                // The connection is good until the token expires; then the server says so.
                let _ = error;
                self.renew_at = now + self.backoff.next(rand::random());
            }
            Err(error) => {
                let delay = self.backoff.next(rand::random());
                let retry_in = delay;
                self.state.send_replace(State::Waiting { why: error.to_string(), retry_in });
                self.renew_at = now + delay;
            }
        }
    }
}
