//! Pages of a chat's messages, in both directions.

use super::Reader;
use crate::entity::{Chat, Member};
use crate::events;
use crate::refusals;
use crate::store::MessageRange;
use shardline_domain::chat::history_floor;
use shardline_domain::limits::{PAGE_BYTES_MAX, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use shardline_wire::client::Message;
use shardline_wire::internal::{GetHistory, HistoryPage};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;

impl Reader {
    pub(super) async fn history(&self, id: u64, get: &GetHistory) -> Result<HistoryPage, Refusal> {
        let (chat, member) = self.chat_of(id, get.user, get.min_ver).await?;
        self.page(&chat, &member, get.before_seq, get.after_seq, get.limit).await
    }

    /// With `after_seq` the first messages behind it, otherwise the last ones (before `before_seq`).
    pub(super) async fn page(
        &self,
        chat: &Chat,
        member: &Member,
        before_seq: Option<u64>,
        after_seq: Option<u64>,
        limit: u64,
    ) -> Result<HistoryPage, Refusal> {
        let head = chat.head;
        let floor = history_floor(chat.history, member.joined_seq, chat.row.trimmed_seq);
        let newest = after_seq.is_none();
        let after = after_seq.unwrap_or(0).max(floor).min(head.seq.max(floor));
        let before = before_seq.unwrap_or(u64::MAX).min(head.seq.saturating_add(1));
        let limit = if limit == 0 { PAGE_MESSAGES_DEFAULT } else { limit.min(PAGE_MESSAGES_MAX) };
        let bytes = PAGE_BYTES_MAX;
        let range = MessageRange { chat: head.entity, after, before, newest, limit, bytes };
        let rows = if before <= after.saturating_add(1) {
            Arc::default()
        } else {
            self.rows.messages(range).await.map_err(|error| refusals::store(&error))?
        };
        let messages = fitting(rows.iter().map(events::message).collect(), newest);

        // Where the page begins and ends; an empty one lies between its bounds.
        let first = messages.first().map_or(before.min(after.saturating_add(1)), |one| one.seq);
        let last = messages.last().map_or(first.saturating_sub(1), |one| one.seq);
        Ok(HistoryPage {
            at_start: first <= floor.saturating_add(1),
            at_end: head.seq <= last,
            messages,
            head_seq: head.seq,
            head_ver: head.ver,
            log: head.log,
        })
    }
}

/// As many as fit a page's bytes, from the end that was asked for; at least one.
fn fitting(mut messages: Vec<Message>, newest: bool) -> Vec<Message> {
    let sizes: Vec<usize> = messages.iter().map(events::size).collect();
    if sizes.iter().sum::<usize>() <= PAGE_BYTES_MAX {
        return messages;
    }
    let mut bytes = 0;
    let mut fits = |size: &&usize| {
        bytes += **size;
        bytes <= PAGE_BYTES_MAX
    };
    if newest {
        let count = sizes.iter().rev().take_while(&mut fits).count().max(1);
        messages.split_off(messages.len() - count)
    } else {
        let count = sizes.iter().take_while(&mut fits).count().max(1);
        messages.truncate(count);
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::client::Body;

    fn message(seq: u64, bytes: usize) -> Message {
        Message { seq, body: Some(Body { text: "x".repeat(bytes) }), ..Message::default() }
    }

    fn check(bytes: &[usize], newest: bool, expected: &[u64]) {
        let messages = bytes.iter().zip(1..).map(|(bytes, seq)| message(seq, *bytes)).collect();
        let kept: Vec<u64> = fitting(messages, newest).iter().map(|one| one.seq).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_page_keeps_what_fits_from_the_end_that_was_asked_for() {
        let half = PAGE_BYTES_MAX / 2 - 100;
        check(&[half, half, half], true, &[2, 3]);
        check(&[half, half, half], false, &[1, 2]);
        check(&[10, 20], true, &[1, 2]);
    }

    #[test]
    fn a_page_has_at_least_one_message() {
        check(&[10, PAGE_BYTES_MAX], true, &[2]);
        check(&[PAGE_BYTES_MAX, 10], false, &[1]);
    }
}
