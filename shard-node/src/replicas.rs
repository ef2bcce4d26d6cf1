//! Keeps asking each replica of the database whether it has what the primary has, so that copies do not
//! outrun it. A replica that cannot be asked holds nothing up: it gets no less behind by waiting.

use crate::fence::Fence;
use crate::metrics::REPLICA_LAG;
use crate::pressure::Pressure;
use crate::store::{Replica, StoreError};
use metrics::{Gauge, gauge};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long one question may wait for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

pub(crate) struct Watch {
    replica: Arc<dyn Replica>,
    pressure: Arc<Pressure>,
    fence: Arc<Fence>,
    lag: Gauge,
}

impl Watch {
    pub(crate) fn new(
        replica: Arc<dyn Replica>,
        pressure: Arc<Pressure>,
        fence: Arc<Fence>,
    ) -> Watch {
        let lag = gauge!(REPLICA_LAG, "replica" => replica.name().to_owned());
        Watch { replica, pressure, fence, lag }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let ended = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.fence.lost().cancelled() => {}
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&self) {
        let mut seen = true;
        loop {
            match self.look().await {
                Ok(()) => seen = true,
                Err(error) => {
                    if std::mem::take(&mut seen) {
                        let replica = self.replica.name();
                        tracing::warn!(replica, %error, "how far a replica is behind is not known");
                    }
                    self.pressure.replica_unseen(self.replica.name());
                    self.lag.set(f64::NAN);
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Until it has what its primary has now.
    async fn look(&self) -> Result<(), StoreError> {
        let name = self.replica.name();
        let goal = self.replica.goal().await?;
        self.pressure.replica_asked(name, self.fence.now());
        if let Some(goal) = goal {
            while !self.replica.has(&goal, ANSWER_WITHIN).await? {
                self.lag.set(self.pressure.replica_lag(name, self.fence.now()).as_secs_f64());
            }
        }
        let lag = self.pressure.replica_answered(name, self.fence.now());
        self.lag.set(lag.as_secs_f64());
        Ok(())
    }
}
