//! One page of a walk over a shard: what is wrong there by itself, and what it holds against the other
//! side on all shards. What differs is looked at again a little later; only what still differs then, and
//! is not on its way, is a finding.

use super::others::{Answers, Membership, Question, ask, fact};
use super::{Checker, repair};
use crate::catalog::ShardRow;
use shardline_domain::check::facts::{ChatSide, Disagreement, Fact, compare, confirmed};
use shardline_domain::check::names::{Named, Probe, is_leftover, named};
use shardline_domain::id::{EntityId, NameId, PROBES, ShardId};
use shardline_domain::slot::{SLOTS, Slot};
use shardline_wire::internal::{
    EntityFacts, FsckAnswer, FsckFinding, FsckPlace, FsckRequest, LocalFinding, ScanPlace,
    ScanRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at what differs: longer than a fact usually takes.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(700);

/// What seems wrong, or is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Suspect {
    /// Found by the shard itself, twice.
    Local(LocalFinding),
    Member {
        of: Membership,
        what: Disagreement,
        /// What is told to people, and what a repair has to know.
        chat: ChatSide,
        listed: Option<Fact>,
    },
    Nameless {
        user: u64,
        name: String,
    },
    NameAlone {
        name: u64,
        text: String,
        user: u64,
    },
}

pub(super) async fn page(checker: &Checker, request: &FsckRequest) -> Result<FsckAnswer, Refusal> {
    let ids = ids(request.slot)?;
    let shards = checker.shards().await?;
    let shard = ShardId(request.shard);
    let row = shards.get(&shard).ok_or_else(|| {
        let message = format!("there is no shard {shard}");
        Refusal::of_field(Code::NotFound, "shard", message)
    })?;
    let place = request.place.unwrap_or_default();
    let place = ScanPlace {
        after: place.after.max(ids.start().saturating_sub(1)),
        row: place.row,
        seq: place.seq,
    };
    let scan = ScanRequest { place: Some(place), to: *ids.end(), deep: request.deep };
    let scanned = checker.writer(row)?.scan(scan).await?;

    let mut walk =
        Walk { checker, shards: &shards, compared: 0, unanswered: 0, why: String::new() };
    let mut suspects: Vec<Suspect> = scanned.findings.into_iter().map(Suspect::Local).collect();
    let met = Met::of(&scanned.entities);
    let uncertain = walk.first_look(&met).await;
    if !uncertain.is_empty() {
        sleep(LOOK_AGAIN_AFTER).await;
        suspects.extend(walk.second_look(uncertain).await);
    }
    let findings = match request.repair {
        true => repair::repair(checker, &shards, shard, suspects, super::by(&request.by)?).await?,
        false => suspects.iter().map(|suspect| finding(shard, suspect)).collect(),
    };
    let after = scanned.next.map_or(*ids.end(), |next| next.after);
    Ok(FsckAnswer {
        findings,
        next: scanned.next.map(|next| FsckPlace {
            after: next.after,
            row: next.row,
            seq: next.seq,
        }),
        entities: scanned.entities_read,
        rows: scanned.rows_read,
        compared: walk.compared,
        uncompared: walk.unanswered,
        why: walk.why,
        millionths: millionths(&ids, after),
    })
}

fn ids(slot: Option<u32>) -> Result<RangeInclusive<u64>, Refusal> {
    match slot {
        None => Ok(1..=u64::MAX >> 1),
        Some(number) => Slot::new(number).map(Slot::ids).ok_or_else(|| {
            let message = format!("slots are from 0 to {}", SLOTS - 1);
            Refusal::of_field(Code::BadRequest, "slot", message)
        }),
    }
}

fn millionths(ids: &RangeInclusive<u64>, after: u64) -> u32 {
    let all = u128::from(ids.end() - ids.start()) + 1;
    let done = u128::from((after + 1).saturating_sub(*ids.start()));
    u32::try_from(done * 1_000_000 / all).unwrap_or(1_000_000).min(1_000_000)
}

/// What a page met, as it is compared.
#[derive(Default)]
struct Met {
    /// What chats say, with their heads' vers.
    chats: BTreeMap<Membership, (Fact, u64)>,
    lists: BTreeMap<Membership, Fact>,
    /// Users old enough to have a name.
    users: BTreeMap<u64, String>,
    /// Names, with what is said of them.
    names: BTreeMap<u64, EntityFacts>,
}

