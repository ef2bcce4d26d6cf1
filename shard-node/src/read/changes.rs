//! Changes of an entity as events: for a conn-node that missed some, for the relay that starts over,
//! and (without the envelope) for a client that resumes.

use super::Reader;
use super::news::{Page, gather, page};
use crate::entity::{Chat, User};
use crate::events::{self, Changed, Own, Stamp};
use crate::refusals;
use crate::store::{ChangeKind, ChangeRow, MemberRow, MessageRow, StoreError};
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use shardline_domain::limits::{CHANGES_PAGE_MAX, DIRECT_PUSH_MEMBERS_MAX, PAGE_BYTES_MAX};
use shardline_wire::client;
use shardline_wire::internal::{ChangesPage, Event, GetChanges};
use shardline_wire::refusal::Refusal;

/// Subjects read at the same time.
const LOADS_AT_ONCE: usize = 8;

/// All there is in (since, to_ver], in the order of ver, each as it is now.
pub(crate) struct News {
    pub(crate) births: Vec<MessageRow>,
    pub(crate) changes: Vec<(ChangeRow, Now)>,
    pub(crate) to_ver: u64,
}

/// What a change row is about, as it is now.
pub(crate) enum Now {
    Message(MessageRow),
    Member(client::Member),
    Chat(Box<client::ChatItem>),
}

impl Reader {
    pub(super) async fn changes(&self, id: u64, get: &GetChanges) -> Result<ChangesPage, Refusal> {
        let limit = get.limit.clamp(1, CHANGES_PAGE_MAX);
        let limit = usize::try_from(limit).unwrap_or(1);
        let memory = self.memory(id);
        let chat = memory.chat(id).await.map_err(|error| refusals::store(&error))?;
        let Some(chat) = chat else {
            let user = self.user(id).await?.ok_or_else(refusals::no_chat)?;
            return self.user_changes(&user, get, limit).await;
        };
        let (head, trimmed_ver) = (chat.head, chat.row.trimmed_ver);
        if head.ver < get.min_ver {
            return Err(refusals::behind());
        }
        let log = head.log;
        if get.since_ver < trimmed_ver || head.ver < get.since_ver {
            return Ok(ChangesPage {
                to_ver: head.ver,
                log,
                resync: true,
                ..ChangesPage::default()
            });
        }
        let (events, to_ver) = self
            .chat_events(&chat, get.since_ver, head.ver, limit)
            .await
            .map_err(|error| refusals::store(&error))?;
        Ok(ChangesPage { events, to_ver, more: to_ver < head.ver, log, resync: false })
    }

    async fn user_changes(
        &self,
        user: &User,
        get: &GetChanges,
        limit: usize,
    ) -> Result<ChangesPage, Refusal> {
        let head = user.head;
        if head.ver < get.min_ver {
            return Err(refusals::behind());
        }
        let log = head.log;
        if get.since_ver < user.row.trimmed_ver || head.ver < get.since_ver {
            return Ok(ChangesPage {
                to_ver: head.ver,
                log,
                resync: true,
                ..ChangesPage::default()
            });
        }
        let (events, to_ver) = self
            .user_events(user, get.since_ver, head.ver, limit)
            .await
            .map_err(|error| refusals::store(&error))?;
        Ok(ChangesPage { events, to_ver, more: to_ver < head.ver, log, resync: false })
    }

    /// Events of an entity in (since, to_ver], as they would have been published.
    pub(crate) async fn events(
        &self,
        entity: u64,
        since: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), StoreError> {
        let memory = self.memory(entity);
        if let Some(chat) = memory.chat(entity).await? {
            return self.chat_events(&chat, since, up_to, limit).await;
        }
        match memory.user(entity).await? {
            Some(user) => self.user_events(&user, since, up_to, limit).await,
            // A name: nobody follows those.
            None => Ok((Vec::new(), up_to)),
        }
    }

    async fn chat_events(
        &self,
        chat: &Chat,
        since: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), StoreError> {
        let news = self.news(chat, since, up_to, limit).await?;
        let nobody_left = news.changes.is_empty() && news.to_ver == chat.head.ver;
        let left = if nobody_left { Vec::new() } else { self.left_since(chat, since).await? };
        let receivers = Receivers::of(chat, left);
        let (id, log, epoch) = (chat.head.entity, chat.head.log, self.epoch(chat.head.entity));
        let mut all: Vec<Event> = Vec::with_capacity(news.births.len() + news.changes.len());
        for row in &news.births {
            let event = events::client_event(
                id,
                log,
                row.ver,
                Changed::Message("message", events::message(row)),
            );
            let stamp = Stamp { epoch, at_ms: row.sent_at_ms };
            all.push(events::chat_event(&event, log, receivers.at(row.ver), stamp));
        }
        for (row, now) in news.changes {
            let event = client_event(id, log, row, now);
            let stamp = Stamp { epoch, at_ms: row.at_ms };
            all.push(events::chat_event(&event, log, receivers.at(row.ver), stamp));
        }
        all.sort_unstable_by_key(|event| event.ver);
        Ok((all, news.to_ver))
    }

    async fn user_events(
        &self,
        user: &User,
        since: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), StoreError> {
        let rows = self.store.changes(user.head.entity, since, limit as u64).await?;
        let to_ver = match rows.last() {
            Some(last) if limit <= rows.len() => last.ver.min(up_to),
            _ => up_to,
        };
        let epoch = self.epoch(user.head.entity);
        let events = rows
            .iter()
            .filter(|row| row.ver <= to_ver)
            .filter_map(|row| {
                let own = match row.kind {
                    ChangeKind::List => Own::List(user.list_row(row.subject)?),
                    ChangeKind::Session => match user.session(row.subject) {
                        Some(_) => Own::Session,
                        None => Own::SessionEnded { session: row.subject, reason: "revoked" },
                    },
                    _ => Own::Profile,
                };
                let stamp = Stamp { epoch, at_ms: row.at_ms };
                Some(events::user_event(user, row.ver, own, stamp))
            })
            .collect();
        Ok((events, to_ver))
    }

