//! What a batch has to know before it can be decided: its entities, the sends to look up, the
//! messages that change. All of it is fetched at once; what fails, fails alone.

use super::queue::Job;
use super::recent::Recent;
use super::staging::{Known, Staging};
use crate::entity::Entity;
use crate::memory::Memory;
use crate::refusals;
use crate::store::{MessageKey, MessageRow, StoreError};
use crate::write::{LookedUp, send};
use futures::StreamExt;
use futures::stream;
use shardline_domain::append::First;
use shardline_wire::internal::call::Op;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Database reads of one batch at the same time.
const LOADS_AT_ONCE: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Chat,
    User,
    Name,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    kind: Kind,
    epoch: u64,
    /// It may not be there yet, and its id may belong to something else.
    creates: bool,
}

/// What a batch needs; pure.
#[derive(Default)]
pub(crate) struct Needs {
    entities: HashMap<u64, Wanted>,
    sends: HashSet<MessageKey>,
    messages: HashSet<(u64, u64)>,
}

impl Needs {
    /// `all_sends`: a duplicate is among them, so look every one up.
    pub(crate) fn of(jobs: &[Job], recent: &Recent, all_sends: bool) -> Needs {
        let mut needs = Needs::default();
        let mut predecessors: Vec<MessageKey> = Vec::new();
        for job in jobs {
            match job {
                Job::Call { call, .. } => {
                    let id = call.entity;
                    let (kind, creates) = match &call.op {
                        Some(Op::Send(send)) => {
                            if let Some((key, before)) = send::keys(id, send) {
                                if (send.retry || all_sends) && recent.get(&key).is_none() {
                                    needs.sends.insert(key);
                                }
                                predecessors.extend(before.filter(|key| recent.get(key).is_none()));
                            }
                            (Kind::Chat, false)
                        }
                        Some(Op::Edit(edit)) => {
                            needs.messages.insert((id, edit.seq));
                            (Kind::Chat, false)
                        }
                        Some(Op::Delete(delete)) => {
                            needs.messages.insert((id, delete.seq));
                            (Kind::Chat, false)
                        }
                        Some(Op::CreateChat(_)) => (Kind::Chat, true),
                        Some(Op::CreateUser(_)) => (Kind::User, true),
                        Some(Op::ClaimName(_)) => (Kind::Name, true),
                        Some(
                            Op::PatchUser(_)
                            | Op::CreateSession(_)
                            | Op::RefreshSession(_)
                            | Op::EndSession(_)
                            | Op::ApplyFact(_)
                            | Op::RemoveUser(_),
                        ) => (Kind::User, false),
                        _ => (Kind::Chat, false),
                    };
                    needs.want(id, Wanted { kind, epoch: call.epoch, creates });
                }
                Job::Cursors { marks, .. } => {
                    for mark in marks {
                        let wanted = Wanted { kind: Kind::Chat, epoch: mark.epoch, creates: false };
                        needs.want(mark.chat, wanted);
                    }
                }
                Job::Delivered(_) | Job::Drain { .. } => {}
            }
        }
        if !predecessors.is_empty() {
            let here = needs.keys_of(jobs);
            needs.sends.extend(predecessors.into_iter().filter(|key| !here.contains(key)));
        }
        needs
    }

    fn want(&mut self, id: u64, wanted: Wanted) {
        let known = self.entities.entry(id).or_insert(wanted);
        known.creates |= wanted.creates;
    }

