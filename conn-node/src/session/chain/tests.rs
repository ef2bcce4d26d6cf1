//! The chain alone, and against a far side that loses, refuses and delays.

use super::*;
use proptest::prelude::*;

type Out = Vec<Ended<u8, u64, &'static str>>;

fn id(name: u8) -> MsgId {
    [name; 16]
}

struct Bench {
    chain: Chain<u8>,
    now: Instant,
    out: Out,
}

impl Bench {
    fn new() -> Bench {
        Bench { chain: Chain::new(), now: Instant::now(), out: Vec::new() }
    }

    fn offer(&mut self, name: u8) -> bool {
        self.chain.offer(self.now, id(name), false, name).is_ok()
    }

    fn offers(names: &[u8]) -> Bench {
        let mut bench = Bench::new();
        for name in names {
            assert!(bench.offer(*name));
        }
        bench
    }

    /// (name, attempt, predecessor's name, retry) of each that is submitted now.
    fn submitted(&mut self) -> Vec<(u8, u32, Option<u8>, bool)> {
        let mut all = Vec::new();
        while let Some((submission, name)) = self.chain.next(self.now) {
            let predecessor = submission.predecessor.map(|id| id[0]);
            all.push((*name, submission.attempt, predecessor, submission.retry));
        }
        all
    }

    /// Sends are numbered from 1 in the order offered.
    fn outcome(&mut self, number: u64, attempt: u32, outcome: Outcome<u64, &'static str>) {
        self.chain.on_outcome(self.now, number, attempt, outcome, &mut self.out);
    }

    fn ended(&mut self) -> Vec<(u8, End<u64, &'static str>)> {
        self.out.drain(..).map(|ended| (ended.kept, ended.end)).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

fn later() -> Outcome<u64, &'static str> {
    Outcome::Later("later", Duration::from_millis(100))
}

#[test]
fn each_names_the_one_before_it() {
    let mut bench = Bench::offers(b"abc");
    let first =
        [(b'a', 1, None, false), (b'b', 1, Some(b'a'), false), (b'c', 1, Some(b'b'), false)];
    assert_eq!(bench.submitted(), first);
    for number in 1..=3 {
        bench.outcome(number, 1, Outcome::Stored(number));
    }
    let stored = [(b'a', End::Stored(1)), (b'b', End::Stored(2)), (b'c', End::Stored(3))];
    assert_eq!(bench.ended(), stored);
    assert!(bench.chain.is_idle(bench.now));
    assert!(bench.offer(b'd'));
    assert_eq!(bench.submitted(), [(b'd', 1, None, false)]);
}

#[test]
fn a_lost_stream_repeats_all_that_was_on_it_in_order_and_says_so() {
    let mut bench = Bench::offers(b"ab");
    bench.submitted();
    bench.outcome(1, 1, Outcome::Unknown);
    bench.outcome(2, 1, Outcome::Unknown);
    assert!(bench.offer(b'c'));
    assert_eq!(bench.submitted(), []);
    assert!(bench.chain.is_paused(bench.now));
    bench.wait(PAUSE_MAX);
    let again = [(b'a', 2, None, true), (b'b', 2, Some(b'a'), true), (b'c', 1, Some(b'b'), false)];
    assert_eq!(bench.submitted(), again);
    assert_eq!(bench.ended(), []);
}

#[test]
fn the_answer_of_an_earlier_attempt_still_counts_if_it_says_stored() {
    let mut bench = Bench::offers(b"a");
    bench.submitted();
    bench.outcome(1, 1, Outcome::Unknown);
    bench.wait(PAUSE_MAX);
    bench.submitted();
    bench.outcome(1, 1, Outcome::Never("of the first attempt"));
    assert_eq!(bench.ended(), []);
    bench.outcome(1, 1, Outcome::Stored(7));
    assert_eq!(bench.ended(), [(b'a', End::Stored(7))]);
    bench.outcome(1, 2, Outcome::Stored(7));
    assert_eq!(bench.ended(), []);
}

#[test]
fn one_behind_a_refused_one_goes_again_without_it() {
    let mut bench = Bench::offers(b"ab");
    bench.submitted();
    // The far side may answer the second first.
    bench.outcome(2, 1, later());
    assert_eq!(bench.submitted(), []);
    bench.outcome(1, 1, Outcome::Never("muted"));
    assert_eq!(bench.ended(), [(b'a', End::Refused("muted"))]);
    assert_eq!(bench.submitted(), [(b'b', 2, None, false)]);
    bench.outcome(2, 2, Outcome::Stored(1));
    assert_eq!(bench.ended(), [(b'b', End::Stored(1))]);
}

#[test]
fn if_one_is_answered_later_so_are_those_behind_it() {
    let mut bench = Bench::offers(b"abc");
    bench.submitted();
    bench.outcome(2, 1, later());
    bench.outcome(1, 1, later());
    // The third is on its way: nobody knows.
    let ended = [(b'a', End::Refused("later")), (b'b', End::Later), (b'c', End::Same)];
    assert_eq!(bench.ended(), ended);
}

#[test]
fn newer_ones_wait_for_the_repetition_of_the_one_that_failed() {
    let mut bench = Bench::offers(b"a");
    bench.submitted();
    bench.outcome(1, 1, later());
    assert!(!bench.offer(b'b'));
    assert!(bench.offer(b'a'));
    assert!(bench.offer(b'b'));
    assert_eq!(bench.submitted(), [(b'a', 1, None, false), (b'b', 1, Some(b'a'), false)]);
}

#[test]
fn one_that_is_given_up_does_not_close_the_chat_for_ever() {
    let mut bench = Bench::offers(b"a");
    bench.submitted();
    bench.outcome(1, 1, later());
    assert!(!bench.chain.is_idle(bench.now));
    bench.wait(GATE_TIME + Duration::from_millis(101));
    assert!(bench.chain.is_idle(bench.now));
    assert!(bench.offer(b'b'));
}

#[test]
fn one_turned_away_before_it_was_offered_holds_back_newer_ones_too() {
    let mut bench = Bench::new();
    bench.chain.close_gate(bench.now, id(b'a'), Duration::from_millis(50));
    bench.chain.close_gate(bench.now, id(b'b'), Duration::from_millis(50));
    assert!(!bench.offer(b'b'));
    assert!(bench.offer(b'a'));
    assert!(bench.offer(b'b'));
}

#[test]
fn without_a_router_nothing_is_uncertain() {
    let mut bench = Bench::offers(b"ab");
    while bench.now < Instant::now() + SEND_TIME_MAX {
        if let Some((Submission { number, attempt, .. }, _)) = bench.chain.next(bench.now) {
            bench.outcome(number, attempt, Outcome::NotSent);
        }
        bench.wait(Duration::from_millis(100));
    }
    bench.chain.expire(bench.now, &mut bench.out);
    assert_eq!(bench.ended(), [(b'a', End::Later), (b'b', End::Later)]);
}

#[test]
fn what_was_never_answered_is_given_up_as_not_known() {
    let mut bench = Bench::offers(b"a");
    bench.submitted();
    assert_eq!(bench.chain.wake_at(), Some(bench.now + SEND_TIME_MAX));
    bench.wait(SEND_TIME_MAX);
    bench.chain.expire(bench.now, &mut bench.out);
    assert_eq!(bench.ended(), [(b'a', End::Same)]);
    bench.outcome(1, 1, Outcome::Stored(1));
    assert_eq!(bench.ended(), []);
}

#[test]
fn a_refusal_after_an_uncertain_attempt_is_uncertain() {
    let mut bench = Bench::offers(b"a");
    bench.submitted();
    bench.outcome(1, 1, Outcome::Unknown);
    bench.wait(PAUSE_MAX);
    bench.submitted();
    bench.outcome(1, 2, later());
    assert_eq!(bench.ended(), [(b'a', End::Same)]);
}

/// A lane: stores a send only if its predecessor is stored, each id once.
#[derive(Default)]
struct Lane {
    stored: Vec<u8>,
}

impl Lane {
    fn take(&mut self, name: u8, predecessor: Option<u8>) -> Outcome<u64, &'static str> {
        if let Some(at) = self.stored.iter().position(|stored| *stored == name) {
            return Outcome::Stored(at as u64);
        }
        if predecessor.is_some_and(|before| !self.stored.contains(&before)) {
            return later();
        }
        self.stored.push(name);
        Outcome::Stored(self.stored.len() as u64 - 1)
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    /// It arrives and the answer is lost.
    AnswerLost,
    /// It does not arrive, and nobody says so at once.
    Lost,
    Refused,
    Never,
    Moved,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        2 => Just(Fate::AnswerLost),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Never),
        1 => Just(Fate::Moved),
    ]
}

