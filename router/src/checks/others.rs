//! The other side of what a walk met: asked of the shards that have it now, in few questions. What a shard
//! does not say (it is away, or the slot moves) is counted and not judged.

use super::Checker;
use crate::catalog::ShardRow;
use futures::future::join_all;
use shardline_domain::check::facts::{ChatSide, Fact};
use shardline_domain::id::{EntityId, ShardId};
use shardline_domain::limits::CHECKED_ROWS_MAX;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{
    EntityFacts, FactAbout, LookAnswer, LookRequest, LookedEntity, LookedList, LookedMember, Pair,
};
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A chat and a user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Membership {
    pub(super) chat: u64,
    pub(super) user: u64,
}

/// What is asked.
#[derive(Default)]
pub(super) struct Question {
    pub(super) entities: BTreeSet<u64>,
    /// What the chats say.
    pub(super) chats: BTreeSet<Membership>,
    /// What the users' lists say.
    pub(super) lists: BTreeSet<Membership>,
}

/// What was answered; the rest is not known.
#[derive(Default)]
pub(super) struct Answers {
    /// None: there is no such entity.
    pub(super) entities: BTreeMap<u64, Option<EntityFacts>>,
    pub(super) chats: BTreeMap<Membership, ChatSide>,
    pub(super) lists: BTreeMap<Membership, ListSide>,
    pub(super) unanswered: u64,
    /// Of one of them.
    pub(super) why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ListSide {
    /// Without a user there is no list to keep.
    pub(super) user_exists: bool,
    pub(super) fact: Option<Fact>,
}

pub(super) fn fact(about: &FactAbout) -> Fact {
    Fact { ver: about.ver, joined: about.joined }
}

/// One part of a question, for one shard.
enum Item {
    Entity(u64),
    Chat(Membership),
    List(Membership),
}

impl Item {
    fn entity(&self) -> u64 {
        match self {
            Item::Entity(entity) => *entity,
            Item::Chat(of) => of.chat,
            Item::List(of) => of.user,
        }
    }
}

pub(super) async fn ask(
    checker: &Checker,
    shards: &BTreeMap<ShardId, ShardRow>,
    question: &Question,
) -> Answers {
    let all = (question.entities.iter().map(|entity| Item::Entity(*entity)))
        .chain(question.chats.iter().map(|of| Item::Chat(*of)))
        .chain(question.lists.iter().map(|of| Item::List(*of)));
    let mut answers = Answers::default();
    let mut by_shard: BTreeMap<ShardId, Vec<Item>> = BTreeMap::new();
    for item in all {
        let slot = EntityId::new(item.entity()).ok().map(Slot::of);
        match slot.and_then(|slot| checker.reach.map.place(slot)) {
            Some(place) => by_shard.entry(place.shard).or_default().push(item),
            None => answers.not_said(1, "a slot is not placed"),
        }
    }
    let parts = by_shard.iter().flat_map(|(shard, items)| {
        items.chunks(CHECKED_ROWS_MAX).map(move |items| (*shard, items))
    });
    let asked = join_all(parts.map(|(shard, items)| async move {
        let answer = match shards.get(&shard) {
            Some(row) => ask_one(checker, row, items).await,
            None => Err(Refusal::internal(format!("the catalog has no shard {shard}"))),
        };
        (shard, items, answer)
    }));
    for (shard, items, answer) in asked.await {
        match answer {
            Ok(answer) => answers.take(items, answer),
            Err(refusal) => {
                let why = format!("shard {shard}: {}", refusal.message);
                answers.not_said(items.len(), &why);
            }
        }
    }
    answers
}

async fn ask_one(checker: &Checker, row: &ShardRow, items: &[Item]) -> Result<LookAnswer, Refusal> {
    let mut request = LookRequest::default();
    for item in items {
        match item {
            Item::Entity(entity) => request.entities.push(*entity),
            Item::Chat(of) => request.members.push(Pair { entity: of.chat, other: of.user }),
            Item::List(of) => request.lists.push(Pair { entity: of.user, other: of.chat }),
        }
    }
    checker.writer(row)?.look(request).await
}

impl Answers {
    /// In the order asked.
    fn take(&mut self, items: &[Item], answer: LookAnswer) {
        let mut entities = answer.entities.into_iter();
        let mut members = answer.members.into_iter();
        let mut lists = answer.lists.into_iter();
        for item in items {
            let said = match item {
                Item::Entity(entity) => entities.next().filter(|looked| looked.here).map(
                    |LookedEntity { facts, .. }| {
                        self.entities.insert(*entity, facts);
                    },
                ),
                Item::Chat(of) => members.next().filter(|looked| looked.here).map(|looked| {
                    self.chats.insert(*of, chat_side(&looked));
                }),
                Item::List(of) => lists.next().filter(|looked| looked.here).map(|looked| {
                    self.lists.insert(*of, list_side(&looked));
                }),
            };
            if said.is_none() {
                self.not_said(1, "a slot is on its way");
            }
        }
    }

    fn not_said(&mut self, items: usize, why: &str) {
        self.unanswered += items as u64;
        why.clone_into(&mut self.why);
    }
}

fn chat_side(looked: &LookedMember) -> ChatSide {
    ChatSide {
        member: looked.fact.as_ref().map(fact),
        head_ver: looked.head_ver,
        on_its_way: looked.on_its_way,
        age: looked.age_ms.map(Duration::from_millis),
    }
}

fn list_side(looked: &LookedList) -> ListSide {
    ListSide { user_exists: looked.user_exists, fact: looked.fact.as_ref().map(fact) }
}
