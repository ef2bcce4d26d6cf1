//! What the Kafka client says about itself, without flooding the log while brokers are away.

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// At most one warning per client in this time; the rest is DEBUG.
const QUIET_TIME: Duration = Duration::from_secs(10);

pub(super) struct Complaints {
    role: &'static str,
    last: Mutex<Option<Instant>>,
}

impl Complaints {
    pub(super) fn new(role: &'static str) -> Complaints {
        Complaints { role, last: Mutex::new(None) }
    }

    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // The client repeats every error below through `error`.
        debug!(role = self.role, ?level, facility, text, "kafka client");
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let now = Instant::now();
        let mut last = self.last.lock();
        if last.is_none_or(|last| last + QUIET_TIME < now) {
            *last = Some(now);
            warn!(role = self.role, %error, reason, "kafka failed");
        } else {
            debug!(role = self.role, %error, reason, "kafka failed");
        }
    }
}
