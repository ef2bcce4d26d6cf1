//! The rest of the system as a conn-node sees it: two routers over one small store, which can lose
//! events, keep answers back and go away.

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_domain::id::EntityId;
use shardline_domain::rendezvous;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::call::{Answer, Done, NodeOp, NodeSink, Outcome, Push, Router, RouterConnect};
use shardline_wire::client::{self, ChatItem, Member, Message};
use shardline_wire::internal::{self, Event, EventKind, RouterInfo, RouterList, call::Op};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const PARTITIONS: u32 = 64;
pub const LOG: u64 = 99;

#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    number: u64,
    live: Vec<String>,
    streams: Vec<Stream>,
    chats: HashMap<u64, Chat>,
    lists: HashMap<u64, Vec<internal::ListRow>>,
    list_vers: HashMap<u64, u64>,
    ended: HashSet<u64>,
    cursors: HashMap<(u64, u64), u64>,
    /// Events of these (chat, ver) are never pushed.
    lost: HashSet<(u64, u64)>,
    keeps_answers: bool,
    kept: Vec<(String, Done, Outcome)>,
    refuses_sends: Option<Refusal>,
    users_shard: UsersShard,
    /// Calls about users that are never answered.
    hung: Vec<Done>,
    asked: HashMap<&'static str, u64>,
    /// (router, complete) as said by the node.
    pub said: Vec<(String, bool)>,
}

/// How the shard of all users does.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum UsersShard {
    #[default]
    Up,
    /// It is known to be down: its router says so.
    Down,
    /// It takes calls and never answers.
    Hangs,
    /// It knows sessions and never answers for lists.
    ListsHang,
}

struct Stream {
    router: String,
    sink: Arc<dyn NodeSink>,
    interest: HashSet<u64>,
}

#[derive(Default, Clone)]
struct Chat {
    members: Vec<(u64, u64)>,
    is_wide: bool,
    ver: u64,
    messages: Vec<Message>,
    events: Vec<Event>,
}

impl World {
    pub fn new() -> World {
        let live = vec!["one".to_owned(), "two".to_owned()];
        World(Arc::new(Mutex::new(State { number: 1, live, ..State::default() })))
    }

    pub fn chat(&self, chat: u64, members: &[u64]) {
        self.add_chat(chat, members, false);
    }

    pub fn wide_chat(&self, chat: u64, members: &[u64]) {
        self.add_chat(chat, members, true);
    }

    fn add_chat(&self, chat: u64, members: &[u64], is_wide: bool) {
        let mut state = self.0.lock();
        let joined = members.iter().map(|user| (*user, 1)).collect();
        state.chats.insert(chat, Chat { members: joined, is_wide, ver: 1, ..Chat::default() });
        for user in members {
            let list_ver = state.list_vers.entry(*user).or_default();
            *list_ver += 1;
            let row = internal::ListRow {
                chat,
                kind: "group".into(),
                list_ver: *list_ver,
                ..Default::default()
            };
            state.lists.entry(*user).or_default().push(row);
        }
    }

    /// The chat appears on the user's list, and the user is told.
    pub fn join(&self, chat: u64, user: u64) {
        let (list_ver, ver) = {
            let mut state = self.0.lock();
            let list_ver = state.list_vers.entry(user).or_default();
            *list_ver += 1;
            let list_ver = *list_ver;
            let row = internal::ListRow { chat, list_ver, ..Default::default() };
            state.lists.entry(user).or_default().push(row);
            let here = state.chats.get_mut(&chat).expect("a chat");
            here.members.push((user, here.ver + 1));
            (list_ver, here.ver + 1)
        };
        let member = Member { user, role: "member".into(), joined_ver: ver, ..Member::default() };
        self.change(chat, "member", None, Some(member), user);
        let change = client::ListChange { kind: "chat_added".into(), chat: Some(chat), user: None };
        let payload = client::List { list_ver, change: Some(change) }.encode_to_vec().into();
        self.push_to_all(Event {
            entity: user,
            ver: list_ver,
            kind: EventKind::List.into(),
            receivers: vec![user],
            payload,
            ..Event::default()
        });
    }

