//! Follows the user's own things (`list_ver`) as chats are followed; a gap is filled by `chats` with
//! since_list_ver.

use crate::frames::{Chats, ChatsPage, List};
use shardline_domain::follow::{Ask, Follow, Verdict};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// A user's list has one history only.
const LOG: u64 = 0;

pub(crate) struct Lists {
    follow: Follow<List>,
    gap_wait: RangeInclusive<Duration>,
    due: Option<Instant>,
    /// The ask on its way, and the cursor of its next page.
    asked: Option<(Ask, Option<String>)>,
}

impl Lists {
    pub(crate) fn new(gap_wait: RangeInclusive<Duration>) -> Lists {
        Lists { follow: Follow::unknown(), gap_wait, due: None, asked: None }
    }

    /// A new connection: from the first one on everything is followed; later ones find what was missed.
    pub(crate) fn on_welcome(&mut self, list_ver: u64, now: Instant) {
        self.on_failed(now, Duration::ZERO);
        match self.follow.position() {
            Some(_) => {
                self.follow.on_head(LOG, list_ver);
            }
            None => {
                self.follow.start_at(LOG, list_ver, &mut Vec::new());
            }
        }
        self.due = self.follow.is_behind().then_some(now);
    }

    pub(crate) fn on_head(&mut self, list_ver: u64, now: Instant) {
        let verdict = self.follow.on_head(LOG, list_ver);
        self.judge(verdict, now);
    }

    pub(crate) fn on_list(&mut self, list: List, now: Instant, out: &mut Vec<List>) {
        let verdict = self.follow.on_event(LOG, list.list_ver, list, out);
        self.judge(verdict, now);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Chats> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.due = None;
        if self.asked.is_none() {
            self.asked = self.follow.ask().map(|ask| (ask, None));
        }
        let (ask, cursor) = self.asked.as_ref()?;
        let since_list_ver = match ask {
            Ask::Changes { after, .. } => Some(*after),
            Ask::Start { .. } => None,
        };
        Some(Chats { limit: None, cursor: cursor.clone(), since_list_ver })
    }

    pub(crate) fn on_page(&mut self, page: &ChatsPage, now: Instant, out: &mut Vec<List>) {
        let Some((ask, _)) = self.asked.take() else { return };
        if page.next_cursor.is_some() {
            self.asked = Some((ask, page.next_cursor.clone()));
            self.due = Some(now);
            return;
        }
        let verdict = self.follow.on_changes(ask.number(), LOG, page.list_ver, [], out);
        self.judge(verdict, now);
    }

    pub(crate) fn on_failed(&mut self, now: Instant, delay: Duration) {
        if let Some((ask, _)) = self.asked.take() {
            self.follow.on_failed(ask.number());
            self.due = Some(now + delay);
        }
    }

    fn judge(&mut self, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Held if self.asked.is_none() => {
                let (least, most) = (*self.gap_wait.start(), *self.gap_wait.end());
                let wait = least + most.saturating_sub(least).mul_f64(rand::random());
                self.due.get_or_insert(now + wait);
            }
            Verdict::Held => {}
            _ if !self.follow.is_behind() => self.due = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list_ver: u64) -> List {
        List { list_ver, change: None }
    }

    #[test]
    fn what_was_missed_is_asked_for_page_by_page_and_then_the_rest_comes_out() {
        let wait = Duration::from_secs(1);
        let (mut lists, mut now) = (Lists::new(wait..=wait), Instant::now());
        let mut out = Vec::new();
        lists.on_welcome(5, now);
        assert_eq!(lists.take_due(now), None, "nothing was missed");
        lists.on_list(list(6), now, &mut out);
        lists.on_list(list(9), now, &mut out);
        assert_eq!(out, [list(6)]);
        now += wait;
        let first = lists.take_due(now).expect("an ask");
        assert_eq!((first.since_list_ver, first.cursor), (Some(6), None));
        let page = ChatsPage { next_cursor: Some("more".to_owned()), ..ChatsPage::default() };
        lists.on_page(&page, now, &mut out);
        let second = lists.take_due(now).expect("the next page");
        assert_eq!((second.since_list_ver, second.cursor.as_deref()), (Some(6), Some("more")));
        lists.on_page(&ChatsPage { list_ver: 8, ..ChatsPage::default() }, now, &mut out);
        assert_eq!(out, [list(6), list(9)]);
        assert_eq!(lists.next_due(), None);
    }

    #[test]
    fn a_new_connection_asks_at_once_for_what_it_missed() {
        let wait = Duration::from_secs(1);
        let (mut lists, now) = (Lists::new(wait..=wait), Instant::now());
        lists.on_welcome(5, now);
        lists.on_welcome(7, now);
        assert_eq!(lists.take_due(now).and_then(|chats| chats.since_list_ver), Some(5));
        // The connection went before the answer came.
        lists.on_welcome(7, now);
        assert_eq!(lists.take_due(now).and_then(|chats| chats.since_list_ver), Some(5));
    }
}
