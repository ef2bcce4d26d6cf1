//! People who write, edit, read and repeat while slots move, and what must be true of it all afterwards.

use crate::world::{SOON, World, slot_of};
use parking_lot::Mutex;
use shardline_domain::id::{ChatId, UserId};
use shardline_domain::slot::Slot;
use shardline_shard_node::store::{EntityDigest, Wanted, digests};
use shardline_wire::call::Answer;
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CreateChat, CreateUser, CursorMark, Edit, GetChat, GetHistory, GetList, MergeCursors, Send,
    Sent,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) struct People {
    world: Arc<World>,
    pub(crate) users: Vec<u64>,
    pub(crate) chats: Vec<u64>,
    /// chat -> text -> what it was answered
    acked: Arc<Mutex<BTreeMap<u64, BTreeMap<String, Sent>>>>,
    edited: Arc<Mutex<BTreeMap<(u64, u64), String>>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl People {
    /// Some users, and chats of all of them.
    pub(crate) async fn meet(world: &Arc<World>, users: u64, chats: u64) -> People {
        let mut people = People {
            world: Arc::clone(world),
            users: Vec::new(),
            chats: Vec::new(),
            acked: Arc::default(),
            edited: Arc::default(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        for number in 1..=users {
            let id = UserId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).get();
            let create = CreateUser {
                name: format!("user{number}"),
                display_name: format!("User {number}"),
                password_hash: "hash".to_owned(),
            };
            world.call(id, Op::CreateUser(create)).await.expect("a new user");
            people.users.push(id);
        }
        for number in 1..=chats {
            let creator = UserId::new(people.users[0]).expect("an id");
            let client_chat_id = [u8::try_from(number).expect("few"); 16];
            let create = CreateChat {
                creator: creator.get(),
                kind: "group".to_owned(),
                title: format!("Chat {number}"),
                history: "all".to_owned(),
                client_chat_id: client_chat_id.to_vec(),
                members: people.users[1..].to_vec(),
            };
            let id = ChatId::of_group(creator, &client_chat_id, 0).get();
            world.call(id, Op::CreateChat(create)).await.expect("a new chat");
            people.chats.push(id);
        }
        people
    }

    /// Of everything they made.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let all = self.users.iter().chain(&self.chats);
        let mut slots: Vec<Slot> = all.map(|entity| slot_of(*entity)).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// In every chat one writes, edits, reads and repeats, until `rest`.
    pub(crate) fn write(&mut self, name: &str) {
        for (number, chat) in self.chats.iter().copied().enumerate() {
            let one = Writer {
                world: Arc::clone(&self.world),
                chat,
                sender: self.users[number % self.users.len()],
                reader: self.users[(number + 1) % self.users.len()],
                name: format!("{name}-{number}"),
                acked: Arc::clone(&self.acked),
                edited: Arc::clone(&self.edited),
            };
            let stop = Arc::clone(&self.stop);
            // Test tasks end with the test.
            #[allow(clippy::disallowed_methods)]
            self.tasks.spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    one.round(number).await;
                }
            });
        }
    }

    pub(crate) async fn rest(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) =
            tokio::time::timeout(SOON, self.tasks.join_next()).await.expect("writers end in time")
        {
            ended.expect("a writer ends well");
        }
        self.stop.store(false, Ordering::SeqCst);
    }

    pub(crate) fn acked(&self) -> usize {
        self.acked.lock().values().map(BTreeMap::len).sum()
    }

    /// Every acknowledged message is there once, at the seq it was answered with, and nothing else is;
    /// edits, cursors and lists are as they were answered.
    pub(crate) async fn check(&self) {
        let acked = self.acked.lock().clone();
        let edited = self.edited.lock().clone();
        for chat in &self.chats {
            let mut all = Vec::new();
            loop {
                let get = GetHistory {
                    user: self.users[0],
                    after_seq: Some(all.len() as u64),
                    limit: 200,
                    ..GetHistory::default()
                };
                let page = match self.world.call(*chat, Op::GetHistory(get)).await {
                    Ok(Answer::History(page)) => page,
                    other => panic!("not a page: {other:?}"),
                };
                if page.messages.is_empty() {
                    break;
                }
                all.extend(page.messages);
            }
            let empty = BTreeMap::new();
            let sent = acked.get(chat).unwrap_or(&empty);
            assert_eq!(all.len(), sent.len(), "chat {chat}");
            let mut by_seq: BTreeMap<u64, (&String, &Sent)> = BTreeMap::new();
            for (text, answer) in sent {
                assert!(by_seq.insert(answer.seq, (text, answer)).is_none(), "a seq twice");
            }
            for (message, seq) in all.iter().zip(1..) {
                assert_eq!(message.seq, seq);
                let (text, _) = by_seq[&seq];
                let expected = edited.get(&(*chat, seq)).unwrap_or(text);
                assert_eq!(message.body.as_ref().map(|body| &body.text), Some(expected));
            }
            // One wrote one after another: the numbers in the texts only grow.
            let numbers: Vec<u64> = by_seq
                .values()
                .filter_map(|(text, _)| text.rsplit(' ').next()?.parse().ok())
                .collect();
            let mut rounds = 0;
            for two in numbers.windows(2) {
                rounds += usize::from(two[1] <= two[0]);
            }
            assert!(rounds < 8, "a sender's order: {numbers:?}");
        }
        for user in &self.users {
            let list = self.world.call(*user, Op::GetList(GetList::default())).await;
            let Ok(Answer::List(list)) = list else { panic!("not a list: {list:?}") };
            assert_eq!(list.rows.len(), self.chats.len(), "the list of {user}");
        }
    }

    /// Everything of these slots is on both shards alike.
    pub(crate) async fn both_sides_are_equal(&self) {
        for (entity, mine, theirs) in self.on_both_sides().await {
            assert!(mine.is_some());
            assert_eq!(mine, theirs, "entity {entity}");
        }
    }

    pub(crate) async fn follower_is_equal(&self) -> bool {
        // Cursors of senders are still in the owner's memory.
        let rows = |one: Option<EntityDigest>| one.map(|one| (one.ver, one.rows));
        self.on_both_sides().await.into_iter().all(|(_, mine, theirs)| rows(mine) == rows(theirs))
    }

    async fn on_both_sides(&self) -> Vec<(u64, Option<EntityDigest>, Option<EntityDigest>)> {
        let entities: Vec<u64> = self.users.iter().chain(&self.chats).copied().collect();
        let whole = |entity: &u64| Wanted { entity: *entity, since: 0 };
        let wanted: Vec<Wanted> = entities.iter().map(whole).collect();
        let mine = digests(&*self.world.store(0), &wanted).await.expect("read back");
        let theirs = digests(&*self.world.store(1), &wanted).await.expect("read back");
        let both = entities.into_iter().zip(mine).zip(theirs);
        both.map(|((entity, mine), theirs)| (entity, mine, theirs)).collect()
    }

    /// Nothing of these slots is left on this shard.
    pub(crate) async fn nothing_is_left(&self, shard: u32) {
        let store = self.world.store(shard);
        for slot in self.slots() {
            let heads = store.heads_in(&[slot.ids()], 10).await.expect("read");
            assert_eq!(heads, [], "slot {slot} on shard {shard}");
        }
        for chat in &self.chats {
            let state = store.chat(*chat).await.expect("read");
            assert!(state.is_none());
            let outbox = store.outbox_in(*chat..=*chat, (0, 0, 0), 10).await.expect("read");
            assert_eq!(outbox, []);
        }
    }
}

