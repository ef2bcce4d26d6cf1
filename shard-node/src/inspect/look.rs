//! The other side of what a check found on another shard: entities, members and list rows by their keys.
//! Of slots that are not this shard's, nothing is said.

use super::{Ground, age_ms, ended, entity_facts, of_chat, of_user};
use crate::refusals;
use crate::store::{EntityRow, HeadRow, Store, StoreError};
use shardline_domain::check::tables::Holding;
use shardline_domain::id::EntityId;
use shardline_domain::limits::CHECKED_ROWS_MAX;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{
    LookAnswer, LookRequest, LookedEntity, LookedList, LookedMember, Pair,
};
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// Facts of one chat on their way, of those looked through.
const OUTBOX_ROWS: u64 = 5_000;

pub(crate) async fn look(
    ground: &Ground<'_>,
    request: &LookRequest,
) -> Result<LookAnswer, Refusal> {
    for (field, asked) in [
        ("entities", request.entities.len()),
        ("members", request.members.len()),
        ("lists", request.lists.len()),
    ] {
        if CHECKED_ROWS_MAX < asked {
            let message = format!("{asked} are asked about, {CHECKED_ROWS_MAX} are allowed");
            return Err(refusals::bad_field(field, message));
        }
    }
    let looked = look_at(ground, request).await;
    looked.map_err(|error| refusals::store(&error))
}

async fn look_at(ground: &Ground<'_>, request: &LookRequest) -> Result<LookAnswer, StoreError> {
    let store = ground.store;
    let holdings = ground.holdings().await?;
    let is_here = |entity: u64| {
        EntityId::new(entity).is_ok_and(|id| holdings.of(Slot::of(id)) == Holding::Ours)
    };
    let wanted: BTreeSet<u64> = request
        .entities
        .iter()
        .copied()
        .chain(request.members.iter().map(|pair| pair.entity))
        .chain(request.lists.iter().map(|pair| pair.entity))
        .filter(|entity| is_here(*entity))
        .collect();
    // Members and lists first: their entity is as they were, or later.
    let members = members(store, &request.members, &wanted).await?;
    let lists = lists(store, &request.lists, &wanted).await?;
    let known = Known::read(store, wanted.iter().copied().collect()).await?;

    let entity = |entity: &u64| LookedEntity {
        here: is_here(*entity),
        facts: known.get(*entity).map(|(row, head)| entity_facts(row, head)),
    };
    let entities = request.entities.iter().map(entity).collect();
    let mut looked_members = Vec::with_capacity(request.members.len());
    for pair in &request.members {
        if !is_here(pair.entity) {
            looked_members.push(LookedMember::default());
            continue;
        }
        let mut looked = LookedMember { here: true, ..LookedMember::default() };
        if let Some((row @ EntityRow::Chat(_), head)) = known.get(pair.entity) {
            looked.head_ver = head.ver;
            let member = members.rows.get(&(pair.entity, pair.other));
            looked.fact = member.map(|member| of_chat(member, ended(row)));
        }
        looked.on_its_way = members.on_their_way.contains(&(pair.entity, pair.other))
            || members.many_on_their_way.contains(&pair.entity);
        if let Some(fact) = &looked.fact {
            looked.age_ms = age_of(store, pair.entity, fact.ver).await?;
        }
        looked_members.push(looked);
    }
    let list = |pair: &Pair| LookedList {
        here: is_here(pair.entity),
        user_exists: matches!(known.get(pair.entity), Some((EntityRow::User(_), _))),
        fact: lists.get(&(pair.entity, pair.other)).copied(),
    };
    let lists = request.lists.iter().map(list).collect();
    Ok(LookAnswer { entities, members: looked_members, lists })
}

/// Entities with their heads.
struct Known(BTreeMap<u64, (EntityRow, HeadRow)>);

impl Known {
    async fn read(store: &dyn Store, entities: Vec<u64>) -> Result<Known, StoreError> {
        if entities.is_empty() {
            return Ok(Known(BTreeMap::new()));
        }
        let rows = store.entity_rows(&entities).await?;
        // Afterwards: what was there had its head.
        let heads = store.heads(&entities).await?;
        let heads: BTreeMap<u64, HeadRow> =
            heads.into_iter().map(|head| (head.entity, head)).collect();
        let with_head = |row: EntityRow| {
            let head = heads.get(&row.entity()).copied();
            head.map(|head| (row.entity(), (row, head)))
        };
        Ok(Known(rows.into_iter().filter_map(with_head).collect()))
    }

    fn get(&self, entity: u64) -> Option<&(EntityRow, HeadRow)> {
        self.0.get(&entity)
    }
}

#[derive(Default)]
struct Members {
    rows: BTreeMap<(u64, u64), crate::store::MemberRow>,
    /// (chat, user)
    on_their_way: BTreeSet<(u64, u64)>,
    /// Chats with more than are looked through.
    many_on_their_way: BTreeSet<u64>,
}

async fn members(
    store: &dyn Store,
    pairs: &[Pair],
    here: &BTreeSet<u64>,
) -> Result<Members, StoreError> {
    let mut by_chat: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| here.contains(&pair.entity)) {
        by_chat.entry(pair.entity).or_default().push(pair.other);
    }
    let mut found = Members::default();
    for (chat, users) in by_chat {
        let rows = store.members_named(chat, &users).await?;
        found.rows.extend(rows.into_iter().map(|row| ((chat, row.user), row)));
        let facts = store.outbox_in(chat..=chat, (0, 0, 0), OUTBOX_ROWS).await?;
        if OUTBOX_ROWS <= facts.len() as u64 {
            found.many_on_their_way.insert(chat);
        }
        found.on_their_way.extend(facts.into_iter().map(|fact| (chat, fact.user)));
    }
    Ok(found)
}

async fn lists(
    store: &dyn Store,
    pairs: &[Pair],
    here: &BTreeSet<u64>,
) -> Result<BTreeMap<(u64, u64), shardline_wire::internal::FactAbout>, StoreError> {
    let mut found = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| here.contains(&pair.entity) && 0 < pair.other) {
        let rows = store.list(pair.entity, pair.other - 1, 1).await?;
        if let Some(row) = rows.first().filter(|row| row.chat == pair.other) {
            found.insert((pair.entity, pair.other), of_user(row));
        }
    }
    Ok(found)
}

/// Since the chat's change of this ver, if that is still known.
async fn age_of(store: &dyn Store, chat: u64, ver: u64) -> Result<Option<u64>, StoreError> {
    let changes = store.changes(chat, ver.saturating_sub(1), 1).await?;
    Ok(changes.first().filter(|change| change.ver == ver).map(|change| age_ms(change.at_ms)))
}
