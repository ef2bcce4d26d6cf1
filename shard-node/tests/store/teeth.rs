//! Cases of the conformance suite that turn red when a store is wrong in a certain way.

use shardline_daemon::sabotage::must_be_found;

#[test]
fn planted_bugs_are_found() {
    must_be_found(
        "fences-without-a-lock",
        "mysql::mysql::a_takeover_lets_nothing_through_that_it_did_not_wait_for",
    );
    must_be_found(
        "settles-before-the-session-ended",
        "mysql::mysql::a_lost_commit_that_comes_late_changes_nothing_after_the_answer",
    );
    must_be_found(
        "moves-without-dedupe-keys",
        "sqlite::a_retry_finds_its_first_message_on_the_target",
    );
    must_be_found("writes-of-any-attempt", "sqlite::another_attempt_changes_nothing");
}