    /// All sends of the batch: their predecessors are among them, or in the database.
    fn keys_of(&self, jobs: &[Job]) -> HashSet<MessageKey> {
        jobs.iter()
            .filter_map(|job| match job {
                Job::Call { call, .. } => match &call.op {
                    Some(Op::Send(send)) => send::keys(call.entity, send).map(|(key, _)| key),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }
}

/// Fetches what is needed. Where the database fails, the calls concerned will be refused.
pub(crate) async fn load<'a>(
    needs: Needs,
    memory: &Arc<Memory>,
    recent: &'a Recent,
    at_ms: i64,
) -> (Staging, LookedUp<'a>) {
    let mut staging = Staging::new(at_ms);
    let mut missing = Vec::new();
    for (id, wanted) in needs.entities {
        match memory.cache.get(id) {
            Some(entity) => staging.put_known(id, wanted.epoch, fitting(entity, wanted)),
            None => missing.push((id, wanted)),
        }
    }
    let mut looked_up = LookedUp {
        recent,
        sends: HashMap::new(),
        unknown_sends: HashSet::new(),
        messages: HashMap::new(),
        unknown_messages: HashSet::new(),
    };
    if missing.is_empty() && needs.sends.is_empty() && needs.messages.is_empty() {
        return (staging, looked_up);
    }

    let keys: Vec<MessageKey> = needs.sends.into_iter().collect();
    let (entities, sends, messages) = futures::join!(
        load_entities(missing, memory),
        find_sends(&keys, memory),
        load_messages(needs.messages, memory),
    );
    for (id, epoch, known) in entities {
        staging.put_known(id, epoch, known);
    }
    match sends {
        Ok(sends) => looked_up.sends = sends,
        Err(error) => {
            refusals::store(&error);
            looked_up.unknown_sends = keys.into_iter().collect();
        }
    }
    for (key, message) in messages {
        match message {
            Ok(Some(row)) => drop(looked_up.messages.insert(key, row)),
            Ok(None) => {}
            Err(error) => {
                refusals::store(&error);
                looked_up.unknown_messages.insert(key);
            }
        }
    }
    (staging, looked_up)
}

async fn load_entities(
    missing: Vec<(u64, Wanted)>,
    memory: &Arc<Memory>,
) -> Vec<(u64, u64, Known)> {
    let lookups = missing.into_iter().map(|(id, wanted)| async move {
        let known = load_entity(id, wanted, memory).await;
        let known = known.unwrap_or_else(|error| Known::Failed(refusals::store(&error)));
        (id, wanted.epoch, known)
    });
    stream::iter(lookups).buffer_unordered(LOADS_AT_ONCE).collect().await
}

async fn load_entity(id: u64, wanted: Wanted, memory: &Arc<Memory>) -> Result<Known, StoreError> {
    let entity = match wanted.kind {
        Kind::Chat => memory.chat(id).await?.map(Entity::Chat),
        Kind::User => memory.user(id).await?.map(Entity::User),
        Kind::Name => memory.name(id).await?.map(Entity::Name),
    };
    Ok(match entity {
        Some(entity) => Known::Entity(entity),
        None if wanted.creates && memory.head(id).await?.is_some() => Known::Occupied,
        None => Known::Absent,
    })
}

fn fitting(entity: Entity, wanted: Wanted) -> Known {
    match (&entity, wanted.kind) {
        (Entity::Chat(_), Kind::Chat) | (Entity::User(_), Kind::User) => Known::Entity(entity),
        (Entity::Name(_), Kind::Name) => Known::Entity(entity),
        _ if wanted.creates => Known::Occupied,
        _ => Known::Absent,
    }
}

async fn find_sends(
    keys: &[MessageKey],
    memory: &Memory,
) -> Result<HashMap<MessageKey, First>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = memory.store.find_messages(keys).await?;
    Ok(rows.iter().map(|row| (key(row), first(row))).collect())
}

async fn load_messages(
    wanted: HashSet<(u64, u64)>,
    memory: &Memory,
) -> Vec<((u64, u64), Result<Option<MessageRow>, StoreError>)> {
    let lookups = wanted
        .into_iter()
        .map(|(chat, seq)| async move { ((chat, seq), memory.store.message(chat, seq).await) });
    stream::iter(lookups).buffer_unordered(LOADS_AT_ONCE).collect().await
}

fn key(row: &MessageRow) -> MessageKey {
    MessageKey { chat: row.chat, sender: row.sender, client_msg_id: row.client_msg_id }
}

/// What the send was answered at first.
fn first(row: &MessageRow) -> First {
    First { seq: row.seq, ver: row.ver, sent_at_ms: row.sent_at_ms, hash: row.body_hash }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::call::Done;
    use shardline_wire::internal::{Call, Send};

    fn send(id: u8, predecessor: Option<u8>, retry: bool) -> Job {
        let send = Send {
            sender: 5,
            client_msg_id: vec![id; 16],
            predecessor: predecessor.map_or_else(Vec::new, |id| vec![id; 16]),
            retry,
            ..Send::default()
        };
        let call = Call { entity: 9, epoch: 1, op: Some(Op::Send(send)) };
        Job::Call { call, done: Done::new(|_| ()) }
    }

    fn key(id: u8) -> MessageKey {
        MessageKey { chat: 9, sender: 5, client_msg_id: [id; 16] }
    }

    fn check(jobs: &[Job], recent: &Recent, all_sends: bool, expected: &[u8]) {
        let needs = Needs::of(jobs, recent, all_sends);
        assert_eq!(needs.sends, expected.iter().map(|id| key(*id)).collect());
    }

    #[test]
    fn only_retries_are_looked_up() {
        let jobs = [send(1, None, false), send(2, None, true)];
        check(&jobs, &Recent::new(10), false, &[2]);
        check(&jobs, &Recent::new(10), true, &[1, 2]);
    }

    #[test]
    fn a_predecessor_is_looked_up_if_neither_the_batch_nor_memory_has_it() {
        let mut recent = Recent::new(10);
        recent.put(key(3), First { seq: 1, ver: 1, sent_at_ms: 0, hash: [0; 16] });
        let jobs = [send(1, Some(9), false), send(2, Some(1), false), send(4, Some(3), false)];
        check(&jobs, &recent, false, &[9]);
    }
}
