//! The routers that live, as the catalog numbers their list, and which bus partitions are whose.

use crate::catalog::{CatalogError, CatalogStore, Router};
use crate::metrics::{OWNED_PARTITIONS, ROUTER_LIST_NUMBER};
use arc_swap::{ArcSwap, Guard};
use shardline_daemon::health::ReadyFlag;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::rendezvous;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::internal::{RouterInfo, RouterList};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);
/// A router that was not heard from for this long leaves the list: three heartbeats were lost.
const LIFE: Duration = Duration::from_secs(2);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// A stopping router says so, but does not wait long for a catalog that is away.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

/// One list, and what follows from it for this router.
#[derive(Default, Clone, PartialEq, Debug)]
pub struct Ownership {
    pub list: RouterList,
    /// By partition.
    mine: Vec<bool>,
}

impl Ownership {
    pub fn new(me: &str, partitions: Partitions, number: u64, routers: &[Router]) -> Ownership {
        let ids: Vec<&str> = routers.iter().map(|router| router.id.as_str()).collect();
        let owners = rendezvous::owners(partitions, &ids);
        let mine = owners.iter().map(|owner| owner.is_some_and(|index| ids[index] == me));
        let info =
            |router: &Router| RouterInfo { id: router.id.clone(), address: router.address.clone() };
        Ownership {
            mine: mine.collect(),
            list: RouterList {
                number,
                routers: routers.iter().map(info).collect(),
                partitions: partitions.count(),
            },
        }
    }

    /// The partitions this router consumes.
    pub fn partitions(&self) -> Vec<u32> {
        (0u32..).zip(&self.mine).filter(|(_, mine)| **mine).map(|(number, _)| number).collect()
    }
}

/// The newest known list. Reading takes no lock.
pub struct Routers {
    me: Router,
    partitions: Partitions,
    current: ArcSwap<Ownership>,
    changed: watch::Sender<u64>,
}

impl Routers {
    pub fn new(me: Router, partitions: Partitions) -> Routers {
        Routers { me, partitions, current: ArcSwap::default(), changed: watch::Sender::new(0) }
    }

    /// This router's.
    pub fn id(&self) -> &str {
        &self.me.id
    }

    pub fn load(&self) -> Guard<Arc<Ownership>> {
        self.current.load()
    }

    pub fn partitions(&self) -> Partitions {
        self.partitions
    }

    /// Whether everything about this slot's chats goes through this router.
    pub fn owns(&self, slot: Slot) -> bool {
        let partition = slot.partition(self.partitions);
        let current = self.current.load();
        usize::try_from(partition).is_ok_and(|index| current.mine.get(index) == Some(&true))
    }

    /// The number of the newest list.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a list if it is newer than the known one.
    pub fn apply(&self, number: u64, routers: &[Router]) {
        if number <= self.current.load().list.number {
            return;
        }
        let ownership = Ownership::new(&self.me.id, self.partitions, number, routers);
        let owned = ownership.partitions().len();
        info!(number, routers = routers.len(), owned, "the router list changed");
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        {
            metrics::gauge!(OWNED_PARTITIONS).set(owned as f64);
            metrics::gauge!(ROUTER_LIST_NUMBER).set(number as f64);
        }
        self.current.store(Arc::new(ownership));
        self.changed.send_replace(number);
    }
}

/// Says that this router lives, and learns who else does, until `stop`; then leaves the list and takes
/// the one without itself.
///
/// While another process has this router's id, it waits, not ready, and owns nothing. One that had the
/// id and lost it (it was silent for its whole life) stops its process: whatever it still did would be
/// done twice.
pub async fn keep(
    routers: Arc<Routers>,
    boot: u64,
    catalog: Arc<dyn CatalogStore>,
    ready: ReadyFlag,
    lifecycle: Lifecycle,
) {
    ready.not_ready("waiting for the catalog");
    let stop = lifecycle.token();
    let mut was_told = String::new();
    loop {
        let beat = catalog.heartbeat(&routers.me, boot, LIFE);
        let beat = tokio::time::timeout(ANSWER_TIME_MAX, beat);
        let answer = tokio::select! {
            () = stop.cancelled() => break,
            answer = beat => answer,
        };
        let no_answer = |_| Err(CatalogError::Unavailable("no answer".to_owned()));
        match answer.unwrap_or_else(no_answer) {
            Ok(list) => {
                was_told.clear();
                routers.apply(list.number, &list.routers);
                ready.ready();
            }
            Err(error @ CatalogError::IdTaken { .. }) if routers.load().list.number != 0 => {
                return lifecycle.fail(format!("this router was replaced: {error}"));
            }
            Err(error) => {
                let error = error.to_string();
                if was_told.is_empty() {
                    warn!(error, "no heartbeat; going on with what is known");
                }
                if routers.load().list.number == 0 {
                    ready.not_ready(error.clone());
                }
                was_told = error;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEARTBEAT_EVERY) => {}
        }
    }
    let leave = async {
        catalog.leave(&routers.me.id, boot).await?;
        catalog.routers().await
    };
    match tokio::time::timeout(LEAVE_TIME_MAX, leave).await {
        // From now on this router owns nothing and says who does.
        Ok(Ok(list)) => routers.apply(list.number, &list.routers),
        _ => warn!("the catalog does not know that this router leaves; it drops out by itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(id: &str) -> Router {
        Router { id: id.to_owned(), address: format!("{id}:1") }
    }

    #[test]
    fn two_routers_share_the_partitions_without_overlap() {
        let partitions = Partitions::new(16).expect("a power of two");
        let list = [router("a"), router("b")];
        let mut owned: Vec<u32> = ["a", "b"]
            .iter()
            .flat_map(|me| Ownership::new(me, partitions, 1, &list).partitions())
            .collect();
        owned.sort_unstable();
        assert_eq!(owned, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn a_router_that_is_not_on_the_list_owns_nothing() {
        let partitions = Partitions::new(16).expect("a power of two");
        assert!(Ownership::new("c", partitions, 1, &[router("a")]).partitions().is_empty());
    }

    #[test]
    fn an_older_list_is_not_taken() {
        let routers = Routers::new(router("a"), Partitions::new(16).expect("a power of two"));
        routers.apply(4, &[router("a")]);
        routers.apply(3, &[router("a"), router("b")]);
        assert_eq!(routers.load().list.number, 4);
        assert!(routers.owns(Slot::new(9).expect("a slot")));
    }
}
