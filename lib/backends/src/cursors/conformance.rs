//! What every form of cursors must do. Each function is one claim; it panics where it is not kept.

use super::{Cursors, Mark};
use futures::future::{BoxFuture, join_all};
use shardline_domain::id::{ChatId, UserId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a claim waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

/// Calls `$run!` with all claims, each with what its subject is made with.
#[macro_export]
macro_rules! cursors_claims {
    ($run:ident) => {
        $run! {
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
        }
    };
}

/// A form under test, with nothing in it.
pub struct Subject {
    pub cursors: Arc<dyn Cursors>,
    /// Another process's view of the same; where there is but one process, the same again.
    pub other: Arc<dyn Cursors>,
    /// The outside system forgets everything.
    pub wipe: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

fn chat(number: u64) -> ChatId {
    ChatId::new(number).expect("in range")
}

fn user(number: u64) -> UserId {
    UserId::new(number).expect("in range")
}

fn mark(c: u64, u: u64, seq: u64) -> Mark {
    Mark { chat: chat(c), user: user(u), seq }
}

impl Subject {
    async fn merge(&self, marks: &[Mark]) -> Vec<u64> {
        self.cursors.merge(marks).await.expect("the system is there")
    }

    async fn get(&self, u: u64, chats: &[u64]) -> Vec<Option<u64>> {
        let chats: Vec<ChatId> = chats.iter().map(|number| chat(*number)).collect();
        self.other.get(user(u), &chats).await.expect("the system is there")
    }

    async fn dirty(&self, older_than: Duration) -> Vec<Mark> {
        let mut due = self.other.dirty(older_than, 1_000).await.expect("the system is there");
        due.sort();
        due
    }

    async fn flushed(&self, marks: &[Mark]) {
        self.other.flushed(marks).await.expect("the system is there");
    }
}

pub async fn a_cursor_only_grows(subject: &Subject) {
    assert_eq!(subject.merge(&[mark(1, 7, 5)]).await, [5]);
    assert_eq!(subject.merge(&[mark(1, 7, 3)]).await, [5]);
    assert_eq!(subject.merge(&[mark(1, 7, 10), mark(1, 7, 9), mark(2, 7, 1)]).await, [10, 10, 1]);
    assert_eq!(subject.get(7, &[1, 2]).await, [Some(10), Some(1)]);
    assert!(subject.merge(&[]).await.is_empty());
}

pub async fn the_order_of_merging_does_not_matter(subject: &Subject) {
    // Steps of a prime go through all of 1..=100, each time in another order.
    let merge_in_steps = |step: u64| async move {
        let mut last = 0;
        for turn in 0..100 {
            let seq = turn * step % 101 + 1;
            let held = subject.merge(&[mark(1, 7, seq)]).await[0];
            assert!(last.max(seq) <= held, "{held} after {last} and {seq}");
            last = held;
        }
    };
    join_all([3, 7, 13, 29, 57, 83, 97].map(merge_in_steps)).await;
    let highest = (0..100).map(|turn| turn * 3 % 101 + 1).max();
    assert!(highest <= subject.get(7, &[1]).await[0]);
    assert_eq!(subject.merge(&[mark(1, 7, 101)]).await, [101]);
}

pub async fn large_values_are_exact(subject: &Subject) {
    let large = (1 << 53) + 1;
    assert_eq!(subject.merge(&[mark(1, 7, large - 1)]).await, [large - 1]);
    assert_eq!(subject.merge(&[mark(1, 7, large)]).await, [large]);
    assert_eq!(subject.merge(&[mark(1, 7, large - 1)]).await, [large]);
    subject.flushed(&[mark(1, 7, large - 1)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 7, large)]);
    assert_eq!(subject.merge(&[mark(2, 7, u64::MAX)]).await, [u64::MAX]);
    assert_eq!(subject.get(7, &[1, 2]).await, [Some(large), Some(u64::MAX)]);
}

pub async fn what_is_not_known_is_none_at_its_place(subject: &Subject) {
    subject.merge(&[mark(2, 7, 20), mark(4, 7, 40), mark(3, 8, 30)]).await;
    let found = subject.get(7, &[1, 2, 3, 4, 2]).await;
    assert_eq!(found, [None, Some(20), None, Some(40), Some(20)]);
    assert!(subject.get(7, &[]).await.is_empty());
    assert_eq!(subject.get(9, &[1]).await, [None]);
    let chats: Vec<u64> = (1..=2_000).collect();
    assert_eq!(subject.get(7, &chats).await.iter().flatten().count(), 2);
}

pub async fn members_of_one_chat_are_asked_for_at_once(subject: &Subject) {
    subject.merge(&[mark(1, 7, 20), mark(1, 9, 40), mark(2, 8, 30)]).await;
    let of_chat = async |c: u64, users: &[u64]| {
        let users: Vec<UserId> = users.iter().map(|number| user(*number)).collect();
        subject.other.of_chat(chat(c), &users).await.expect("the system is there")
    };
    assert_eq!(of_chat(1, &[9, 8, 7, 9]).await, [Some(40), None, Some(20), Some(40)]);
    assert!(of_chat(1, &[]).await.is_empty());
    let users: Vec<u64> = (1..=600).collect();
    let found = of_chat(1, &users).await;
    assert_eq!(found.iter().flatten().copied().collect::<Vec<_>>(), [20, 40]);
    assert_eq!((found.len(), found[6]), (600, Some(20)));
}

pub async fn a_grown_cursor_is_dirty_until_flushed(subject: &Subject) {
    subject.merge(&[mark(1, 7, 5), mark(1, 8, 6)]).await;
    assert_eq!(subject.dirty(LONG).await, []);
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 7, 5), mark(1, 8, 6)]);
    subject.flushed(&[mark(1, 7, 5)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 8, 6)]);
    // The value stays, for whoever asks.
    assert_eq!(subject.get(7, &[1]).await, [Some(5)]);
    // What does not raise it does not make it dirty; what does, does.
    subject.merge(&[mark(1, 7, 5), mark(1, 7, 4)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 8, 6)]);
    subject.merge(&[mark(1, 7, 9)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 7, 9), mark(1, 8, 6)]);
}

