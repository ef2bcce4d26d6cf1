//! For how long this router may think that it leads: half of the lease, by its own stopwatch, from
//! before it asked. So it ends its work before another can begin.

use super::LEASE;
use crate::catalog::Leadership;
use shardline_daemon::clock::Stopwatch;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct Tenure {
    term: u64,
    asked: Stopwatch,
}

impl Tenure {
    pub(super) fn term(self) -> u64 {
        self.term
    }

    /// What is left of it; zero when it is over.
    pub(super) fn left(self) -> Duration {
        (LEASE / 2).saturating_sub(self.asked.elapsed())
    }
}

/// The tenure after an answer to the call begun at `asked`; no answer leaves what is left of the
/// present one.
pub(super) fn after(
    present: Option<Tenure>,
    answer: Option<&Leadership>,
    asked: Stopwatch,
) -> Option<Tenure> {
    let next = match answer {
        Some(answer) if answer.mine => Some(Tenure { term: answer.term, asked }),
        Some(_) => None,
        None => present,
    };
    next.filter(|tenure| !tenure.left().is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(mine: bool, term: u64) -> Leadership {
        Leadership { mine, term, holder: "somebody".to_owned() }
    }

    fn terms(present: Option<Tenure>, answer: Option<&Leadership>) -> Option<u64> {
        after(present, answer, Stopwatch::start()).map(Tenure::term)
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_was_elected_leads() {
        assert_eq!(terms(None, Some(&answer(true, 4))), Some(4));
        assert_eq!(terms(None, Some(&answer(false, 4))), None);
        assert_eq!(terms(None, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_it_ends_after_half_of_the_lease() {
        let tenure = after(None, Some(&answer(true, 4)), Stopwatch::start());
        tokio::time::advance(LEASE / 2 - Duration::from_millis(1)).await;
        assert_eq!(terms(tenure, None), Some(4));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(terms(tenure, None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_before_the_question() {
        let asked = Stopwatch::start();
        tokio::time::advance(LEASE / 2).await;
        assert!(after(None, Some(&answer(true, 4)), asked).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_ends_it_at_once() {
        let tenure = after(None, Some(&answer(true, 4)), Stopwatch::start());
        assert_eq!(terms(tenure, Some(&answer(false, 5))), None);
    }
}
