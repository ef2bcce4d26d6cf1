//! Changes of a chat in a batch; the caller has looked it up.

use super::{Known, Staging, trim_to};
use crate::entity::{Chat, Entity, Member, Members};
use crate::events::{self, Changed};
use crate::store::{ChangeKind, ChatRow, MessageKey, MessageRow, OutboxRow};
use shardline_domain::append::First;
use std::sync::Arc;

impl Staging {
    /// A new message with the next seq and ver.
    pub(crate) fn append(&mut self, mut row: MessageRow, key: MessageKey, first: First) {
        let stamp = self.stamp(row.chat);
        let chat = self.chat_mut(row.chat);
        assert!(
            (row.seq, row.ver) == (chat.head.seq + 1, chat.head.ver + 1),
            "a message takes the next seq and ver"
        );
        chat.head.seq = row.seq;
        chat.head.ver = row.ver;
        chat.head.activity_ms = row.sent_at_ms;
        chat.last = None;
        let (log, receivers) = (chat.head.log, chat.receivers());
        let event = events::lent_message(&mut row, |message| {
            let event = events::client_event(
                message.chat,
                log,
                message.ver,
                Changed::Message("message", message),
            );
            let published = events::chat_event(&event, log, receivers, stamp);
            (event.message.unwrap_or_default(), published)
        });
        self.events.push(event);
        self.rows.messages.push(row);
        self.sent.insert(key, first);
    }

    /// A message that was edited or deleted, but for its changed_ver. Returns that.
    pub(crate) fn change_message(&mut self, mut row: MessageRow, kind: ChangeKind) -> u64 {
        let name = if kind == ChangeKind::Delete { "delete" } else { "edit" };
        let chat = self.chat_mut(row.chat);
        row.changed_ver = chat.head.ver + 1;
        if row.seq == chat.head.seq {
            chat.last = Some(Arc::new(row.clone()));
        }
        let changed = Changed::Message(name, events::message(&row));
        let ver = self.change_chat(row.chat, kind, row.seq, changed);
        self.changed_messages.insert((row.chat, row.seq), row);
        ver
    }

    /// A member who is new, or whose role changed. Returns the ver.
    pub(crate) fn put_member(&mut self, chat_id: u64, mut member: Member, joins: bool) -> u64 {
        let at_ms = self.at_ms;
        let chat = self.chat_mut(chat_id);
        if joins {
            member.joined_ver = chat.head.ver + 1;
        }
        Arc::make_mut(&mut chat.members).put(member);
        member.read_seq = chat.read_seq(&member);
        let fact = joins.then(|| fact(chat, member.user, member.joined_ver, true, at_ms));
        let changed = Changed::Member(events::member(&member, None));
        let ver = self.change_chat(chat_id, ChangeKind::Member, member.user, changed);
        self.members.insert((chat_id, member.user), member.to_row(chat_id, None));
        self.rows.outbox.extend(fact);
        ver
    }

    /// A member who leaves or is removed; that event is the last it gets. Returns the ver.
    pub(crate) fn remove_member(&mut self, chat_id: u64, mut member: Member) -> u64 {
        let at_ms = self.at_ms;
        let chat = self.chat_mut(chat_id);
        let ver = chat.head.ver + 1;
        member.read_seq = chat.read_seq(&member);
        Arc::make_mut(&mut chat.members).remove(member.user);
        let fact = fact(chat, member.user, ver, false, at_ms);
        let changed = Changed::Member(events::member(&member, Some(ver)));
        self.change_chat(chat_id, ChangeKind::Member, member.user, changed);
        self.members.insert((chat_id, member.user), member.to_row(chat_id, Some(ver)));
        self.rows.outbox.push(fact);
        ver
    }

    /// Title or settings. Returns the ver.
    pub(crate) fn change_settings(&mut self, id: u64, change: impl FnOnce(&mut ChatRow)) -> u64 {
        let chat = self.chat_mut(id);
        let ver = chat.head.ver + 1;
        let row = Arc::make_mut(&mut chat.row);
        change(row);
        row.settings_ver = ver;
        chat.apply_settings();
        let mut item = events::chat_item(chat);
        item.head_ver = ver;
        self.chats.insert(id);
        self.change_chat(id, ChangeKind::Chat, 0, Changed::Chat(Box::new(item)))
    }

    /// Ends the chat for all its members, whose lists will show it gone. Returns the ver.
    pub(crate) fn end_chat(&mut self, id: u64) -> u64 {
        let ver = self.change_settings(id, |row| row.ended = true);
        let at_ms = self.at_ms;
        let chat = self.chat_mut(id);
        let facts: Vec<OutboxRow> =
            chat.members.iter().map(|member| fact(chat, member.user, ver, false, at_ms)).collect();
        self.rows.outbox.extend(facts);
        ver
    }

    /// A new chat: ver 1 is its creation, each founder takes one more. All founders get all of it.
    pub(crate) fn create_chat(&mut self, mut chat: Chat, founders: Vec<Member>) {
        let id = chat.head.entity;
        let receivers: Vec<Member> = founders.clone();
        chat.members = Arc::new(Members::new(receivers));
        self.entity_mut(id).known = Known::Entity(Entity::Chat(chat));
        self.chats.insert(id);
        let mut item = events::chat_item(self.chat_mut(id));
        item.head_ver = 1;
        self.change_chat(id, ChangeKind::Chat, 0, Changed::Chat(Box::new(item)));
        for founder in founders {
            self.put_member(id, founder, true);
        }
    }

    /// Tells a user once more whether they are in the chat, as of its head: nothing of the chat changes.
    pub(crate) fn tell_fact(&mut self, id: u64, user: u64, joined: bool) {
        let at_ms = self.at_ms;
        let chat = self.chat_mut(id);
        let fact = fact(chat, user, chat.head.ver, joined, at_ms);
        self.rows.outbox.push(fact);
    }

    fn change_chat(&mut self, id: u64, kind: ChangeKind, subject: u64, changed: Changed) -> u64 {
        let stamp = self.stamp(id);
        let chat = self.chat_mut(id);
        chat.head.ver += 1;
        let (ver, log) = (chat.head.ver, chat.head.log);
        let receivers = chat.receivers();
        let trimmed_to = trim_to(ver, chat.row.trimmed_ver);
        if let Some(to) = trimmed_to {
            Arc::make_mut(&mut chat.row).trimmed_ver = to;
            self.chats.insert(id);
            self.trimmed.insert(id, to);
        }
        let event = events::client_event(id, log, ver, changed);
        self.events.push(events::chat_event(&event, log, receivers, stamp));
        self.change_row(id, ver, kind, subject);
        ver
    }

    fn chat_mut(&mut self, id: u64) -> &mut Chat {
        match &mut self.entity_mut(id).known {
            Known::Entity(Entity::Chat(chat)) => chat,
            _ => unreachable!("a chat's change is of a chat that was looked up"),
        }
    }
}

fn fact(chat: &Chat, user: u64, ver: u64, joined: bool, created_at_ms: i64) -> OutboxRow {
    let kind = chat.kind.name().to_owned();
    OutboxRow { chat: chat.head.entity, ver, user, joined, kind, created_at_ms }
}
