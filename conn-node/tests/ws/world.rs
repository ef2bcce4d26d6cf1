//! The rest of the system as a conn-node sees it: two routers over one small store, which can lose
//! events, keep answers back and go away.

mod router;
mod store;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_wire::call::{Done, NodeSink, Outcome, Push};
use shardline_wire::client::{self, Member, Message};
use shardline_wire::internal::{self, Event, EventKind};
use shardline_wire::refusal::Refusal;
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
    /// What it said of events it was asked about.
    pub recalled: Vec<internal::Recalled>,
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

    /// What the node says of an event.
    pub fn ask(&self, chat: u64, ver: u64) -> Vec<internal::Recalled> {
        for sink in self.sinks() {
            let event = Some(internal::RecallRequest { entity: chat, ver });
            sink.push(Push::Recall(internal::Recall { number: ver, event })).expect("room");
        }
        std::mem::take(&mut self.0.lock().recalled)
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
