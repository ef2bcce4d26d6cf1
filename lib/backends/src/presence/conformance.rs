//! What every form of presence must do. Each function is one claim; it panics where it is not kept.

use super::{Entry, Mark, NodeId, Presence, Standing};
use futures::future::{BoxFuture, join_all};
use shardline_domain::id::UserId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The life of entries where a claim waits for its end.
pub const SHORT_LIFE: Duration = Duration::from_millis(400);
pub const LONG_LIFE: Duration = Duration::from_secs(60);
/// How long a claim waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `$run!` with all claims, each with what its subject is made with.
#[macro_export]
macro_rules! presence_claims {
    ($run:ident) => {
        $run! {
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
        }
    };
}

/// A form under test, with nothing in it.
pub struct Subject {
    pub presence: Arc<dyn Presence>,
    /// Another process's view of the same; where there is but one process, the same again.
    pub reader: Arc<dyn Presence>,
    /// The outside system forgets everything.
    pub wipe: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

fn mark(node: &str, boot: u64) -> Mark {
    Mark { node: NodeId::parse(node).expect("a plain name"), boot }
}

fn user(number: u64) -> UserId {
    UserId::new(number).expect("in range")
}

fn entry(number: u64, connection: u64) -> Entry {
    Entry { user: user(number), connection }
}

impl Subject {
    async fn begin(&self, mark: &Mark) {
        self.presence.begin(mark).await.expect("the system is there");
    }

    async fn enter(&self, mark: &Mark, entries: &[Entry], expected: Standing) {
        let standing = self.presence.enter(mark, entries).await.expect("the system is there");
        assert_eq!(standing, expected, "enter {entries:?}");
    }

    async fn refresh(&self, mark: &Mark, entries: &[Entry], expected: Standing) {
        let standing = self.presence.refresh(mark, entries).await.expect("the system is there");
        assert_eq!(standing, expected, "refresh {entries:?}");
    }

    async fn leave(&self, mark: &Mark, entries: &[Entry]) {
        self.presence.leave(mark, entries).await.expect("the system is there");
    }

    async fn nodes(&self, number: u64) -> Vec<String> {
        let found = self.reader.nodes_of(&[user(number)]).await.expect("the system is there");
        assert_eq!(found.len(), 1);
        let mut names: Vec<String> = found[0].iter().map(ToString::to_string).collect();
        names.sort();
        names
    }
}

pub async fn entering_shows_the_node_and_leaving_hides_it(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Whole).await;
    assert_eq!(subject.nodes(7).await, ["a"]);
    subject.leave(&a, &[entry(7, 1)]).await;
    assert!(subject.nodes(7).await.is_empty());
    subject.leave(&a, &[entry(7, 1), entry(8, 1)]).await;
}

pub async fn a_node_is_named_once_until_its_last_connection_leaves(subject: &Subject) {
    let (a, b) = (mark("a", 1), mark("b", 1));
    subject.begin(&a).await;
    subject.begin(&b).await;
    subject.enter(&a, &[entry(7, 1), entry(7, 2)], Standing::Whole).await;
    subject.enter(&b, &[entry(7, 1)], Standing::Whole).await;
    assert_eq!(subject.nodes(7).await, ["a", "b"]);
    subject.leave(&a, &[entry(7, 1)]).await;
    assert_eq!(subject.nodes(7).await, ["a", "b"]);
    subject.leave(&a, &[entry(7, 2)]).await;
    assert_eq!(subject.nodes(7).await, ["b"]);
}

pub async fn entering_twice_is_entering_once(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1), entry(7, 1)], Standing::Whole).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Whole).await;
    subject.leave(&a, &[entry(7, 1)]).await;
    assert!(subject.nodes(7).await.is_empty());
}

pub async fn a_late_leave_does_not_take_the_next_connection_away(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Whole).await;
    subject.enter(&a, &[entry(7, 2)], Standing::Whole).await;
    subject.leave(&a, &[entry(7, 1)]).await;
    assert_eq!(subject.nodes(7).await, ["a"]);
    // Nor does one of the run before, which numbered its connections alike.
    subject.leave(&mark("a", 0), &[entry(7, 2)]).await;
    assert_eq!(subject.nodes(7).await, ["a"]);
}