    pub fn leave(&self, chat: u64, user: u64) {
        let ver = {
            let mut state = self.0.lock();
            let here = state.chats.get_mut(&chat).expect("a chat");
            here.members.retain(|(member, _)| *member != user);
            here.ver + 1
        };
        let member = Member {
            user,
            role: "member".into(),
            joined_ver: 1,
            left_ver: Some(ver),
            ..Member::default()
        };
        self.change(chat, "member", None, Some(member), user);
    }

    /// Somebody on another node says something; the ver.
    pub fn say(&self, chat: u64, sender: u64, text: &str) -> u64 {
        let message = {
            let mut state = self.0.lock();
            let here = state.chats.get_mut(&chat).expect("a chat");
            here.message(chat, sender, text, rand_id())
        };
        self.change(chat, "message", Some(message), None, 0)
    }

    fn change(
        &self,
        chat: u64,
        kind: &str,
        message: Option<Message>,
        member: Option<Member>,
        subject: u64,
    ) -> u64 {
        let event = {
            let mut state = self.0.lock();
            let here = state.chats.get_mut(&chat).expect("a chat");
            here.ver += 1;
            let inner = client::Event {
                chat,
                ver: here.ver,
                log: LOG.to_string(),
                kind: kind.into(),
                message,
                member,
                chat_item: None,
            };
            let members = here.members.iter().map(|(user, _)| *user);
            let event = Event {
                entity: chat,
                ver: here.ver,
                log: LOG,
                kind: EventKind::Chat.into(),
                receivers: if here.is_wide { Vec::new() } else { members.collect() },
                wide: here.is_wide,
                subject,
                payload: Bytes::from(inner.encode_to_vec()),
                ..Event::default()
            };
            here.events.push(event.clone());
            event
        };
        let ver = event.ver;
        self.push(event);
        ver
    }

    /// From the owner: to interested nodes if wide, else to all.
    fn push(&self, event: Event) {
        let sinks: Vec<_> = {
            let state = self.0.lock();
            if state.lost.contains(&(event.entity, event.ver)) {
                return;
            }
            let owner = state.owner(event.entity);
            let streams = state.streams.iter().filter(|stream| Some(&stream.router) == owner);
            streams
                .filter(|stream| !event.wide || stream.interest.contains(&event.entity))
                .map(|stream| stream.sink.clone())
                .collect()
        };
        for sink in sinks {
            sink.push(Push::Events(vec![event.clone()])).expect("room");
        }
    }

    fn push_to_all(&self, event: Event) {
        for sink in self.sinks() {
            sink.push(Push::Events(vec![event.clone()])).expect("room");
        }
    }

    fn sinks(&self) -> Vec<Arc<dyn NodeSink>> {
        self.0.lock().streams.iter().map(|stream| stream.sink.clone()).collect()
    }

    pub fn end_session(&self, user: u64, session: u64, reason: &str) {
        let ended = internal::SessionEnded { session, reason: reason.into() };
        let ver = {
            let mut state = self.0.lock();
            state.ended.insert(session);
            let ver = state.list_vers.entry(user).or_default();
            *ver += 1;
            *ver
        };
        self.push_to_all(Event {
            entity: user,
            ver,
            kind: EventKind::SessionEnded.into(),
            payload: ended.encode_to_vec().into(),
            ..Event::default()
        });
    }

    /// A log-out whose event never comes.
    pub fn end_session_silently(&self, session: u64) {
        self.0.lock().ended.insert(session);
    }

    pub fn lose(&self, chat: u64, ver: u64) {
        self.0.lock().lost.insert((chat, ver));
    }

    pub fn publish_again(&self, chat: u64, ver: u64) {
        let event = {
            let state = self.0.lock();
            state.chats[&chat].events.iter().find(|event| event.ver == ver).cloned()
        };
        self.push(event.expect("an event"));
    }

