//! Chats: members, messages, cursors.

use super::{State, refusal};
use shardline_domain::append::body_hash;
use shardline_domain::chat::{Kind, Leaving, Role};
use shardline_domain::chat::{
    may_add, may_change_settings, may_delete, may_edit, may_end, may_leave, may_remove, may_send,
    may_set_role,
};
use shardline_domain::cursor::merge;
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::client::{ChatItem, Member as ClientMember, Message};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Changed, ChatView, CursorMark, CursorsMerged, GetHistory, HeadView, HeadsPage, HistoryPage,
    ItemsPage, ListRow, MembersChanged, MembersPage, Send, Sent,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;

pub(super) struct Chat {
    item: ChatItem,
    kind: Kind,
    identity: Vec<u8>,
    settings_ver: u64,
    created_at_ms: i64,
    members: BTreeMap<u64, Member>,
    messages: Vec<Stored>,
}

struct Stored {
    message: Message,
    hash: [u8; 16],
}

#[derive(Clone)]
pub(super) struct Member {
    role: Role,
    joined_ver: u64,
    joined_seq: u64,
    pub(super) read_seq: u64,
}

impl Chat {
    pub(super) fn of_nobody(chat: u64) -> Chat {
        Chat {
            item: ChatItem { chat, ..ChatItem::default() },
            kind: Kind::Group,
            identity: vec![0xFF],
            settings_ver: 0,
            created_at_ms: 0,
            members: BTreeMap::new(),
            messages: Vec::new(),
        }
    }

    pub(super) fn member(&self, user: u64) -> Result<&Member, Refusal> {
        if self.item.ended {
            return Err(refusal(Code::NotFound, "there is no such chat"));
        }
        self.members.get(&user).ok_or_else(|| refusal(Code::NotMember, "not a member"))
    }

    fn next_ver(&mut self) -> u64 {
        self.item.head_ver += 1;
        self.item.head_ver
    }

    fn log(&self) -> u64 {
        self.item.log.parse().expect("the toy writes numbers")
    }

    fn activity(&self, as_of_ms: i64) -> i64 {
        let times = self.messages.iter().map(|stored| stored.message.sent_at_ms);
        times.filter(|at| *at <= as_of_ms).max().unwrap_or(self.created_at_ms)
    }

    fn view(&self, user: u64) -> Result<ChatView, Refusal> {
        let member = self.member(user)?;
        let peer = self.members.keys().copied().find(|other| *other != user);
        let item = ChatItem {
            members_count: self.members.len() as u64,
            last_message: self.messages.last().map(|stored| stored.message.clone()),
            role: Some(member.role.name().to_owned()),
            ..self.item.clone()
        };
        Ok(ChatView {
            item: Some(item),
            joined_seq: member.joined_seq,
            joined_ver: member.joined_ver,
            read_seq: member.read_seq,
            activity_ms: self.activity(i64::MAX),
            peer: peer.filter(|_| self.kind == Kind::Direct).unwrap_or(0),
            ..ChatView::default()
        })
    }

    fn join(&mut self, user: u64, role: Role) -> u64 {
        let joined_ver = self.next_ver();
        let seq = self.item.head_seq;
        let member = Member { role, joined_ver, joined_seq: seq, read_seq: seq };
        self.members.insert(user, member);
        joined_ver
    }

    fn shown(&self, users: &[u64]) -> Vec<ClientMember> {
        let known = users.iter().filter_map(|user| Some((*user, self.members.get(user)?)));
        known.map(|(user, member)| client_member(user, member)).collect()
    }

    fn changed(&self, members: Vec<ClientMember>) -> Answer {
        Answer::MembersChanged(MembersChanged { members, ver: self.item.head_ver, log: self.log() })
    }

