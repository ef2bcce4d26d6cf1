//! Opening a chat: what a client missed, or the latest page if that cannot be said.

use super::Reader;
use super::changes::{Now, client_event};
use crate::entity::{Chat, Member};
use crate::events;
use crate::refusals;
use shardline_domain::chat::history_floor;
use shardline_domain::limits::{CHANGES_PAGE_MAX, DIRECT_PUSH_MEMBERS_MAX};
use shardline_wire::client::ReadMark;
use shardline_wire::internal::{ChatView, GetChat, OpenChat, Opened};
use shardline_wire::refusal::Refusal;

/// A longer gap is answered with the latest page: catching up page by page would cost everyone more
/// than starting again. Gaps of up to 100 are always filled.
const GAP_MAX: u64 = 1_000;

impl Reader {
    pub(super) async fn get_chat(&self, id: u64, get: &GetChat) -> Result<ChatView, Refusal> {
        let (chat, member) = self.chat_of(id, get.user, get.min_ver).await?;
        self.view(&chat, &member).await
    }

    pub(super) async fn view(&self, chat: &Chat, member: &Member) -> Result<ChatView, Refusal> {
        let last = self.last_message(chat, member).await?;
        Ok(events::chat_view(chat, member, last.as_deref()))
    }

    pub(super) async fn open_chat(&self, id: u64, open: &OpenChat) -> Result<Opened, Refusal> {
        let (chat, member) = self.chat_of(id, open.user, open.min_ver).await?;
        let view = self.view(&chat, &member).await?;
        let mut opened = match resumes(&chat, open) {
            Some(since) => self.resumed(&chat, &member, since).await?,
            None => self.resynced(&chat, &member, open.limit).await?,
        };
        opened.chat = Some(view);
        if chat.members.len() <= DIRECT_PUSH_MEMBERS_MAX {
            for member in chat.members.iter() {
                let (user, seq) = (member.user, chat.read_seq(member));
                opened.read.push(ReadMark { user, seq });
                opened.members.push(events::member(member, None));
            }
        }
        Ok(opened)
    }

    async fn resumed(&self, chat: &Chat, member: &Member, since: u64) -> Result<Opened, Refusal> {
        let limit = usize::try_from(CHANGES_PAGE_MAX).unwrap_or(1);
        let head = chat.head;
        let news = self
            .news(chat, since, head.ver, limit)
            .await
            .map_err(|error| refusals::store(&error))?;
        let floor = history_floor(chat.history, member.joined_seq, chat.row.trimmed_seq);
        let messages: Vec<_> =
            news.births.iter().filter(|row| floor < row.seq).map(events::message).collect();
        let first = messages.first().map_or(head.seq.saturating_add(1), |message| message.seq);
        let changes = news
            .changes
            .into_iter()
            .filter(|(_, now)| !matches!(now, Now::Message(message) if message.seq <= floor))
            .map(|(row, now)| client_event(head.entity, head.log, row, now))
            .collect();
        Ok(Opened {
            resumed: true,
            messages,
            changes,
            to_ver: news.to_ver,
            more: news.to_ver < head.ver,
            at_start: first <= floor.saturating_add(1),
            ..Opened::default()
        })
    }

    async fn resynced(&self, chat: &Chat, member: &Member, limit: u64) -> Result<Opened, Refusal> {
        let page = self.page(chat, member, None, None, limit).await?;
        Ok(Opened {
            resumed: false,
            messages: page.messages,
            to_ver: chat.head.ver,
            at_start: page.at_start,
            ..Opened::default()
        })
    }
}

/// From which ver the client can go on; None: it has to begin anew.
fn resumes(chat: &Chat, open: &OpenChat) -> Option<u64> {
    let since = open.since_ver?;
    let same_log = open.log.as_ref().is_none_or(|log| *log == chat.head.log.to_string());
    let kept = chat.row.trimmed_ver <= since && since <= chat.head.ver;
    let near = chat.head.ver.saturating_sub(since) <= GAP_MAX;
    (same_log && kept && near).then_some(since)
}
