//! Tests of this binary that turn red when a shard-node is wrong in a certain way.

use shardline_daemon::sabotage::must_be_found;

#[test]
fn planted_bugs_are_found() {
    must_be_found(
        "acknowledges-before-the-commit",
        "sends::while_the_database_is_down_nothing_is_stored_and_then_it_goes_on",
    );
    must_be_found(
        "acknowledges-an-unknown-commit",
        "sends::an_unknown_commit_is_settled_and_never_doubled",
    );
    must_be_found(
        "relayed-before-the-bus-has-it",
        "restart::what_the_bus_took_without_a_word_is_relayed_after_a_restart",
    );
    must_be_found("relayed-past-a-hole", "restart::what_the_bus_took_and_lost_goes_again");
    must_be_found("joins-a-read-that-began", "reads::an_answer_is_never_older_than_its_question");
    must_be_found("the-last-cursor-wins", "members::cursors_merge_by_maximum_and_survive");
    must_be_found(
        "memberships-without-versions",
        "outbox::a_late_fact_does_not_revive_what_was_left",
    );
}