    fn send(&mut self, send: &Send, now_ms: i64) -> Outcome {
        let text = send.body.clone().unwrap_or_default().text;
        let hash = body_hash(&text, send.reply_to);
        let log = self.log();
        let same = |stored: &&Stored| {
            stored.message.sender == send.sender
                && stored.message.client_msg_id == send.client_msg_id
        };
        if let Some(first) = self.messages.iter().find(same) {
            if first.hash != hash {
                return Err(refusal(Code::Conflict, "the same client_msg_id with another body"));
            }
            let Message { seq, ver, sent_at_ms, .. } = first.message;
            return Ok(Answer::Sent(Sent { seq, ver, log, sent_at_ms, duplicate: true }));
        }
        may_send(self.kind, self.member(send.sender)?.role).map_err(denied)?;
        let ver = self.next_ver();
        self.item.head_seq += 1;
        let seq = self.item.head_seq;
        let message = Message {
            chat: self.item.chat,
            seq,
            ver,
            changed_ver: ver,
            sender: send.sender,
            sender_name: send.sender_name.clone(),
            client_msg_id: send.client_msg_id.clone(),
            body: send.body.clone(),
            sent_at_ms: now_ms,
            reply_to: send.reply_to,
            ..Message::default()
        };
        self.messages.push(Stored { message, hash });
        self.members.get_mut(&send.sender).expect("a member").read_seq = seq;
        Ok(Answer::Sent(Sent { seq, ver, log, sent_at_ms: now_ms, duplicate: false }))
    }

    /// Changes a message for this actor, if it may.
    fn change(
        &mut self,
        actor: u64,
        seq: u64,
        if_ver: Option<u64>,
        allowed: impl Fn(Kind, Role, bool) -> Result<(), shardline_domain::chat::Denied>,
        change: impl FnOnce(&mut Message),
    ) -> Outcome {
        let (kind, role) = (self.kind, self.member(actor)?.role);
        let at = self.messages.iter().position(|stored| stored.message.seq == seq);
        let at = at.ok_or_else(|| refusal(Code::NotFound, "there is no such message"))?;
        let message = &self.messages[at].message;
        allowed(kind, role, message.sender == actor).map_err(denied)?;
        if if_ver.is_some_and(|seen| seen < message.changed_ver) {
            return Err(Refusal::of_field(Code::Conflict, "if_ver", "it changed"));
        }
        let ver = self.next_ver();
        let message = &mut self.messages[at].message;
        message.changed_ver = ver;
        change(message);
        Ok(Answer::Changed(Changed { seq, ver, log: self.log() }))
    }

    fn history(&self, get: &GetHistory) -> Outcome {
        self.member(get.user)?;
        if self.item.head_ver < get.min_ver {
            return Err(refusal(Code::Behind, "older than asked"));
        }
        let (after, before) = (get.after_seq.unwrap_or(0), get.before_seq.unwrap_or(u64::MAX));
        let mut found: Vec<Message> = self
            .messages
            .iter()
            .map(|stored| stored.message.clone())
            .filter(|message| after < message.seq && message.seq < before)
            .collect();
        let limit = usize::try_from(get.limit).expect("small");
        if get.after_seq.is_some() {
            found.truncate(limit);
        } else {
            found.drain(..found.len().saturating_sub(limit));
        }
        let head_seq = self.item.head_seq;
        Ok(Answer::History(HistoryPage {
            at_start: found.first().is_none_or(|first| first.seq == 1),
            at_end: found.last().is_none_or(|last| last.seq == head_seq),
            messages: found,
            head_seq,
            head_ver: self.item.head_ver,
            log: self.log(),
        }))
    }
}

