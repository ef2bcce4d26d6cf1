//! An outside identity provider in place of our own passwords: its keys, kept fresh, and whom its
//! tokens name. Who that is here is `accounts::outside`.

mod keys;
mod source;

pub use source::{KeySource, KeyUrl};

use crate::problem::{Answer, Problem};
use arc_swap::ArcSwapOption;
pub(crate) use keys::Claimed;
use keys::{KeySet, Rules, Unfit};
use shardline_daemon::clock;
use shardline_domain::error::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// An unknown key makes us look at most this often, however many tokens name one.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Before the first keys are known, look more often.
const LOOK_FIRST_EVERY: Duration = Duration::from_secs(2);

/// Which provider, and what its tokens must say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutsideConfig {
    pub source: KeySource,
    pub issuer: String,
    pub audience: String,
    /// The claim that is the user's name here. It must never be given to another person.
    pub name_claim: String,
    /// How often the keys are read anew.
    pub refresh_every: Duration,
}

pub(crate) struct Outside {
    source: KeySource,
    rules: Rules,
    refresh_every: Duration,
    keys: ArcSwapOption<KeySet>,
    /// When the keys were last asked for. Held while they are: one look at a time.
    looked_at: Mutex<Option<Instant>>,
}

impl Outside {
    pub(crate) fn new(config: &OutsideConfig) -> Outside {
        Outside {
            source: config.source.clone(),
            rules: Rules {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                name_claim: config.name_claim.clone(),
            },
            refresh_every: config.refresh_every,
            keys: ArcSwapOption::empty(),
            looked_at: Mutex::new(None),
        }
    }

    /// Whom the token names.
    ///
    /// # Errors
    /// `unauthenticated` for one that is not good; `unavailable` while no keys are known.
    pub(crate) async fn check(&self, token: &str) -> Answer<Claimed> {
        let mut verdict = self.verify(token);
        if matches!(verdict, None | Some(Err(Unfit::UnknownKey))) && self.look_again().await {
            verdict = self.verify(token);
        }
        let verdict = verdict.ok_or_else(|| {
            Problem::new(Code::Unavailable, "the identity provider's keys cannot be read now")
        })?;
        verdict.map_err(|unfit| Problem {
            field: Some("token".to_owned()),
            ..Problem::new(Code::Unauthenticated, unfit.to_string())
        })
    }

    /// None: there are no keys yet.
    fn verify(&self, token: &str) -> Option<Result<Claimed, Unfit>> {
        let keys = self.keys.load_full()?;
        Some(keys.verify(token, &self.rules, clock::now_ms()))
    }

    /// Reads the keys unless somebody did a moment ago; true if they are newer than before the call.
    async fn look_again(&self) -> bool {
        let asked_at = Instant::now();
        let mut looked_at = self.looked_at.lock().await;
        match *looked_at {
            // While this waited.
            Some(at) if asked_at <= at => true,
            Some(at) if Instant::now() < at + LOOK_AGAIN_AFTER => false,
            _ => {
                let is_read = self.look().await;
                *looked_at = Some(Instant::now());
                is_read
            }
        }
    }

    /// What was known stays known when the provider does not answer, or answers with nothing useful.
    async fn look(&self) -> bool {
        let read = source::read(&self.source).await;
        let keys = read.and_then(|json| KeySet::parse(&json).map_err(|error| error.to_string()));
        match keys {
            Ok(keys) => {
                if self.keys.swap(Some(Arc::new(keys))).is_none() {
                    info!(source = %self.source, "the identity provider's keys are known");
                }
                true
            }
            Err(reason) => {
                warn!(source = %self.source, reason, "the identity provider's keys cannot be read");
                false
            }
        }
    }

    /// The task: reads the keys now and then, until stopped.
    pub(crate) async fn keep(&self, stop: CancellationToken) {
        let keep = async {
            loop {
                {
                    let mut looked_at = self.looked_at.lock().await;
                    self.look().await;
                    *looked_at = Some(Instant::now());
                }
                let is_known = self.keys.load().is_some();
                sleep(if is_known { self.refresh_every } else { LOOK_FIRST_EVERY }).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep => {}
        }
    }
}