pub async fn a_batch_is_answered_in_order(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    let there: Vec<Entry> =
        (1..=1_000).filter(|n| n % 3 == 0).map(|number| entry(number, number)).collect();
    subject.enter(&a, &there, Standing::Whole).await;
    subject.refresh(&a, &there, Standing::Whole).await;
    let users: Vec<UserId> = (1..=1_000).map(user).collect();
    let found = subject.reader.nodes_of(&users).await.expect("the system is there");
    assert_eq!(found.len(), users.len());
    for (user, nodes) in users.iter().zip(found) {
        assert_eq!(nodes.len(), usize::from(user.get() % 3 == 0), "{user:?}");
    }
    assert_eq!(subject.reader.nodes_of(&[]).await, Ok(Vec::new()));
    subject.enter(&a, &[], Standing::Whole).await;
}

/// With a subject of [`SHORT_LIFE`].
pub async fn what_nobody_refreshes_ends_by_itself(subject: &Subject) {
    let (dead, alive) = (mark("dead", 1), mark("alive", 1));
    subject.begin(&dead).await;
    subject.begin(&alive).await;
    subject.enter(&dead, &[entry(7, 1), entry(8, 2)], Standing::Whole).await;
    subject.enter(&alive, &[entry(7, 1)], Standing::Whole).await;
    let started = Instant::now();
    while subject.nodes(7).await != ["alive"] || !subject.nodes(8).await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "the dead node's entries are still there");
        sleep(SHORT_LIFE / 8).await;
        subject.refresh(&alive, &[entry(7, 1)], Standing::Whole).await;
    }
    // Its mark ended as well: a node that was paused so long learns of it.
    subject.refresh(&dead, &[], Standing::Lost).await;
}

pub async fn losing_everything_is_noticed_even_without_entries(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.refresh(&a, &[], Standing::Whole).await;
    (subject.wipe)().await;
    subject.refresh(&a, &[], Standing::Lost).await;
    // Until the node begins anew, whatever else it does.
    subject.refresh(&a, &[], Standing::Lost).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Lost).await;
    assert_eq!(subject.nodes(7).await, ["a"]);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1), entry(8, 2)], Standing::Whole).await;
    subject.refresh(&a, &[entry(7, 1), entry(8, 2)], Standing::Whole).await;
}

pub async fn losing_everything_is_noticed_by_the_next_that_enters(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Whole).await;
    (subject.wipe)().await;
    subject.enter(&a, &[entry(8, 2)], Standing::Lost).await;
}

pub async fn a_missing_entry_is_noticed_and_written_again(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    subject.enter(&a, &[entry(7, 1)], Standing::Whole).await;
    subject.refresh(&a, &[entry(7, 1), entry(8, 2)], Standing::Lost).await;
    assert_eq!(subject.nodes(8).await, ["a"]);
    subject.refresh(&a, &[entry(7, 1), entry(8, 2)], Standing::Whole).await;
}

pub async fn who_never_began_is_told_so(subject: &Subject) {
    let a = mark("a", 1);
    subject.enter(&a, &[entry(7, 1)], Standing::Lost).await;
    subject.refresh(&a, &[], Standing::Lost).await;
}

pub async fn a_new_run_of_a_node_replaces_the_old_one(subject: &Subject) {
    let (old, new) = (mark("a", 1), mark("a", 2));
    subject.begin(&old).await;
    subject.enter(&old, &[entry(7, 1)], Standing::Whole).await;
    subject.begin(&new).await;
    subject.refresh(&old, &[entry(7, 1)], Standing::Lost).await;
    subject.enter(&new, &[entry(8, 1)], Standing::Whole).await;
    subject.refresh(&new, &[entry(8, 1)], Standing::Whole).await;
}

pub async fn calls_at_the_same_time_are_no_loss(subject: &Subject) {
    let a = mark("a", 1);
    subject.begin(&a).await;
    for round in 0..20 {
        let entries: Vec<Entry> = (1..=20).map(|n| entry(n, round * 100 + n)).collect();
        let enters = entries.iter().map(|entry| {
            let one = std::slice::from_ref(entry);
            async { subject.enter(&a, one, Standing::Whole).await }
        });
        let refreshes = (0..5).map(|_| subject.refresh(&a, &[], Standing::Whole));
        tokio::join!(join_all(enters), join_all(refreshes));
        subject.refresh(&a, &entries, Standing::Whole).await;
    }
}
