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

macro_rules! claims {
    ($($claims:tt)*) => {
        each_claim!(shardline_backends::cursors::conformance, in_redis; $($claims)*);
    };
}

shardline_backends::cursors_claims!(claims);