pub(super) fn answer(
    state: &mut State,
    entity: u64,
    op: Op,
    is_up: impl Fn(u64) -> bool,
) -> Outcome {
    let now_ms = state.clock_ms;
    match &op {
        Op::CreateChat(create) => {
            let kind = Kind::from_name(&create.kind).expect("checked before");
            let mut identity =
                [create.client_chat_id.clone(), create.creator.to_be_bytes().to_vec()].concat();
            if kind == Kind::Direct {
                let mut two = [create.creator, create.members[0]];
                two.sort_unstable();
                identity = two.iter().flat_map(|user| user.to_be_bytes()).collect();
            }
            if let Some(chat) = state.chats.get(&entity) {
                if chat.identity != identity {
                    return Err(refusal(Code::IdClash, "another chat"));
                }
                return Ok(Answer::Chat(chat.view(create.creator)?));
            }
            let item = ChatItem {
                chat: entity,
                kind: create.kind.clone(),
                title: create.title.clone(),
                log: "77".to_owned(),
                history: create.history.clone(),
                ..ChatItem::default()
            };
            let mut chat =
                Chat { item, kind, identity, created_at_ms: now_ms, ..Chat::of_nobody(0) };
            let first = if kind == Kind::Direct { Role::Member } else { Role::Owner };
            chat.join(create.creator, first);
            for user in &create.members {
                if !chat.members.contains_key(user) {
                    chat.join(*user, Role::Member);
                }
            }
            let view = chat.view(create.creator)?;
            let users: Vec<u64> = chat.members.keys().copied().collect();
            state.chats.insert(entity, chat);
            for user in users {
                put_row(state, user, entity, false);
            }
            Ok(Answer::Chat(ChatView { created: true, ..view }))
        }
        Op::GetItems(get) => {
            let ids = get.entities.iter().map(|one| one.entity).filter(|chat| is_up(*chat));
            let views = ids.filter_map(|id| {
                let chat = state.chats.get(&id)?;
                let view = chat.view(get.user).ok()?;
                let activity_ms = chat.activity(get.as_of_ms.unwrap_or(i64::MAX));
                Some(ChatView { activity_ms, ..view })
            });
            Ok(Answer::Items(ItemsPage { items: views.collect() }))
        }
        Op::GetHeads(get) => {
            let heads = get.entities.iter().filter_map(|one| {
                let item = &state.chats.get(&one.entity)?.item;
                let (seq, ver) = (item.head_seq, item.head_ver);
                Some(HeadView { entity: one.entity, seq, ver, log: 77, activity_ms: 0 })
            });
            Ok(Answer::Heads(HeadsPage { heads: heads.collect() }))
        }
        Op::MergeCursors(merging) => {
            let up = merging.marks.iter().filter(|mark| is_up(mark.chat));
            let merged = up.map(|mark| match state.chats.get_mut(&mark.chat) {
                None => *mark,
                Some(chat) => {
                    let head_seq = chat.item.head_seq;
                    let member = chat.members.get_mut(&mark.user);
                    let seq = member.map_or(mark.seq, |member| {
                        member.read_seq = merge(member.read_seq, mark.seq, head_seq);
                        member.read_seq
                    });
                    CursorMark { seq, ..*mark }
                }
            });
            Ok(Answer::CursorsMerged(CursorsMerged { marks: merged.collect() }))
        }
        _ => {
            let chat = state.chats.get_mut(&entity);
            let chat = chat.ok_or_else(|| refusal(Code::NotFound, "there is no such chat"))?;
            let (outcome, came, went) = one(chat, op, now_ms)?;
            for user in came {
                put_row(state, user, entity, false);
            }
            for user in went {
                put_row(state, user, entity, true);
            }
            Ok(outcome)
        }
    }
}

/// An answer, and whose list shows the chat from now on, and whose no longer.
type Done = (Answer, Vec<u64>, Vec<u64>);