    /// What was thought lost comes after all.
    pub fn publish_late(&self, chat: u64, ver: u64) {
        self.0.lock().lost.remove(&(chat, ver));
        self.publish_again(chat, ver);
    }

    pub fn behind(&self) {
        for sink in self.sinks() {
            sink.push(Push::Behind).expect("room");
        }
    }

    pub fn users_shard(&self, is: UsersShard) {
        self.0.lock().users_shard = is;
    }

    pub fn refuse_sends(&self, refusal: Option<Refusal>) {
        self.0.lock().refuses_sends = refusal;
    }

    /// Sends are carried out, and their answers kept until the router goes away.
    pub fn keep_answers(&self) {
        self.0.lock().keeps_answers = true;
    }

    pub fn kept(&self) -> usize {
        self.0.lock().kept.len()
    }

    /// The router that owns this chat goes away: what was in flight is not known.
    pub fn kill_owner(&self, chat: u64) {
        let (kept, sinks, list) = {
            let mut state = self.0.lock();
            let owner = state.owner(chat).cloned().expect("an owner");
            state.live.retain(|id| *id != owner);
            state.streams.retain(|stream| stream.router != owner);
            state.keeps_answers = false;
            state.number += 1;
            let kept = std::mem::take(&mut state.kept);
            let (lost, other): (Vec<_>, Vec<_>) =
                kept.into_iter().partition(|(router, ..)| *router == owner);
            state.kept = other;
            let sinks: Vec<_> = state.streams.iter().map(|stream| stream.sink.clone()).collect();
            (lost, sinks, state.list())
        };
        for (_, done, _) in kept {
            done.finish(Err(Refusal::unknown("the stream broke")));
        }
        for sink in sinks {
            sink.push(Push::Routers(list.clone())).expect("room");
        }
    }

    pub fn texts(&self, chat: u64) -> Vec<String> {
        let state = self.0.lock();
        let messages = state.chats[&chat].messages.iter();
        messages.filter_map(|message| Some(message.body.as_ref()?.text.clone())).collect()
    }

    pub fn asked(&self, what: &'static str) -> u64 {
        self.0.lock().asked.get(what).copied().unwrap_or(0)
    }

    /// What the node said last of presence, by router.
    pub fn said(&self) -> HashMap<String, bool> {
        self.0.lock().said.iter().cloned().collect()
    }

    pub fn said_no_since(&self, from: usize) -> bool {
        self.0.lock().said[from..].iter().any(|(_, complete)| !complete)
    }

    pub fn says(&self) -> usize {
        self.0.lock().said.len()
    }

    pub fn has_interest(&self, chat: u64) -> bool {
        let state = self.0.lock();
        let owner = state.owner(chat);
        let mut streams = state.streams.iter();
        streams.any(|stream| Some(&stream.router) == owner && stream.interest.contains(&chat))
    }
}

fn rand_id() -> Vec<u8> {
    uuid::Uuid::new_v4().as_bytes().to_vec()
}

impl State {
    fn list(&self) -> RouterList {
        let routers = self.live.iter().map(|id| RouterInfo { id: id.clone(), address: id.clone() });
        RouterList { number: self.number, routers: routers.collect(), partitions: PARTITIONS }
    }

    fn owner(&self, entity: u64) -> Option<&String> {
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let slot = Slot::of(EntityId::new(entity).expect("an id"));
        let index = rendezvous::owner(slot.partition(partitions), &self.live)?;
        Some(&self.live[index])
    }

    fn head(&self, chat: u64) -> Option<internal::HeadView> {
        let here = self.chats.get(&chat)?;
        Some(internal::HeadView {
            entity: chat,
            seq: here.messages.len() as u64,
            ver: here.ver,
            log: LOG,
            activity_ms: 0,
        })
    }