struct Writer {
    world: Arc<World>,
    chat: u64,
    sender: u64,
    reader: u64,
    name: String,
    acked: Arc<Mutex<BTreeMap<u64, BTreeMap<String, Sent>>>>,
    edited: Arc<Mutex<BTreeMap<(u64, u64), String>>>,
}

impl Writer {
    async fn round(&self, number: u64) {
        let text = format!("{} {number}", self.name);
        let send = Send {
            sender: self.sender,
            sender_name: "Somebody".to_owned(),
            client_msg_id: rand::random::<[u8; 16]>().to_vec(),
            body: Some(client::Body { text: text.clone() }),
            ..Send::default()
        };
        let first = self.send(send.clone()).await;
        // Acknowledged means: nobody who reads now misses it.
        self.acked.lock().entry(self.chat).or_default().insert(text, first);
        if number.is_multiple_of(5) {
            let again = self.send(Send { retry: true, ..send }).await;
            assert_eq!(
                (again.seq, again.ver),
                (first.seq, first.ver),
                "a retry gets the first answer"
            );
        }
        if number.is_multiple_of(7) {
            self.edit(first.seq).await;
        }
        if number.is_multiple_of(3) {
            self.read_up_to(first.seq).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn send(&self, send: Send) -> Sent {
        match self.world.call(self.chat, Op::Send(send)).await {
            Ok(Answer::Sent(sent)) => sent,
            other => panic!("not sent: {other:?}"),
        }
    }

    async fn edit(&self, seq: u64) {
        let text = format!("edited {seq}");
        let edit = Edit {
            actor: self.sender,
            seq,
            body: Some(client::Body { text: text.clone() }),
            ..Edit::default()
        };
        self.world.call(self.chat, Op::Edit(edit)).await.expect("edited");
        self.edited.lock().insert((self.chat, seq), text);
    }

    /// A cursor that was merged never goes back.
    async fn read_up_to(&self, seq: u64) {
        loop {
            let entry = self.world.map.lock().entry(slot_of(self.chat));
            let mark = CursorMark { chat: self.chat, user: self.reader, seq, epoch: entry.epoch.0 };
            let merge = Op::MergeCursors(MergeCursors { marks: vec![mark] });
            let merged = self.world.call_at(entry.owner.0, self.chat, entry.epoch.0, merge).await;
            if let Ok(Answer::CursorsMerged(merged)) = merged
                && merged.marks.iter().any(|mark| seq <= mark.seq)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let get = GetChat { user: self.reader, ..GetChat::default() };
        match self.world.call(self.chat, Op::GetChat(get)).await {
            Ok(Answer::Chat(view)) => {
                let read = view.read_seq;
                assert!(seq <= read, "read {read} after {seq}");
            }
            other => panic!("not a chat: {other:?}"),
        }
    }
}