fn one(chat: &mut Chat, op: Op, now_ms: i64) -> Result<Done, Refusal> {
    let none = Vec::new;
    Ok(match op {
        Op::GetChat(get) => (Answer::Chat(chat.view(get.user)?), none(), none()),
        Op::GetHistory(get) => (chat.history(&get)?, none(), none()),
        Op::Send(send) => (chat.send(&send, now_ms)?, none(), none()),
        Op::Edit(edit) => {
            let change = |message: &mut Message| {
                message.body = edit.body;
                message.edited_at_ms = Some(now_ms);
            };
            let allowed = |_, role, own| may_edit(role, own);
            (chat.change(edit.actor, edit.seq, edit.if_ver, allowed, change)?, none(), none())
        }
        Op::Delete(delete) => {
            let change = |message: &mut Message| {
                message.body = None;
                message.deleted = true;
            };
            let (actor, seq) = (delete.actor, delete.seq);
            (chat.change(actor, seq, delete.if_ver, may_delete, change)?, none(), none())
        }
        Op::PatchChat(patch) => {
            may_change_settings(chat.kind, chat.member(patch.actor)?.role).map_err(denied)?;
            if patch.if_ver.is_some_and(|seen| seen < chat.settings_ver) {
                return Err(Refusal::of_field(Code::Conflict, "if_ver", "it changed"));
            }
            chat.settings_ver = chat.next_ver();
            chat.item.title = patch.title.unwrap_or(chat.item.title.clone());
            chat.item.history = patch.history.unwrap_or(chat.item.history.clone());
            (Answer::Chat(chat.view(patch.actor)?), none(), none())
        }
        Op::EndChat(end) => {
            may_end(chat.kind, chat.member(end.actor)?.role).map_err(denied)?;
            let ver = chat.next_ver();
            chat.item.ended = true;
            let went = chat.members.keys().copied().collect();
            (Answer::Changed(Changed { seq: 0, ver, log: chat.log() }), none(), went)
        }
        Op::ListMembers(list) => {
            chat.member(list.user)?;
            let later = chat.members.range(list.after + 1..);
            let mut all: Vec<ClientMember> =
                later.map(|(user, member)| client_member(*user, member)).collect();
            let limit = usize::try_from(list.limit).expect("small");
            let more = limit < all.len();
            all.truncate(limit);
            (Answer::Members(MembersPage { members: all, more }), none(), none())
        }
        Op::AddMembers(add) => {
            let role = Role::from_name(&add.role).expect("checked before");
            may_add(chat.kind, chat.member(add.actor)?.role, role).map_err(denied)?;
            let new: Vec<u64> =
                add.users.iter().copied().filter(|user| !chat.members.contains_key(user)).collect();
            for user in &new {
                chat.join(*user, role);
            }
            (chat.changed(chat.shown(&add.users)), new, none())
        }
        Op::SetRole(set) => {
            let role = Role::from_name(&set.role).expect("checked before");
            let (actor, target) = (chat.member(set.actor)?.role, target(chat, set.user)?.role);
            may_set_role(chat.kind, actor, target, role).map_err(denied)?;
            chat.next_ver();
            chat.members.get_mut(&set.user).expect("looked at").role = role;
            (chat.changed(chat.shown(&[set.user])), none(), none())
        }
        Op::RemoveMember(remove) => {
            let actor = chat.member(remove.actor)?.role;
            let member = target(chat, remove.user)?;
            if remove.actor == remove.user {
                let leaving = may_leave(chat.kind, actor, chat.members.len()).map_err(denied)?;
                chat.item.ended = leaving == Leaving::EndsTheChat;
            } else {
                may_remove(chat.kind, actor, member.role).map_err(denied)?;
            }
            let left_ver = Some(chat.next_ver());
            chat.members.remove(&remove.user);
            let gone = ClientMember { left_ver, ..client_member(remove.user, &member) };
            (chat.changed(vec![gone]), none(), vec![remove.user])
        }
        _ => return Err(Refusal::internal("the toy does not know this")),
    })
}

fn target(chat: &Chat, user: u64) -> Result<Member, Refusal> {
    let member = chat.members.get(&user).cloned();
    member.ok_or_else(|| Refusal::of_field(Code::NotFound, "user", "there is no such member"))
}

fn client_member(user: u64, member: &Member) -> ClientMember {
    let role = member.role.name().to_owned();
    ClientMember { user, role, joined_ver: member.joined_ver, ..ClientMember::default() }
}

fn put_row(state: &mut State, user: u64, chat: u64, gone: bool) {
    let Some(account) = state.users.get_mut(&user) else { return };
    account.ver += 1;
    let list_ver = account.ver;
    account.list.insert(chat, ListRow { chat, gone, list_ver, ..ListRow::default() });
}

fn denied(denied: shardline_domain::chat::Denied) -> Refusal {
    let code = match denied.code() {
        shardline_domain::error::Code::Muted => Code::Muted,
        shardline_domain::error::Code::NotMember => Code::NotMember,
        _ => Code::Forbidden,
    };
    refusal(code, &denied.to_string())
}