    /// What is new in a chat, a page of it: at most `limit`, and about a page's bytes.
    pub(super) async fn news(
        &self,
        chat: &Chat,
        since: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<News, StoreError> {
        let births = self.memory(chat.head.entity).births.between(chat.head, since, up_to, limit);
        if let Some(births) = births {
            let births = births.iter().map(|row| MessageRow::clone(row)).collect();
            return Ok(cut(News { births, changes: Vec::new(), to_ver: up_to }, PAGE_BYTES_MAX));
        }
        let gathered = gather(&self.rows, chat.head, since, up_to, limit).await?;
        let Page { births, changes, to_ver } = page(gathered, limit);
        let lookups = changes
            .into_iter()
            .map(|row| async move { Ok::<_, StoreError>((row, self.now(chat, row).await?)) });
        let changes: Vec<(ChangeRow, Option<Now>)> =
            stream::iter(lookups).buffered(LOADS_AT_ONCE).try_collect().await?;
        let changes = changes.into_iter().filter_map(|(row, now)| Some((row, now?))).collect();
        Ok(cut(News { births, changes, to_ver }, PAGE_BYTES_MAX))
    }

    async fn now(&self, chat: &Chat, row: ChangeRow) -> Result<Option<Now>, StoreError> {
        let id = chat.head.entity;
        Ok(match row.kind {
            ChangeKind::Edit | ChangeKind::Delete => {
                self.store.message(id, row.subject).await?.map(Now::Message)
            }
            ChangeKind::Member => match chat.members.get(row.subject) {
                Some(member) => Some(Now::Member(events::member(member, None))),
                None => {
                    let left = self.store.member(id, row.subject).await?;
                    left.map(|row| Now::Member(events::member_row(&row)))
                }
            },
            _ => Some(Now::Chat(Box::new(events::chat_item(chat)))),
        })
    }

    /// Members who left after `since`, as far as a page of changes tells.
    async fn left_since(&self, chat: &Chat, since: u64) -> Result<Vec<MemberRow>, StoreError> {
        let id = chat.head.entity;
        if DIRECT_PUSH_MEMBERS_MAX < chat.members.len() {
            return Ok(Vec::new());
        }
        let rows = self.store.changes(id, since, CHANGES_PAGE_MAX).await?;
        let gone = rows
            .into_iter()
            .filter(|row| row.kind == ChangeKind::Member)
            .map(|row| row.subject)
            .filter(|user| chat.members.get(*user).is_none());
        let mut left = Vec::new();
        for user in gone.collect::<std::collections::BTreeSet<_>>() {
            left.extend(self.store.member(id, user).await?);
        }
        Ok(left)
    }
}

/// Whom events went to, as of each ver.
struct Receivers {
    /// (user, joined_ver, left_ver) by user; None: too many to name.
    spans: Option<Vec<(u64, u64, u64)>>,
}

impl Receivers {
    fn of(chat: &Chat, left: Vec<MemberRow>) -> Receivers {
        if DIRECT_PUSH_MEMBERS_MAX < chat.members.len() {
            return Receivers { spans: None };
        }
        let present = chat.members.iter().map(|member| (member.user, member.joined_ver, u64::MAX));
        let left =
            left.iter().map(|row| (row.user, row.joined_ver, row.left_ver.unwrap_or(u64::MAX)));
        let mut spans: Vec<_> = present.chain(left).collect();
        spans.sort_unstable();
        Receivers { spans: Some(spans) }
    }

    fn at(&self, ver: u64) -> Option<Vec<u64>> {
        let spans = self.spans.as_ref()?;
        let there = spans.iter().filter(|(_, joined, left)| *joined <= ver && ver < *left);
        Some(there.map(|(user, _, _)| *user).collect())
    }
}

/// A change as clients see it.
pub(super) fn client_event(chat: u64, log: u64, row: ChangeRow, now: Now) -> client::Event {
    let changed = match now {
        Now::Message(message) => {
            let kind = if message.deleted { "delete" } else { "edit" };
            Changed::Message(kind, events::message(&message))
        }
        Now::Member(member) => Changed::Member(member),
        Now::Chat(item) => Changed::Chat(item),
    };
    events::client_event(chat, log, row.ver, changed)
}

/// Cuts a page where its texts reach `bytes_max`; at least one thing stays.
fn cut(news: News, bytes_max: usize) -> News {
    let News { mut births, mut changes, to_ver } = news;
    let mut sizes: Vec<(u64, usize)> = births.iter().map(|row| (row.ver, row.text.len())).collect();
    sizes.extend(changes.iter().map(|(row, now)| {
        let bytes = if let Now::Message(message) = now { message.text.len() } else { 0 };
        (row.ver, bytes)
    }));
    sizes.sort_unstable();
    let mut bytes = 0;
    let mut fits_to = None;
    for (ver, size) in sizes {
        bytes += size;
        if bytes_max < bytes && fits_to.is_some() {
            births.retain(|row| fits_to.is_some_and(|to| row.ver <= to));
            changes.retain(|(row, _)| fits_to.is_some_and(|to| row.ver <= to));
            return News { births, changes, to_ver: fits_to.unwrap_or(to_ver) };
        }
        fits_to = Some(ver);
    }
    News { births, changes, to_ver }
}