impl Met {
    fn of(entities: &[shardline_wire::internal::ScannedEntity]) -> Met {
        let mut met = Met::default();
        for scanned in entities {
            let Some(facts) = &scanned.facts else { continue };
            let id = scanned.entity;
            match facts.kind.as_str() {
                "chat" => met.chats.extend(scanned.about.iter().map(|about| {
                    let of = Membership { chat: id, user: about.other };
                    (of, (fact(about), facts.head_ver))
                })),
                "user" => {
                    met.lists.extend(
                        scanned
                            .about
                            .iter()
                            .map(|about| (Membership { chat: about.other, user: id }, fact(about))),
                    );
                    if is_leftover(Duration::from_millis(facts.age_ms)) {
                        met.users.insert(id, facts.name.clone());
                    }
                }
                _ => {
                    met.names.insert(id, facts.clone());
                }
            }
        }
        met
    }
}

struct Walk<'a> {
    checker: &'a Checker,
    shards: &'a BTreeMap<ShardId, ShardRow>,
    compared: u64,
    unanswered: u64,
    why: String,
}

impl Walk<'_> {
    async fn ask(&mut self, question: &Question) -> Answers {
        let answers = ask(self.checker, self.shards, question).await;
        if 0 < answers.unanswered {
            self.unanswered += answers.unanswered;
            self.why.clone_from(&answers.why);
        }
        answers
    }

    /// What has to be looked at again: nothing is certain at once.
    async fn first_look(&mut self, met: &Met) -> Vec<Suspect> {
        let question = Question {
            entities: met.names.values().map(|facts| facts.user).collect(),
            chats: met.lists.keys().copied().collect(),
            lists: met.chats.keys().copied().collect(),
        };
        let answers = self.ask(&question).await;
        let answered = answers.entities.len() + answers.chats.len() + answers.lists.len();
        self.compared += answered as u64 + met.users.len() as u64;
        let mut uncertain = Vec::new();
        for (of, (member, head_ver)) in &met.chats {
            let Some(list) = answers.lists.get(of).filter(|list| list.user_exists) else {
                continue;
            };
            let chat = ChatSide {
                member: Some(*member),
                head_ver: *head_ver,
                on_its_way: false,
                age: None,
            };
            let what = compare(chat.member, chat.head_ver, list.fact);
            if let Some(what) = what.filter(|what| what.is_chats()) {
                uncertain.push(Suspect::Member { of: *of, what, chat, listed: list.fact });
            }
        }
        for (of, listed) in &met.lists {
            let Some(chat) = answers.chats.get(of) else { continue };
            let what = compare(chat.member, chat.head_ver, Some(*listed));
            if let Some(what) = what.filter(|what| !what.is_chats()) {
                let (chat, listed) = (*chat, Some(*listed));
                uncertain.push(Suspect::Member { of: *of, what, chat, listed });
            }
        }
        for (name, facts) in &met.names {
            if answers.entities.get(&facts.user).is_some_and(|user| !is_user(user.as_ref())) {
                let (text, user) = (facts.name.clone(), facts.user);
                uncertain.push(Suspect::NameAlone { name: *name, text, user });
            }
        }
        uncertain.extend(self.nameless(&met.users).await);
        uncertain
    }

    /// Users that no name leads to.
    async fn nameless(&mut self, users: &BTreeMap<u64, String>) -> Vec<Suspect> {
        let mut open: BTreeMap<u64, &String> =
            users.iter().map(|(user, name)| (*user, name)).collect();
        let mut without = Vec::new();
        for probe in 0..PROBES {
            if open.is_empty() {
                break;
            }
            let id = |name: &str| NameId::of_name(name, probe).get();
            let entities: BTreeSet<u64> = open.values().map(|name| id(name)).collect();
            let answers = self.ask(&Question { entities, ..Question::default() }).await;
            open.retain(|user, name| {
                let found = match answers.entities.get(&id(name)) {
                    // Not known: not judged.
                    None => return false,
                    Some(None) => Probe::Free,
                    Some(Some(facts)) if facts.kind == "name" && facts.name == **name => {
                        Probe::Taken { user: facts.user }
                    }
                    Some(Some(_)) => Probe::Other,
                };
                match named(*user, found) {
                    Named::Next => return true,
                    Named::Yes => {}
                    Named::No => {
                        let name = (*name).clone();
                        without.push(Suspect::Nameless { user: *user, name });
                    }
                }
                false
            });
        }
        without
    }

    /// Reads the chats, then the lists, then the chats again.
    async fn second_look(&mut self, suspects: Vec<Suspect>) -> Vec<Suspect> {
        let mut chats = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut users = BTreeMap::new();
        for suspect in &suspects {
            match suspect {
                Suspect::Member { of, .. } => drop(chats.insert(*of)),
                Suspect::Nameless { user, name } => drop(users.insert(*user, name.clone())),
                Suspect::NameAlone { name, user, .. } => names.extend([*name, *user]),
                Suspect::Local(_) => {}
            }
        }
        let of_chats = || Question { chats: chats.clone(), ..Question::default() };
        let before = self.ask(&Question { entities: names, ..of_chats() }).await;
        let of_lists = Question { lists: chats.clone(), ..Question::default() };
        let lists = self.ask(&of_lists).await.lists;
        let after = self.ask(&of_chats()).await.chats;
        let still_nameless = self.nameless(&users).await;

        let mut found = Vec::new();
        for suspect in suspects {
            match suspect {
                Suspect::Member { of, .. } => {
                    let sides = (before.chats.get(&of), lists.get(&of), after.get(&of));
                    let (Some(before), Some(list), Some(after)) = sides else { continue };
                    let what = confirmed(before, list.fact, after).filter(|_| list.user_exists);
                    if let Some(what) = what {
                        let (chat, listed) = (*after, list.fact);
                        found.push(Suspect::Member { of, what, chat, listed });
                    }
                }
                Suspect::NameAlone { name, user, .. } => {
                    let is_there = matches!(before.entities.get(&name), Some(Some(_)));
                    let user = before.entities.get(&user);
                    if is_there && user.is_some_and(|user| !is_user(user.as_ref())) {
                        found.push(suspect);
                    }
                }
                Suspect::Nameless { .. } if still_nameless.contains(&suspect) => {
                    found.push(suspect)
                }
                Suspect::Nameless { .. } | Suspect::Local(_) => {}
            }
        }
        found
    }
}