    fn view(&self, chat: u64, user: u64) -> Result<internal::ChatView, Refusal> {
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

    fn open(&self, chat: u64, open: internal::OpenChat) -> Outcome {
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

    fn answer(&mut self, entity: u64, op: Op) -> (Outcome, Option<Event>) {
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

    fn send(&mut self, chat: u64, send: internal::Send) -> (Outcome, Option<Event>) {
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
    fn message(&mut self, chat: u64, sender: u64, text: &str, client_msg_id: Vec<u8>) -> Message {
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

fn is_about_user(op: &Op) -> bool {
    matches!(op, Op::CheckSession(_) | Op::GetList(_) | Op::GetUsers(_))
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::GetChanges(_) => "changes",
        Op::GetHeads(_) => "heads",
        Op::Send(_) => "send",
        Op::GetList(get) if get.chat.is_some() => "row",
        Op::GetList(_) => "list",
        _ => "other",
    }
}

impl RouterConnect for World {
    fn open(
        &self,
        router: &RouterInfo,
        _hello: internal::NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn Router> {
        // The configured address is the router's name here.
        let id = router.address.clone();
        let list = {
            let mut state = self.0.lock();
            let stream =
                Stream { router: id.clone(), sink: sink.clone(), interest: HashSet::new() };
            state.streams.push(stream);
            state.list()
        };
        sink.push(Push::Behind).expect("room");
        sink.push(Push::Routers(list)).expect("room");
        Arc::new(FakeRouter { world: self.clone(), id })
    }
}

struct FakeRouter {
    world: World,
    id: String,
}

impl FakeRouter {
    fn call(&self, call: internal::Call, done: Done) {
        let op = call.op.expect("an op");
        let (outcome, event, is_kept) = {
            let mut state = self.world.0.lock();
            *state.asked.entry(name_of(&op)).or_default() += 1;
            let is_send = matches!(op, Op::Send(_));
            if is_send && state.owner(call.entity) != Some(&self.id) {
                let refusal = Refusal::new(Code::WrongRouter, "another's");
                let refusal = Refusal { routers: Some(state.list()), ..refusal };
                drop(state);
                return done.finish(Err(refusal));
            }
            if is_about_user(&op) {
                let is_list = matches!(op, Op::GetList(_));
                match state.users_shard {
                    UsersShard::Up => {}
                    UsersShard::ListsHang if !is_list => {}
                    UsersShard::Down => {
                        drop(state);
                        return done.finish(Err(Refusal::try_again("nobody serves it", 200)));
                    }
                    UsersShard::Hangs | UsersShard::ListsHang => {
                        return state.hung.push(done);
                    }
                }
            }
            let (outcome, event) = state.answer(call.entity, op);
            (outcome, event, is_send && state.keeps_answers)
        };
        if is_kept {
            self.world.0.lock().kept.push((self.id.clone(), done, outcome));
        } else {
            done.finish(outcome);
        }
        if let Some(event) = event {
            self.world.push(event);
        }
    }
}

impl Router for FakeRouter {
    fn submit(&self, op: NodeOp, done: Done) {
        if !self.is_connected() {
            return done.finish(Err(Refusal::try_again("not connected", 10)));
        }
        match op {
            NodeOp::Call(call) => return self.call(call, done),
            NodeOp::Interest(interest) => {
                let mut state = self.world.0.lock();
                let streams = state.streams.iter_mut().filter(|stream| stream.router == self.id);
                for stream in streams {
                    stream.interest.extend(interest.add.iter().copied());
                    stream.interest.retain(|chat| !interest.remove.contains(chat));
                }
            }
            NodeOp::Presence(presence) => {
                self.world.0.lock().said.push((self.id.clone(), presence.complete));
            }
            NodeOp::Signal(signal) => {
                let own = {
                    let state = self.world.0.lock();
                    let mut streams = state.streams.iter();
                    let own = streams.find(|stream| stream.router == self.id);
                    own.map(|stream| stream.sink.clone())
                };
                if let Some(sink) = own {
                    sink.push(Push::Signals(vec![signal.clone()])).expect("room");
                }
            }
        }
        done.finish(Ok(Answer::Registered(internal::Registered {})));
    }

    fn is_connected(&self) -> bool {
        self.world.0.lock().live.contains(&self.id)
    }
}
