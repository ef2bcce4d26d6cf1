//! Cursors keep their promises in memory and in Redis.

use crate::each_claim;
use crate::redis_server::Part;
use shardline_backends::cursors::conformance::Subject;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::cursors::redis::RedisCursors;
use std::sync::Arc;

async fn memory() -> Subject {
    let cursors = Arc::new(MemoryCursors::new());
    let held = Arc::clone(&cursors);
    Subject {
        other: cursors.clone(),
        cursors,
        wipe: Box::new(move || {
            held.wipe();
            Box::pin(async {})
        }),
    }
}

async fn real() -> Option<Subject> {
    let part = Part::new()?;
    let connect = || Arc::new(RedisCursors::new(part.settings.clone()).expect("the URL is one"));
    Some(Subject {
        cursors: connect(),
        other: connect(),
        wipe: Box::new(move || {
            let part = part.clone();
            Box::pin(async move { part.wipe().await })
        }),
    })
}

each_claim!(shardline_backends::cursors::conformance, in_redis;
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
