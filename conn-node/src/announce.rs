//! Announce, then read: interest in a chat is registered with its router before the chat is read, and
//! registered again, with heads compared, wherever a router or its stream is another one.

use crate::hub::Repair;
use crate::node::Node;
use crate::routers::{Link, Place};
use crate::session::Session;
use shardline_wire::call::Answer;
use shardline_wire::call::{Done, NodeOp, wait};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, EntityRef, GetHeads, HeadView, Interest};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Chats in one registration or one reading of heads: well below a stream's largest batch.
pub(crate) const CHATS_AT_ONCE: usize = 500;
/// Readings of heads at the same time.
const READS_AT_ONCE: usize = 4;
/// For one registration; then the router may have changed.
const REGISTER_TIME_MAX: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How long heads may take when many chats are compared.
const HEADS_TIME_MAX: Duration = Duration::from_secs(3);
/// What could not be compared is tried again after this.
const RECONCILE_EVERY: Duration = Duration::from_secs(2);
const RECONCILE_PAUSE: Duration = Duration::from_millis(20);

/// Registers this node's interest in an open chat with its owner, unless it stands there already.
///
/// # Errors
/// TRY_AGAIN if no owner acknowledged until the deadline.
pub(crate) async fn register(node: &Node, chat: u64, deadline: Instant) -> Result<(), Refusal> {
    loop {
        if let Some(link) = node.routers.connected_owner(chat) {
            let place = link.place();
            if node.hub.claim(chat, place) {
                return Ok(());
            }
            match register_at(&link, vec![chat]).await {
                // A stream that began meanwhile does not have it.
                Ok(()) if link.place() == place => {
                    node.hub.set_registered(chat, place);
                    return Ok(());
                }
                Ok(()) => {}
                Err(refusal) => {
                    let is_newer =
                        refusal.routers.as_ref().is_some_and(|list| node.routers.take_list(list));
                    if refusal.code() == Code::WrongRouter && is_newer {
                        continue;
                    }
                }
            }
        }
        if deadline <= Instant::now() {
            return Err(Refusal::try_again("the chat's router cannot be reached", 500));
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn register_at(link: &Link, chats: Vec<u64>) -> Result<(), Refusal> {
    let (done, outcome) = Done::channel();
    link.submit(NodeOp::Interest(Interest { add: chats, remove: Vec::new() }), done);
    wait(outcome, REGISTER_TIME_MAX).await.map(drop)
}

/// The session no longer has the chat open.
pub(crate) fn close_chat(node: &Node, session: &Arc<Session>, chat: u64) {
    if node.hub.cancel_open(session, chat) {
        withdraw(node, chat);
    }
}

/// The session ended.
pub(crate) async fn leave(node: &Node, session: &Arc<Session>) {
    for chat in node.hub.leave(session) {
        withdraw(node, chat);
    }
    node.announcer.leave(node, session).await;
}

fn withdraw(node: &Node, chat: u64) {
    let Some(link) = node.routers.connected_owner(chat) else {
        // Its stream is gone, and the registration with it.
        return node.hub.withdraw(chat, |_| {});
    };
    node.hub.withdraw(chat, |place| {
        if place == link.place() {
            let interest = Interest { add: Vec::new(), remove: vec![chat] };
            link.submit(NodeOp::Interest(interest), Done::new(|_| {}));
        }
    });
}

/// Reads heads from the store; what no shard answered for is missing.
pub(crate) async fn read_heads(node: &Node, chats: &[u64], limit: Duration) -> Vec<HeadView> {
    let deadline = Instant::now() + limit;
    let mut heads = Vec::with_capacity(chats.len());
    for round in chats.chunks(CHATS_AT_ONCE * READS_AT_ONCE) {
        let reads = round.chunks(CHATS_AT_ONCE).map(|chats| async move {
            let entities = chats.iter().map(|chat| EntityRef { entity: *chat, epoch: 0 }).collect();
            let op = Some(Op::GetHeads(GetHeads { entities }));
            node.routers.call_until(Call { entity: 0, epoch: 0, op }, deadline).await
        });
        for answer in futures::future::join_all(reads).await {
            if let Ok(Answer::Heads(page)) = answer {
                heads.extend(page.heads);
            }
        }
    }
    heads
}

/// Compares the heads of chats with what this node delivered, and remembers on which stream.
pub(crate) async fn compare(node: &Node, chats: &[(u64, Place)], limit: Duration) {
    let ids: Vec<u64> = chats.iter().map(|(chat, _)| *chat).collect();
    let heads = read_heads(node, &ids, limit).await;
    node.hub.on_heads(&heads);
    let places: HashMap<u64, Place> = chats.iter().copied().collect();
    for head in heads {
        if let Some(place) = places.get(&head.entity) {
            node.hub.set_checked(head.entity, *place);
        }
    }
}

/// With the places they have now: before the heads are read, so that a stream that begins meanwhile
/// is noticed.
pub(crate) fn with_places(node: &Node, chats: Vec<u64>) -> Vec<(u64, Place)> {
    let place = |chat: u64| Some((chat, node.routers.owner(chat)?.place()));
    chats.into_iter().filter_map(place).collect()
}

/// The task: looks what stands on a stream that is no more, and puts it right. News of routers only
/// wake it earlier.
pub(crate) async fn keep(node: &Arc<Node>) {
    let stop = node.lifecycle.token();
    let mut changed = node.routers.watch();
    while !stop.is_cancelled() {
        let pass = async {
            changed.mark_unchanged();
            reconcile(node).await;
            // Several streams begin together: one look is enough for them.
            drop(timeout(RECONCILE_EVERY, changed.changed()).await);
            sleep(RECONCILE_PAUSE).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = pass => {}
        }
    }
}

async fn reconcile(node: &Arc<Node>) {
    let place_of = |entity| {
        let link = node.routers.connected_owner(entity)?;
        Some(link.place())
    };
    let found = node.hub.out_of_place(place_of);
    // Interest first: heads read after it miss nothing that is not also pushed.
    let mut by_place: HashMap<Place, Vec<u64>> = HashMap::new();
    for (chat, place) in found.interest {
        by_place.entry(place).or_default().push(chat);
    }
    for (place, chats) in by_place {
        let link = node.routers.links().into_iter().find(|link| link.place() == place);
        let Some(link) = link else { continue };
        for chats in chats.chunks(CHATS_AT_ONCE) {
            for chat in chats {
                node.hub.claim(*chat, place);
            }
            if register_at(&link, chats.to_vec()).await.is_ok() && link.place() == place {
                chats.iter().for_each(|chat| node.hub.set_registered(*chat, place));
            }
        }
    }
    compare(node, &found.heads, HEADS_TIME_MAX).await;
    for (user, place) in found.users {
        if node.hub.wish(Repair::User(user)) {
            node.hub.set_user_checked(user, place);
        }
    }
}
