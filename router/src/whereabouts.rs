//! Asks presence where users are, with a deadline; while it is away, says so at once.

use crate::audience::Located;
use crate::metrics::PRESENCE_FAILURES;
use parking_lot::Mutex;
use shardline_backends::presence::Presence;
use shardline_domain::id::UserId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Deliveries wait for a look-up: past this it costs less to tell every node.
const LOOK_UP_TIME_MAX: Duration = Duration::from_millis(250);
/// After a failure presence is left alone for this long, so that deliveries do not crawl behind it.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Whereabouts {
    presence: Arc<dyn Presence>,
    /// Set while presence is away: when it is asked again.
    ask_again: Mutex<Option<Instant>>,
}

impl Whereabouts {
    pub(crate) fn new(presence: Arc<dyn Presence>) -> Whereabouts {
        Whereabouts { presence, ask_again: Mutex::default() }
    }

    /// Nothing is remembered: a look-up is good for the events that are there now.
    pub(crate) async fn of(&self, users: &[UserId]) -> Located {
        if users.is_empty() {
            return Some(HashMap::new());
        }
        let is_away = self.ask_again.lock().is_some_and(|at| Instant::now() < at);
        if is_away {
            return None;
        }
        let answer = tokio::time::timeout(LOOK_UP_TIME_MAX, self.presence.nodes_of(users)).await;
        let failure = match answer {
            Ok(Ok(nodes)) if nodes.len() == users.len() => {
                if self.ask_again.lock().take().is_some() {
                    info!("presence answers again");
                }
                return Some(users.iter().map(|user| user.get()).zip(nodes).collect());
            }
            Ok(Ok(_)) => "an answer for other users".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        metrics::counter!(PRESENCE_FAILURES).increment(1);
        if self.ask_again.lock().replace(Instant::now() + PAUSE).is_none() {
            warn!(failure, "presence is away; every conn-node gets every event");
        }
        None
    }
}