pub async fn a_cursor_that_grew_during_its_flush_stays_dirty(subject: &Subject) {
    subject.merge(&[mark(1, 7, 5)]).await;
    let taken = subject.dirty(AT_ONCE).await;
    subject.merge(&[mark(1, 7, 8)]).await;
    subject.flushed(&taken).await;
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 7, 8)]);
    // The shard may hold more than this cache, if another flushed it.
    subject.flushed(&[mark(1, 7, 9)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, []);
}

pub async fn the_age_of_a_mark_is_that_of_its_first_growth(subject: &Subject) {
    let age = Duration::from_millis(300);
    subject.merge(&[mark(1, 7, 1)]).await;
    let started = Instant::now();
    let mut seq = 1;
    // Growing all the time does not put its flush off.
    while subject.dirty(age).await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "it never came of age");
        seq += 1;
        subject.merge(&[mark(1, 7, seq)]).await;
        sleep(age / 10).await;
    }
    assert!(age <= started.elapsed() + Duration::from_millis(5), "it came of age too early");
}

pub async fn a_small_limit_starves_nobody(subject: &Subject) {
    let marks: Vec<Mark> = (1..=60).map(|number| mark(number, number, number)).collect();
    subject.merge(&marks).await;
    let mut flushed = 0;
    let started = Instant::now();
    while flushed < marks.len() {
        assert!(started.elapsed() < PATIENCE, "only {flushed} ever came");
        let due = subject.cursors.dirty(AT_ONCE, 7).await.expect("the system is there");
        assert!(due.len() <= 7, "{}", due.len());
        subject.flushed(&due).await;
        flushed += due.len();
    }
    assert_eq!(subject.dirty(AT_ONCE).await, []);
}

pub async fn losing_everything_is_survived(subject: &Subject) {
    subject.merge(&[mark(1, 7, 5)]).await;
    (subject.wipe)().await;
    assert_eq!(subject.get(7, &[1]).await, [None]);
    subject.flushed(&[mark(1, 7, 5)]).await;
    assert_eq!(subject.dirty(AT_ONCE).await, []);
    // Whoever still has it writes it again.
    assert_eq!(subject.merge(&[mark(1, 7, 5)]).await, [5]);
    assert_eq!(subject.dirty(AT_ONCE).await, [mark(1, 7, 5)]);
}
