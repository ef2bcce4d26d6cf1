//! What is looked at before a move begins: a plan is never carried out blindly. Both shards must still
//! take part, be reachable, and be alike.

use crate::coordinator::field::Field;
use crate::join::{unfit, unlike};
use shardline_domain::placement::transfer::{Checks, Kind, Move};
use shardline_wire::internal::ShardDescription;
use std::time::Duration;
use tokio::time::Instant;

/// From one look to the next while a shard does not answer.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A description counts what every slot holds; a shard that takes longer is busy.
const DESCRIBE_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Checker {
    next: Option<Instant>,
    note: String,
}

enum Found {
    Fit,
    /// It may pass.
    NotNow(String),
    Unfit(String),
}

impl Checker {
    /// What stands in the way.
    pub(super) fn note(&self) -> &str {
        &self.note
    }

    pub(super) async fn look(&mut self, field: &Field, present: &Move) -> Checks {
        if !field.starters.lock().contains(&present.id) {
            "other moves of these shards come first".clone_into(&mut self.note);
            return Checks::Running;
        }
        if self.next.is_some_and(|next| Instant::now() < next) {
            return Checks::Running;
        }
        match find(field, present).await {
            Found::Fit => {
                self.note.clear();
                Checks::Passed
            }
            Found::NotNow(why) => {
                self.note = why;
                self.next = Some(Instant::now() + LOOK_AGAIN_AFTER);
                Checks::Running
            }
            Found::Unfit(why) => {
                self.note = why;
                Checks::Failed
            }
        }
    }
}

async fn find(field: &Field, present: &Move) -> Found {
    let (source, target) = (present.source, present.target);
    let Some(row) = field.shard(target) else {
        return Found::Unfit(format!("shard {target} is not in the cluster any more"));
    };
    // Back to where they came from is always allowed: nobody gets more than there was.
    if !row.state.takes_slots() && present.kind == Kind::Normal {
        return Found::Unfit(format!("shard {target} is {}", row.state.name()));
    }
    let mut described = Vec::with_capacity(2);
    for shard in [source, target] {
        let Some(link) = field.link(shard) else {
            return Found::NotNow(format!("shard {shard} has no writer"));
        };
        let asked = tokio::time::timeout(DESCRIBE_TIME_MAX, link.describe()).await;
        let description = match asked {
            Ok(Ok(description)) => description,
            Ok(Err(refusal)) => {
                return Found::NotNow(format!("shard {shard}: {}", refusal.message));
            }
            Err(_) => return Found::NotNow(format!("shard {shard} does not answer")),
        };
        if description.shard != shard.0 || !description.writes {
            return Found::NotNow(format!("the writer of shard {shard} is not where it was"));
        }
        described.push(description);
    }
    judge(field, &described)
}

fn judge(field: &Field, described: &[ShardDescription]) -> Found {
    let wrong = described.iter().find_map(|one| unfit(one, field.reach.partitions));
    let differ = match described {
        [source, target] => unlike(source, target),
        _ => None,
    };
    wrong.or(differ).map_or(Found::Fit, Found::Unfit)
}
