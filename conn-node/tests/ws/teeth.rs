//! Tests of this binary that turn red when a conn-node is wrong in a certain way.

use shardline_daemon::sabotage::must_be_found;

#[test]
fn planted_bugs_are_found() {
    must_be_found("no-beacon", "delivery::the_last_event_that_was_lost_is_found_by_the_beacon");
}
