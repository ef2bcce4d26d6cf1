//! What the simulation has in place of the outside systems keeps the promises of the real ones: the store also
//! where an answer is lost, the others as long as nothing goes wrong.

use shardline_sim::climate::Climate;
use shardline_sim::redis::SimRedis;
use std::sync::Arc;
use std::time::Duration;

mod store {
    use async_trait::async_trait;
    use shardline_shard_node::store::Store;
    use shardline_shard_node::store::conformance::{self, Cut, Database, Wire};
    use shardline_sim::climate::{Climate, Fate};
    use shardline_sim::store::{Disk, SimStore};
    use std::sync::Arc;

    struct OnDisk {
        disk: Disk,
        climate: Climate,
    }

    impl OnDisk {
        fn new() -> OnDisk {
            let climate = Climate::default();
            let disk = Disk::new("a disk", climate.clone()).expect("an empty one");
            OnDisk { disk: disk.of_lost_commits(), climate }
        }
    }

    /// What becomes of the next call is foretold.
    struct Foretold(Climate);

    #[async_trait]
    impl Wire for Foretold {
        fn cut(&self, at: Cut) {
            self.0.foretell(match at {
                Cut::AtStatement => Fate::Fails,
                // A late one is ended before it comes.
                Cut::CommitLost | Cut::CommitLate(_) => Fate::OnItsWay,
                Cut::AnswerLost => Fate::Untold,
                Cut::CommitSlow(time) => Fate::Slow(time),
            });
        }

        async fn was_cut(&self) {
            while self.0.is_foretold() {
                tokio::task::yield_now().await;
            }
        }

        async fn end_sessions(&self) {
            self.0.foretell(Fate::Fails);
        }
    }

    #[async_trait]
    impl Database for OnDisk {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(SimStore::open(&self.disk).await.expect("the disk is there"))
        }

        async fn open_by_wire(&self) -> Option<(Arc<dyn Store>, Arc<dyn Wire>)> {
            Some((self.open().await, Arc::new(Foretold(self.climate.clone()))))
        }

        async fn another(&self) -> Box<dyn Database> {
            Box::new(OnDisk::new())
        }
    }

    macro_rules! cases {
        ($($file:ident::$case:ident),* $(,)?) => {$(
            #[tokio::test]
            async fn $case() {
                conformance::$file::$case(&OnDisk::new()).await;
            }
        )*};
    }

    shardline_shard_node::store_conformance!(cases);
}

mod catalog {
    use shardline_router::catalog::conformance;
    use shardline_router::catalog::sqlite::Memory;
    use shardline_router::catalog_checks;
    use shardline_sim::catalog::SimCatalog;
    use shardline_sim::climate::Climate;

    macro_rules! checks {
        ($($check:ident)+) => {$(
            #[tokio::test]
            async fn $check() {
                let memory = Memory::new().expect("an empty one");
                let open = || SimCatalog::open(&memory, Climate::default());
                let (a, b) = (open().expect("it is there"), open().expect("it is there"));
                conformance::$check(&a, &b).await;
            }
        )+};
    }

    catalog_checks!(checks);
}

/// In a module with a `suite` and a `subject`.
macro_rules! claims {
    ($($claim:ident($($argument:expr)?)),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $claim() {
                suite::$claim(&subject($($argument)?).await).await;
            }
        )*
    };
}

mod bus {
    use shardline_backends::bus::conformance::{self as suite, Subject};
    use shardline_sim::bus::SimBus;
    use shardline_sim::climate::Climate;
    use std::sync::Arc;

    async fn subject() -> Subject {
        let bus = Arc::new(SimBus::new(Climate::default()));
        Subject { bus, wipe: Box::new(|| Box::pin(async {})) }
    }

    shardline_backends::bus_claims!(claims);
}

/// One that runs as long as the test does.
#[allow(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
fn redis(life: Duration) -> Arc<SimRedis> {
    let redis = SimRedis::new(Climate::default(), life);
    let server = redis.clone();
    tokio::spawn(async move { server.serve().await });
    Arc::new(redis)
}

mod presence {
    use shardline_backends::presence::conformance::{
        self as suite, LONG_LIFE, SHORT_LIFE, Subject,
    };
    use std::time::Duration;

    async fn subject(life: Duration) -> Subject {
        let redis = super::redis(life);
        let wiped = redis.clone();
        let wipe = Box::new(move || {
            wiped.wipe();
            Box::pin(async {}) as _
        });
        Subject { reader: redis.clone(), presence: redis, wipe }
    }

    shardline_backends::presence_claims!(claims);
}

mod cursors {
    use shardline_backends::cursors::conformance::{self as suite, Subject};
    use shardline_backends::presence::ENTRY_LIFE;

    async fn subject() -> Subject {
        let redis = super::redis(ENTRY_LIFE);
        let wiped = redis.clone();
        let wipe = Box::new(move || {
            wiped.wipe();
            Box::pin(async {}) as _
        });
        Subject { cursors: redis.clone(), other: redis, wipe }
    }

    shardline_backends::cursors_claims!(claims);
}
