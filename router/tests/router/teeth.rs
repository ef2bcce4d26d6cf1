//! Tests of this binary that turn red when a router is wrong in a certain way.

use shardline_daemon::sabotage::must_be_found;

#[test]
fn planted_bugs_are_found() {
    must_be_found(
        "parked-writes-out-of-order",
        "moves::writes_of_a_moving_slot_are_stored_in_their_order_by_its_new_shard",
    );
    must_be_found(
        "presence-removes-a-delivery",
        "events::a_node_that_is_not_in_presence_gets_everything_until_it_says_so",
    );
}
