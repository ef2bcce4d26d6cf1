//! Reads that were refused because the slot moved wait here for a newer map. They have no order among
//! each other, unlike writes (`park`).

use crate::slot_map::Map;
use shardline_domain::slot::{Epoch, Slot};
use tokio::time::Instant;

/// Reads waiting for a map: each holds its call, and a move takes a fraction of a second.
const WAITING_MAX: usize = 10_000;

/// What a waiting read is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// The map shows what was needed: go again.
    Newer,
    /// It did not in time, or has nothing newer.
    Late,
}

pub(crate) struct Wait {
    /// Any of these slots at this epoch or a newer one ends the wait.
    pub(crate) needs: Vec<(Slot, Epoch)>,
    pub(crate) until: Instant,
    /// The number of an ask for a newer map: once it is answered, there is nothing to wait for.
    pub(crate) ask: Option<u64>,
    pub(crate) then: Box<dyn FnOnce(News) + Send>,
}

/// What waits, bounded. Pure but for the callbacks it holds; the caller calls them, outside its lock.
#[derive(Default)]
pub(crate) struct Waits(Vec<Wait>);

impl Waits {
    /// Gives the wait back if too many do already.
    pub(crate) fn add(&mut self, wait: Wait) -> Result<(), Wait> {
        if WAITING_MAX <= self.0.len() {
            return Err(wait);
        }
        self.0.push(wait);
        Ok(())
    }

    /// Takes out what need not wait any longer, with what to tell it.
    pub(crate) fn ready(&mut self, map: &Map, answered: u64, now: Instant) -> Vec<(Wait, News)> {
        let mut ready = Vec::new();
        let mut index = 0;
        while let Some(wait) = self.0.get(index) {
            match wait.news(map, answered, now) {
                Some(news) => ready.push((self.0.swap_remove(index), news)),
                None => index += 1,
            }
        }
        ready
    }

    /// Takes out all of them.
    pub(crate) fn take(&mut self) -> Vec<Wait> {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Wait {
    fn news(&self, map: &Map, answered: u64, now: Instant) -> Option<News> {
        let shows = |(slot, needs): &(Slot, Epoch)| {
            map.place(*slot).is_some_and(|place| *needs <= place.epoch)
        };
        if self.needs.iter().any(shows) {
            return Some(News::Newer);
        }
        let has_nothing = self.ask.is_some_and(|ask| ask <= answered);
        (has_nothing || self.until <= now).then_some(News::Late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{SlotNews, SlotRow};
    use crate::slot_map::SlotMap;
    use shardline_domain::id::ShardId;
    use std::time::Duration;

    fn check(epoch: u64, ask: Option<u64>, answered: u64, waited: u64, expected: &[News]) {
        let slot = Slot::new(3).expect("a slot");
        let map = SlotMap::default();
        let row = SlotRow { slot, shard: ShardId(1), epoch: Epoch(epoch) };
        map.apply(&SlotNews { version: 1, slots: vec![row] });
        let now = Instant::now();
        let until = now + Duration::from_secs(2);
        let mut waits = Waits::default();
        let wait = Wait { needs: vec![(slot, Epoch(5))], until, ask, then: Box::new(|_| ()) };
        assert!(waits.add(wait).is_ok());
        let ready = waits.ready(&map.load(), answered, now + Duration::from_secs(waited));
        let news: Vec<News> = ready.into_iter().map(|(_, news)| news).collect();
        assert_eq!(news, expected);
        assert_eq!(waits.len(), usize::from(expected.is_empty()));
    }

    #[test]
    fn a_wait_ends_with_the_epoch_the_time_or_an_answer_without_news() {
        check(4, None, 9, 1, &[]);
        check(5, None, 0, 0, &[News::Newer]);
        check(4, None, 9, 2, &[News::Late]);
        check(4, Some(7), 6, 1, &[]);
        check(4, Some(7), 7, 0, &[News::Late]);
        check(6, Some(7), 7, 2, &[News::Newer]);
    }
}
