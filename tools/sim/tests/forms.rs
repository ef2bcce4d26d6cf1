//! What the simulation has in place of the outside systems keeps the promises of the real ones, as long as
//! nothing goes wrong.

mod store {
    use async_trait::async_trait;
    use shardline_shard_node::store::Store;
    use shardline_shard_node::store::conformance::{self, Database, Wire};
    use shardline_sim::climate::Climate;
    use shardline_sim::store::{Disk, SimStore};
    use std::sync::Arc;

    struct OnDisk(Disk);

    impl OnDisk {
        fn new() -> OnDisk {
            OnDisk(Disk::new("a disk", Climate::default()).expect("an empty one"))
        }
    }

    #[async_trait]
    impl Database for OnDisk {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(SimStore::open(&self.0).await.expect("the disk is there"))
        }

        async fn open_by_wire(&self) -> Option<(Arc<dyn Store>, Arc<dyn Wire>)> {
            None
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

macro_rules! claims {
    ($suite:path; $($claim:ident($($argument:expr)?)),* $(,)?) => {
        use $suite as suite;
        $(
            #[tokio::test]
            async fn $claim() {
                suite::$claim(&subject($($argument)?).await).await;
            }
        )*
    };
}

mod bus {
    use shardline_backends::bus::conformance::Subject;
    use shardline_sim::bus::SimBus;
    use shardline_sim::climate::Climate;
    use std::sync::Arc;

    async fn subject() -> Subject {
        let bus = Arc::new(SimBus::new(Climate::default()));
        Subject { bus, wipe: Box::new(|| Box::pin(async {})) }
    }

    claims!(shardline_backends::bus::conformance;
        the_topic_keeps_its_partitions(),
        each_partition_is_read_in_the_order_published(),
        without_a_committed_offset_reading_begins_at_the_end(),
        the_next_reader_begins_behind_the_finished_prefix(),
        two_readers_of_a_partition_both_get_everything(),
        a_changed_assignment_leaves_the_kept_partitions_alone(),
        giving_up_on_next_loses_nothing(),
        the_largest_record_fits_and_one_byte_more_does_not(),
        a_partition_that_is_not_there_is_a_failure(),
    );
}

mod presence {
    use shardline_backends::presence::conformance::{LONG_LIFE, SHORT_LIFE, Subject};
    use shardline_sim::climate::Climate;
    use shardline_sim::redis::SimRedis;
    use std::sync::Arc;
    use std::time::Duration;

    #[allow(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    async fn subject(life: Duration) -> Subject {
        let redis = SimRedis::new(Climate::default(), life);
        let (server, wiped) = (redis.clone(), redis.clone());
        tokio::spawn(async move { server.serve().await });
        let wipe = Box::new(move || {
            wiped.wipe();
            Box::pin(async {}) as _
        });
        let redis = Arc::new(redis);
        Subject { reader: redis.clone(), presence: redis, wipe }
    }

    claims!(shardline_backends::presence::conformance;
        entering_shows_the_node_and_leaving_hides_it(LONG_LIFE),
        a_node_is_named_once_until_its_last_connection_leaves(LONG_LIFE),
        entering_twice_is_entering_once(LONG_LIFE),
        a_late_leave_does_not_take_the_next_connection_away(LONG_LIFE),
        a_batch_is_answered_in_order(LONG_LIFE),
        what_nobody_refreshes_ends_by_itself(SHORT_LIFE),
        losing_everything_is_noticed_even_without_entries(LONG_LIFE),
        losing_everything_is_noticed_by_the_next_that_enters(LONG_LIFE),
        a_missing_entry_is_noticed_and_written_again(LONG_LIFE),
        who_never_began_is_told_so(LONG_LIFE),
        a_new_run_of_a_node_replaces_the_old_one(LONG_LIFE),
        calls_at_the_same_time_are_no_loss(LONG_LIFE),
    );
}

mod cursors {
    use shardline_backends::cursors::conformance::Subject;
    use shardline_backends::presence::ENTRY_LIFE;
    use shardline_sim::climate::Climate;
    use shardline_sim::redis::SimRedis;
    use std::sync::Arc;

    #[allow(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    async fn subject() -> Subject {
        let redis = SimRedis::new(Climate::default(), ENTRY_LIFE);
        let (server, wiped) = (redis.clone(), redis.clone());
        tokio::spawn(async move { server.serve().await });
        let wipe = Box::new(move || {
            wiped.wipe();
            Box::pin(async {}) as _
        });
        let redis = Arc::new(redis);
        Subject { cursors: redis.clone(), other: redis, wipe }
    }

    claims!(shardline_backends::cursors::conformance;
        a_cursor_only_grows(),
        the_order_of_merging_does_not_matter(),
        large_values_are_exact(),
        what_is_not_known_is_none_at_its_place(),
        members_of_one_chat_are_asked_for_at_once(),
        a_grown_cursor_is_dirty_until_flushed(),
        a_cursor_that_grew_during_its_flush_stays_dirty(),
        the_age_of_a_mark_is_that_of_its_first_growth(),
        a_small_limit_starves_nobody(),
        losing_everything_is_survived(),
    );
}