proptest! {
    /// Whatever is lost, refused or answered out of order: what is acknowledged is stored, and stored
    /// in the order offered.
    #[test]
    fn stored_in_the_order_offered(
        fates in prop::collection::vec((fate(), any::<prop::sample::Index>()), 1..80),
        count in 1..12u8,
    ) {
        let mut bench = Bench::offers(&(1..=count).collect::<Vec<_>>());
        let mut lane = Lane::default();
        let mut answers = Vec::new();
        let mut acknowledged = Vec::new();
        for (fate, which) in fates {
            while let Some((submission, name)) = bench.chain.next(bench.now) {
                let Submission { number, attempt, predecessor, .. } = submission;
                let predecessor = predecessor.map(|id| id[0]);
                answers.push((number, attempt, match fate {
                    Fate::Arrives => lane.take(*name, predecessor),
                    Fate::AnswerLost => {
                        lane.take(*name, predecessor);
                        Outcome::Unknown
                    }
                    Fate::Lost => Outcome::Unknown,
                    Fate::Refused => later(),
                    Fate::Never => Outcome::Never("never"),
                    Fate::Moved => Outcome::Moved,
                }));
            }
            // One answer comes, any of those on their way.
            if !answers.is_empty() {
                let (number, attempt, outcome) = answers.swap_remove(which.index(answers.len()));
                bench.outcome(number, attempt, outcome);
            }
            bench.wait(Duration::from_millis(30));
            for (name, end) in bench.ended() {
                if let End::Stored(_) = end {
                    prop_assert!(lane.stored.contains(&name), "{name} was acknowledged, not stored");
                    acknowledged.push(name);
                }
            }
        }
        prop_assert!(lane.stored.is_sorted(), "stored {:?}", lane.stored);
        acknowledged.dedup();
        let mut unique = acknowledged.clone();
        unique.sort_unstable();
        unique.dedup();
        prop_assert_eq!(unique.len(), acknowledged.len(), "acknowledged twice: {:?}", acknowledged);
    }
}
