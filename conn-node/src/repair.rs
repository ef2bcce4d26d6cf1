//! Fetches what the hub found missing: one read per chat and node at a time, however many sessions
//! wait for it.

use crate::hub::Repair;
use crate::hub::published::UserNews;
use crate::metrics::REPAIRS;
use crate::node::Node;
use crate::{announce, beacon};
use shardline_domain::follow::Ask;
use shardline_domain::limits::CHANGES_PAGE_MAX;
use shardline_wire::call::Answer;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, ChangesPage, GetChanges, GetList, ListPage};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::debug;

/// Repairs carried out at the same time.
const REPAIRS_MAX: usize = 64;
/// What is missing is often only late: the streams of two routers are not ordered among themselves.
const PATIENCE: Duration = Duration::from_millis(30);
const READ_TIME_MAX: Duration = Duration::from_secs(3);
/// Reads of one repair: pages and second tries. What is left then is found again by the beacon.
const READS_MAX: u32 = 20;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The task: carries out wishes until the node stops.
pub(crate) async fn keep(node: Arc<Node>, mut wishes: mpsc::Receiver<Repair>) {
    let stop = node.lifecycle.token();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            wish = wishes.recv(), if running.len() < REPAIRS_MAX => {
                let Some(wish) = wish else { return };
                let node = node.clone();
                running.spawn(async move {
                    sleep(PATIENCE).await;
                    match wish {
                        Repair::Chat(chat) => repair_chat(&node, chat).await,
                        Repair::User(user) => repair_user(&node, user).await,
                        Repair::Heads(chat) => beacon::tell_openers(&node, chat).await,
                    }
                });
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

async fn repair_chat(node: &Node, chat: u64) {
    let mut pause = RETRY_FIRST;
    for _ in 0..READS_MAX {
        let Some(ask) = node.hub.ask_chat(chat) else { return };
        let is_answered = match ask {
            Ask::Start { .. } => {
                let heads = announce::read_heads(node, &[chat], READ_TIME_MAX).await;
                node.hub.on_heads(&heads);
                !heads.is_empty()
            }
            Ask::Changes { number, after, up_to } => {
                match changes(node, chat, after, up_to).await {
                    Ok(page) => {
                        let how = if page.resync { "resync" } else { "repaired" };
                        metrics::counter!(REPAIRS, "how" => how).increment(1);
                        node.hub.on_changes(chat, number, page);
                        true
                    }
                    Err(refusal) => {
                        debug!(%refusal, chat, "a gap could not be repaired yet");
                        false
                    }
                }
            }
        };
        if !is_answered {
            node.hub.ask_failed(chat, ask.number());
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
    metrics::counter!(REPAIRS, "how" => "given_up").increment(1);
}

async fn changes(node: &Node, chat: u64, after: u64, up_to: u64) -> Result<ChangesPage, Refusal> {
    let op = GetChanges { since_ver: after, limit: CHANGES_PAGE_MAX, min_ver: up_to };
    let call = Call { entity: chat, epoch: 0, op: Some(Op::GetChanges(op)) };
    match node.routers.call_until(call, Instant::now() + READ_TIME_MAX).await? {
        Answer::Changes(page) => Ok(page),
        _ => Err(Refusal::internal("another answer than Changes")),
    }
}

async fn repair_user(node: &Node, user: u64) {
    let since = node.hub.list_ver(user);
    let number = node.hub.ask_user(user).map(Ask::number);
    let call = Call {
        entity: user,
        epoch: 0,
        op: Some(Op::GetList(GetList { since_list_ver: Some(since), chat: None })),
    };
    match node.routers.call_until(call, Instant::now() + READ_TIME_MAX).await {
        Ok(Answer::List(page)) => {
            let list_ver = page.list_ver;
            let news = news_of(node, user, since, page);
            node.hub.on_user_changes(user, number, list_ver, news);
        }
        outcome => {
            debug!(user, answered = outcome.is_ok(), "a list could not be read");
            // Also after a failure the beacon comes by.
            if let Some(number) = number {
                node.hub.ask_user_failed(user, number);
            }
        }
    }
}

/// What changed since, as the news that were missed.
fn news_of(node: &Node, user: u64, since: u64, page: ListPage) -> Vec<(u64, Arc<UserNews>)> {
    let mut rows = page.rows;
    rows.sort_by_key(|row| row.list_ver);
    let mut news = Vec::new();
    if !page.resumed {
        // The whole list: what is not on it is gone.
        let listed: std::collections::HashSet<u64> =
            rows.iter().filter(|row| !row.gone).map(|row| row.chat).collect();
        let followed = node.hub.followed(user);
        let gone = followed.into_iter().filter(|chat| !listed.contains(chat));
        news.extend(gone.map(|chat| (since + 1, Arc::new(UserNews::of_gone(page.list_ver, chat)))));
    }
    let newer = rows.iter().filter(|row| since < row.list_ver);
    news.extend(newer.map(|row| (row.list_ver, Arc::new(UserNews::of_row(row)))));
    let last = rows.last().map_or(since, |row| row.list_ver);
    if let Some(profile) = page.user.filter(|_| last < page.list_ver) {
        news.push((page.list_ver, Arc::new(UserNews::of_profile(page.list_ver, profile))));
    }
    news
}
