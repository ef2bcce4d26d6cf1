//! The store behind the routers: what it answers to each call.

use super::{Chat, LOG, PARTITIONS, State};
use prost::Message as _;
use shardline_domain::id::EntityId;
use shardline_domain::rendezvous;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::client::{self, ChatItem, Member, Message};
use shardline_wire::internal::{self, Event, EventKind, RouterInfo, RouterList, call::Op};
use shardline_wire::refusal::{Code, Refusal};

impl State {
    pub(super) fn list(&self) -> RouterList {
        let routers = self.live.iter().map(|id| RouterInfo { id: id.clone(), address: id.clone() });
        RouterList { number: self.number, routers: routers.collect(), partitions: PARTITIONS }
    }

    pub(super) fn owner(&self, entity: u64) -> Option<&String> {
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let slot = Slot::of(EntityId::new(entity).expect("an id"));
        let index = rendezvous::owner(slot.partition(partitions), &self.live)?;
        Some(&self.live[index])
    }

    pub(super) fn head(&self, chat: u64) -> Option<internal::HeadView> {
        let here = self.chats.get(&chat)?;
        Some(internal::HeadView {
            entity: chat,
            seq: here.messages.len() as u64,
            ver: here.ver,
            log: LOG,
            activity_ms: 0,
        })
    }

    pub(super) fn view(&self, chat: u64, user: u64) -> Result<internal::ChatView, Refusal> {
        let here = self.chats.get(&chat).ok_or_else(|| Refusal::new(Code::NotFound, "no chat"))?;
        let member = here.members.iter().find(|(member, _)| *member == user);
        let (_, joined_ver) =
            *member.ok_or_else(|| Refusal::new(Code::NotMember, "not a member"))?;
        let item = ChatItem {
            chat,
            kind: "group".into(),
            title: "a chat".into(),
            members_count: here.members.len() as u64,
            head_seq: here.messages.len() as u64,
            head_ver: here.ver,
            log: LOG.to_string(),
            ..ChatItem::default()
        };
        let read_seq = self.cursors.get(&(user, chat)).copied().unwrap_or(0);
        Ok(internal::ChatView { item: Some(item), read_seq, joined_ver, ..Default::default() })
    }

    pub(super) fn open(&self, chat: u64, open: internal::OpenChat) -> Outcome {
        let view = self.view(chat, open.user)?;
        let here = &self.chats[&chat];
        let since = open.since_ver.filter(|since| {
            *since <= here.ver && open.log.as_ref().is_none_or(|log| *log == LOG.to_string())
        });
        if here.ver < open.min_ver {
            return Err(Refusal::new(Code::Behind, "older than asked"));
        }
        let is_new = |message: &&Message| since.is_none_or(|since| since < message.ver);
        Ok(Answer::Opened(internal::Opened {
            chat: Some(view),
            resumed: since.is_some(),
            messages: here.messages.iter().filter(is_new).cloned().collect(),
            to_ver: here.ver,
            at_start: true,
            members: here
                .members
                .iter()
                .map(|(user, joined_ver)| Member {
                    user: *user,
                    role: "member".into(),
                    joined_ver: *joined_ver,
                    ..Member::default()
                })
                .collect(),
            read: here
                .members
                .iter()
                .map(|(user, _)| client::ReadMark {
                    user: *user,
                    seq: self.cursors.get(&(*user, chat)).copied().unwrap_or(0),
                })
                .collect(),
            ..Default::default()
        }))
    }

