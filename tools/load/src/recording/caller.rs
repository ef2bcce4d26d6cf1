//! Calls other than sends, each recorded before it goes out and with its answer.

use super::{digest, seen_message};
use crate::accounts::patiently;
use anyhow::{Context, Result, anyhow};
use shardline_client::frames::{ChatItem, History, HistoryPage};
use shardline_client::{CallError, Client, Http, HttpError};
use shardline_history::{Bounds, Item, Page, Record, Writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const PAGE: u64 = 200;

/// One connection whose calls are recorded. Cheap to clone; clones share their numbers.
#[derive(Clone)]
pub struct Caller {
    pub writer: Writer,
    pub client: Client,
    /// What tells the client's connection from others in the recording.
    pub number: u32,
    calls: Arc<AtomicU32>,
}

impl Caller {
    /// A client's only one in a recording.
    pub fn new(writer: Writer, client: Client, number: u32) -> Caller {
        Caller { writer, client, number, calls: Arc::default() }
    }

    /// An edit or, without a text, a delete. The ver since which the message is like that.
    pub async fn change(&self, chat: u64, seq: u64, text: Option<&str>) -> Result<u64, CallError> {
        let (client, user, call) = (self.number, self.client.user(), self.call());
        let body = text.map(digest);
        self.writer.record(Record::Change { client, user, chat, call, seq, body });
        let outcome = match text {
            Some(text) => self.client.edit(chat, seq, text).await,
            None => self.client.delete(chat, seq).await,
        };
        let outcome = outcome.and_then(|ack| Ok((ack.ver.ok_or(CallError::Unexpected)?, ack.log)));
        match outcome {
            Ok((ver, log)) => {
                let log = log.unwrap_or_default();
                self.writer.record(Record::ChangeAcked { client, call, log, ver });
                Ok(ver)
            }
            Err(error) => Err(self.failed(call, error)),
        }
    }

    /// The cursor as it is now.
    pub async fn mark(&self, chat: u64, seq: u64) -> Result<u64, CallError> {
        let (client, user, call) = (self.number, self.client.user(), self.call());
        self.writer.record(Record::Marking { client, user, chat, call, seq });
        match self.client.read(chat, seq).await {
            Ok(read_seq) => {
                self.writer.record(Record::Marked { client, call, read_seq });
                Ok(read_seq)
            }
            Err(error) => Err(self.failed(call, error)),
        }
    }

    /// Somebody is made a member, or ceases to be one. The ver of that.
    pub async fn change_membership(
        &self,
        http: &Http,
        chat: u64,
        user: u64,
        joins: bool,
    ) -> Result<u64, HttpError> {
        let (client, call, token) = (self.number, self.call(), self.client.token());
        self.writer.record(Record::Membership { client, user, chat, call, joins });
        let changed = match joins {
            true => http.add_members(&token, chat, &[user], None).await,
            false => http.remove_member(&token, chat, user).await,
        };
        match &changed {
            Ok(ver) => self.writer.record(Record::MembershipAcked { client, call, ver: *ver }),
            Err(error) => {
                let maybe_done = match error {
                    HttpError::Refused { refused, .. } => is_maybe_done(&refused.code),
                    _ => true,
                };
                self.writer.record(Record::Failed { client, call, maybe_done });
            }
        }
        changed
    }

    /// What the client sees of the chat from here on is not followed any more.
    pub fn leaves(&self, chat: u64) {
        self.writer.record(Record::Leaves { client: self.number, chat });
    }

    pub async fn page(&self, chat: u64, bounds: Bounds) -> Result<HistoryPage, CallError> {
        let call = self.reading(chat, bounds);
        let Bounds { before_seq, after_seq, limit, min_ver } = bounds;
        let history = History { chat, before_seq, after_seq, limit, min_ver };
        let answer = self.client.history(history).await?;
        let page = Page {
            log: answer.log.clone(),
            head_seq: answer.head_seq,
            head_ver: answer.head_ver,
            at_start: answer.at_start,
            at_end: answer.at_end,
            messages: answer.messages.iter().map(seen_message).collect(),
        };
        self.writer.record(Record::Page { client: self.number, call, page });
        Ok(answer)
    }

    /// The chat as the user's list shows it; by HTTP, from whichever node answers. In a direct chat
    /// nothing but the cursor says what is unread.
    pub async fn direct_item(&self, http: &Http, chat: u64) -> Result<ChatItem> {
        let call = self.reading(chat, Bounds::default());
        let ask = || async { http.chat(&self.client.token(), chat).await };
        let answer = patiently(ask).await.with_context(|| format!("the item of {chat}"))?;
        let item = Item {
            log: answer.log.clone(),
            head_seq: answer.head_seq,
            read_seq: answer.read_seq.context("an item without a cursor")?,
            unread: answer.unread.context("an item without what is unread")?,
            floor_seq: Some(0),
        };
        self.writer.record(Record::Item { client: self.number, call, item });
        Ok(answer)
    }

    /// Reads a chat from `base_seq` on, to its end, and records it as its final state.
    pub async fn final_state(&self, chat: u64, base_seq: u64, min_ver: Option<u64>) -> Result<()> {
        let mut after_seq = base_seq;
        let mut messages = Vec::new();
        loop {
            let bounds = Bounds {
                after_seq: Some(after_seq),
                limit: Some(PAGE),
                min_ver,
                ..Bounds::default()
            };
            let page = self.page(chat, bounds).await;
            let page = page.map_err(|e| anyhow!("history of {chat}: {e}"))?;
            messages.extend(page.messages.iter().map(seen_message));
            match page.messages.last() {
                Some(last) if !page.at_end => after_seq = last.seq,
                _ => {
                    let (log, head_seq, head_ver) = (page.log, page.head_seq, page.head_ver);
                    self.writer.record(Record::Final { chat, log, head_seq, head_ver });
                    break;
                }
            }
        }
        for message in messages {
            self.writer.record(Record::Stored { chat, message });
        }
        Ok(())
    }

    fn call(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn reading(&self, chat: u64, bounds: Bounds) -> u32 {
        let (client, user, call) = (self.number, self.client.user(), self.call());
        self.writer.record(Record::Reading { client, user, chat, call, bounds });
        call
    }

    fn failed(&self, call: u32, error: CallError) -> CallError {
        let maybe_done = match &error {
            CallError::Refused(refused) => is_maybe_done(&refused.code),
            _ => true,
        };
        self.writer.record(Record::Failed { client: self.number, call, maybe_done });
        error
    }
}

/// Whether what was refused so may have been done.
fn is_maybe_done(code: &str) -> bool {
    matches!(code, "unknown" | "internal")
}
