//! Repairs by saying it again: the chat's shard writes the fact once more in its lane, and it is delivered
//! and applied as usual; a user whose name was never claimed is removed by its own shard. Nothing is ever
//! written to the side that is wrong. Each repair is journaled before it is made.

use super::Checker;
use super::fsck::{Suspect, finding};
use super::others::{Membership, Question, ask};
use crate::catalog::ShardRow;
use crate::catalog_service::refusal;
use shardline_domain::check::facts::{can_be_told, compare};
use shardline_domain::id::{EntityId, ShardId};
use shardline_domain::slot::Slot;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, EmitFact, FsckFinding, RemoveUser};
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Repairs of one page: they are journaled and made one after another while somebody waits.
const REPAIRS_MAX: usize = 50;
/// How long facts that were told again may take until the lists show them.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(4);
const SETTLE_LOOK: Duration = Duration::from_millis(100);

/// What becomes of a finding.
enum Fate {
    Repaired,
    /// Told again: to be seen.
    Told(Membership),
    Left(String),
}

pub(super) async fn repair(
    checker: &Checker,
    shards: &BTreeMap<ShardId, ShardRow>,
    shard: ShardId,
    suspects: Vec<Suspect>,
    by: &str,
) -> Result<Vec<FsckFinding>, Refusal> {
    let mut fates = Vec::with_capacity(suspects.len());
    let mut tried = 0;
    for suspect in &suspects {
        let fate = match step(suspect) {
            Err(why) => Fate::Left(why),
            Ok(_) if REPAIRS_MAX <= tried => {
                let why = format!("{REPAIRS_MAX} were repaired at once; run it again");
                Fate::Left(why)
            }
            Ok(step) => {
                tried += 1;
                make(checker, step, by).await?
            }
        };
        fates.push(fate);
    }
    let told: BTreeSet<Membership> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Told(of) => Some(*of),
            _ => None,
        })
        .collect();
    let open = settle(checker, shards, told).await;
    let with_fate = |(suspect, fate): (&Suspect, Fate)| {
        let (state, why) = match fate {
            Fate::Repaired => ("repaired", String::new()),
            Fate::Told(of) if open.contains(&of) => {
                let seconds = SETTLE_TIME_MAX.as_secs();
                ("left", format!("it was told again, and was not applied in {seconds} s"))
            }
            Fate::Told(_) => ("repaired", String::new()),
            Fate::Left(why) => ("left", why),
        };
        FsckFinding { state: state.to_owned(), why, ..finding(shard, suspect) }
    };
    Ok(suspects.iter().zip(fates).map(with_fate).collect())
}

enum Step {
    Tell { of: Membership, known_ver: u64, text: String },
    Remove { user: u64, name: String },
}

/// What to do about it, or why nothing can be done.
fn step(suspect: &Suspect) -> Result<Step, String> {
    match suspect {
        Suspect::Member { of, chat, listed, .. } => {
            if chat.head_ver == 0 {
                return Err("there is no such chat that could say so".to_owned());
            }
            if !can_be_told(chat.head_ver, *listed) {
                let why = "the list knows a ver that the chat has not passed; it can be told after the \
                           chat's next change";
                return Err(why.to_owned());
            }
            let known_ver = listed.map_or(0, |listed| listed.ver);
            let text = format!("the list knew ver {known_ver}");
            Ok(Step::Tell { of: *of, known_ver, text })
        }
        Suspect::Local(local) if local.kind == "undelivered" => {
            let of = Membership { chat: local.entity, user: local.other };
            Ok(Step::Tell { of, known_ver: 0, text: "it was not delivered".to_owned() })
        }
        Suspect::Nameless { user, name } => Ok(Step::Remove { user: *user, name: name.clone() }),
        Suspect::NameAlone { .. } => Err("names are never freed".to_owned()),
        Suspect::Local(_) => Err("a person has to look: nothing is deleted unasked".to_owned()),
    }
}

async fn make(checker: &Checker, step: Step, by: &str) -> Result<Fate, Refusal> {
    let (call, what, done) = match step {
        Step::Tell { of, known_ver, text } => {
            let Membership { chat, user } = of;
            let op = Op::EmitFact(EmitFact { user, known_ver });
            let what = format!("fsck: chat {chat} tells user {user} again ({text})");
            (Call { entity: chat, epoch: 0, op: Some(op) }, what, Fate::Told(of))
        }
        Step::Remove { user, name } => {
            // A copy on its way would keep the user, and its comparison fail.
            if let Ok(id) = EntityId::new(user) {
                let held = checker.catalog.locate_slot(Slot::of(id)).await.map_err(refusal)?;
                if held.is_none_or(|slot| slot.held.is_some()) {
                    return Ok(Fate::Left("its slot is moving; run it again later".to_owned()));
                }
            }
            let what = format!("fsck: user {user} is removed: the name {name} was never claimed");
            let op = Op::RemoveUser(RemoveUser { name });
            (Call { entity: user, epoch: 0, op: Some(op) }, what, Fate::Repaired)
        }
    };
    checker.catalog.note_change(by, &what).await.map_err(refusal)?;
    Ok(match checker.route.route(call).await {
        Ok(_) => done,
        Err(refused) => Fate::Left(refused.message),
    })
}

/// Waits until the lists agree and nothing is on its way; those that do not in time.
async fn settle(
    checker: &Checker,
    shards: &BTreeMap<ShardId, ShardRow>,
    mut open: BTreeSet<Membership>,
) -> BTreeSet<Membership> {
    let deadline = Instant::now() + SETTLE_TIME_MAX;
    while !open.is_empty() && Instant::now() < deadline {
        sleep(SETTLE_LOOK).await;
        let of_chats = Question { chats: open.clone(), ..Question::default() };
        let chats = ask(checker, shards, &of_chats).await.chats;
        let of_lists = Question { lists: open.clone(), ..Question::default() };
        let lists = ask(checker, shards, &of_lists).await.lists;
        open.retain(|of| match (chats.get(of), lists.get(of)) {
            (Some(chat), Some(list)) => {
                let agree =
                    !list.user_exists || compare(chat.member, chat.head_ver, list.fact).is_none();
                chat.on_its_way || !agree
            }
            _ => true,
        });
    }
    open
}