    pub(super) fn answer(&mut self, entity: u64, op: Op) -> (Outcome, Option<Event>) {
        let outcome = match op {
            Op::Send(send) => return self.send(entity, send),
            Op::CheckSession(check) if self.ended.contains(&check.session) => {
                Err(Refusal::new(Code::SessionRevoked, "ended"))
            }
            Op::CheckSession(check) => Ok(Answer::Session(internal::SessionView {
                session: check.session,
                user: Some(user(entity)),
                ..Default::default()
            })),
            Op::GetList(get) => {
                let rows = self.lists.get(&entity).cloned().unwrap_or_default();
                let since = get.since_list_ver.unwrap_or(0);
                let asked = |row: &internal::ListRow| get.chat.is_none_or(|chat| row.chat == chat);
                let rows = rows.into_iter().filter(asked);
                let rows = rows.filter(|row| since < row.list_ver).collect();
                Ok(Answer::List(internal::ListPage {
                    rows,
                    list_ver: self.list_vers.get(&entity).copied().unwrap_or(0),
                    resumed: get.since_list_ver.is_some(),
                    user: Some(user(entity)),
                }))
            }
            Op::GetHeads(get) => {
                let heads = get.entities.iter().filter_map(|entity| self.head(entity.entity));
                Ok(Answer::Heads(internal::HeadsPage { heads: heads.collect() }))
            }
            Op::GetItems(get) => {
                let views = get
                    .entities
                    .iter()
                    .filter_map(|entity| self.view(entity.entity, get.user).ok());
                Ok(Answer::Items(internal::ItemsPage { items: views.collect() }))
            }
            Op::GetUsers(get) => {
                let users = get.entities.iter().map(|entity| user(entity.entity)).collect();
                Ok(Answer::Users(internal::UsersPage { users }))
            }
            Op::GetChat(get) => self.view(entity, get.user).map(Answer::Chat),
            Op::OpenChat(open) => self.open(entity, open),
            Op::GetHistory(get) => self.view(entity, get.user).and_then(|_| {
                let here = &self.chats[&entity];
                if here.ver < get.min_ver {
                    return Err(Refusal::new(Code::Behind, "older than asked"));
                }
                Ok(Answer::History(internal::HistoryPage {
                    messages: here.messages.clone(),
                    head_seq: here.messages.len() as u64,
                    head_ver: here.ver,
                    log: LOG,
                    at_start: true,
                    at_end: true,
                }))
            }),
            Op::GetChanges(get) => {
                let here = &self.chats[&entity];
                let events = here.events.iter().filter(|event| get.since_ver < event.ver);
                Ok(Answer::Changes(internal::ChangesPage {
                    events: events.cloned().collect(),
                    to_ver: here.ver,
                    log: LOG,
                    ..Default::default()
                }))
            }
            Op::MergeCursors(merge) => {
                let mut marks = merge.marks;
                for mark in &mut marks {
                    let known = self.cursors.entry((mark.user, mark.chat)).or_default();
                    *known = mark.seq.max(*known);
                    mark.seq = *known;
                }
                Ok(Answer::CursorsMerged(internal::CursorsMerged { marks }))
            }
            other => Err(Refusal::internal(format!("{other:?} is not known here"))),
        };
        (outcome, None)
    }

    pub(super) fn send(&mut self, chat: u64, send: internal::Send) -> (Outcome, Option<Event>) {
        if let Some(refusal) = &self.refuses_sends {
            return (Err(refusal.clone()), None);
        }
        if let Err(refusal) = self.view(chat, send.sender) {
            return (Err(refusal), None);
        }
        let here = self.chats.get_mut(&chat).expect("a chat");
        let sent = |message: &Message, duplicate| {
            Ok(Answer::Sent(internal::Sent {
                seq: message.seq,
                ver: message.ver,
                log: LOG,
                sent_at_ms: 1,
                duplicate,
            }))
        };
        let known = here.messages.iter().find(|m| m.client_msg_id == send.client_msg_id);
        if let Some(known) = known {
            return (sent(known, true), None);
        }
        let is_stored = |id: &[u8]| here.messages.iter().any(|m| m.client_msg_id == id);
        if !send.predecessor.is_empty() && !is_stored(&send.predecessor) {
            return (Err(Refusal::try_again("the predecessor is not stored", 10)), None);
        }
        let text = send.body.map(|body| body.text).unwrap_or_default();
        let message = here.message(chat, send.sender, &text, send.client_msg_id);
        let outcome = sent(&message, false);
        here.ver += 1;
        let inner = client::Event {
            chat,
            ver: here.ver,
            log: LOG.to_string(),
            kind: "message".into(),
            message: Some(message),
            ..Default::default()
        };
        let members = here.members.iter().map(|(user, _)| *user);
        let event = Event {
            entity: chat,
            ver: here.ver,
            log: LOG,
            kind: EventKind::Chat.into(),
            receivers: if here.is_wide { Vec::new() } else { members.collect() },
            wide: here.is_wide,
            payload: inner.encode_to_vec().into(),
            ..Event::default()
        };
        here.events.push(event.clone());
        (outcome, Some(event))
    }
}

impl Chat {
    pub(super) fn message(
        &mut self,
        chat: u64,
        sender: u64,
        text: &str,
        client_msg_id: Vec<u8>,
    ) -> Message {
        let message = Message {
            chat,
            seq: self.messages.len() as u64 + 1,
            ver: self.ver + 1,
            changed_ver: self.ver + 1,
            sender,
            sender_name: "somebody".into(),
            client_msg_id,
            body: Some(client::Body { text: text.into() }),
            sent_at_ms: 1,
            ..Message::default()
        };
        self.messages.push(message.clone());
        message
    }
}

fn user(id: u64) -> client::User {
    client::User {
        user: id,
        name: format!("u{id}"),
        display_name: format!("U {id}"),
        ..Default::default()
    }
}