fn is_user(facts: Option<&EntityFacts>) -> bool {
    facts.is_some_and(|facts| facts.kind == "user")
}

pub(super) fn finding(shard: ShardId, suspect: &Suspect) -> FsckFinding {
    let state = "found".to_owned();
    let base = FsckFinding { shard: shard.0, state, ..FsckFinding::default() };
    let slot_of = |id: u64| EntityId::new(id).map_or(0, |id| Slot::of(id).get().into());
    match suspect {
        Suspect::Local(local) => FsckFinding {
            kind: local.kind.clone(),
            slot: local.slot,
            entity: local.entity,
            other: local.other,
            text: local.text.clone(),
            ..base
        },
        Suspect::Member { of, what, chat, listed } => {
            let (entity, other) = match what.is_chats() {
                true => (of.chat, of.user),
                false => (of.user, of.chat),
            };
            let text = format!(
                "the chat says {} (head at {}), the list {}",
                said(chat.member),
                chat.head_ver,
                said(*listed)
            );
            let (kind, slot) = (what.name().to_owned(), slot_of(entity));
            FsckFinding { kind, slot, entity, other, text, ..base }
        }
        Suspect::Nameless { user, name } => FsckFinding {
            kind: "user_without_name".to_owned(),
            slot: slot_of(*user),
            entity: *user,
            text: format!("the name {name} does not lead to this user"),
            ..base
        },
        Suspect::NameAlone { name, text, user } => FsckFinding {
            kind: "name_without_user".to_owned(),
            slot: slot_of(*name),
            entity: *name,
            other: *user,
            text: format!("the name {text} leads to nobody"),
            ..base
        },
    }
}

fn said(fact: Option<Fact>) -> String {
    match fact {
        None => "nothing".to_owned(),
        Some(Fact { ver, joined: true }) => format!("joined at ver {ver}"),
        Some(Fact { ver, joined: false }) => format!("left at ver {ver}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_bounds_the_ids() {
        assert_eq!(ids(None).expect("all"), 1..=u64::MAX >> 1);
        let slot = Slot::new(3).expect("a slot");
        assert_eq!(ids(Some(3)).expect("a slot's"), slot.ids());
        assert_eq!(ids(Some(16_384)).map_err(|refusal| refusal.code()), Err(Code::BadRequest));
    }

    #[test]
    fn progress_goes_from_nothing_to_all() {
        let all = 1..=u64::MAX >> 1;
        assert_eq!(millionths(&all, 0), 0);
        assert_eq!(millionths(&all, u64::MAX >> 2), 499_999);
        assert_eq!(millionths(&all, u64::MAX >> 1), 1_000_000);
        let slot = Slot::new(3).expect("a slot").ids();
        assert_eq!(millionths(&slot, *slot.end()), 1_000_000);
    }
}
