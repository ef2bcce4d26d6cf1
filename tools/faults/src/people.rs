//! People who talk while faults happen, and what each of them saw, recorded.
//!
//! They stay connected from cell to cell. An [`Act`] is one cell's talk: some chats in the slots that
//! move, some elsewhere, a recording of its own. Both people of a chat send, in bursts, and follow it;
//! meanwhile they do what else people do (`deeds`).

mod club;
mod deeds;
mod recording;
mod sender;
mod sight;

pub use recording::Recording;

use anyhow::{Context, Result, anyhow, ensure};
use club::{Door, Roles};
use deeds::{Deeds, Own};
use futures::future::try_join_all;
use parking_lot::Mutex;
use sender::Sender;
use shardline_client::{Client, Encoding, Http, Options, Timing};
use shardline_domain::id::{ChatId, EntityId, UserId};
use shardline_domain::slot::Slot;
use shardline_history::{Bounds, Verdict, Writer, invariants};
use shardline_load::accounts::{self, patiently};
use shardline_load::recording::{self as records, Caller};
use sight::{Sight, watch};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Whatever a fault does, a send is repeated for this long.
const SEND_TIME_MAX: Duration = Duration::from_secs(90);
/// The heads beacon heals within a minute.
const SETTLE_MAX: Duration = Duration::from_secs(75);
/// Between bursts of one person in one chat.
const BREATH: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(30);
const OPEN_TRIES: u32 = 20;
/// Of the people, whoever there is.
const CLUB: Roles = Roles { steady: [0, 1, 2], guest: 3 };

pub struct People {
    people: Vec<Person>,
    http: Http,
    /// Of the acts to come.
    pub habits: Habits,
    shared: Arc<Mutex<Option<Sight>>>,
    _readers: JoinSet<()>,
}

struct Person {
    number: u32,
    client: Client,
}

/// A chat of an act.
#[derive(Clone, Copy, Debug)]
struct Talk {
    chat: u64,
    who: Who,
    moves: bool,
    base_seq: u64,
}

/// By index.
#[derive(Clone, Copy, Debug)]
enum Who {
    Two([usize; 2]),
    Club(Roles),
}

impl Who {
    /// Who is in the chat all the time, and talks.
    fn talks(&self) -> &[usize] {
        match self {
            Who::Two(two) => two,
            Who::Club(roles) => &roles.steady,
        }
    }
}

/// What an act came to.
pub struct Played {
    pub verdict: Verdict,
    pub recording: Recording,
    pub sends: usize,
    /// Refused for good, or given up.
    pub failed: u64,
    /// From the last answer until everybody had seen everything; None: somebody never did.
    pub settled: Option<Duration>,
    /// The longest time from a send to its acknowledgement, where slots move and elsewhere.
    pub longest_moving: Duration,
    pub longest_other: Duration,
}

#[derive(Default)]
struct Tally {
    failed: u64,
    longest: [Duration; 2],
    /// The highest ver acknowledged, by chat.
    heads: HashMap<u64, u64>,
    /// When the newest send was begun that was acknowledged where slots move.
    newest: Option<Instant>,
}

impl Tally {
    fn acknowledged(&mut self, chat: u64, ver: u64) {
        let head = self.heads.entry(chat).or_default();
        *head = ver.max(*head);
    }
}

pub struct Act {
    talks: Vec<Talk>,
    /// By person, whoever talks.
    callers: HashMap<usize, Caller>,
    writer: Writer,
    recording: Recording,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    senders: JoinSet<()>,
}

/// What people do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habits {
    /// They send and follow.
    Sends,
    /// They also edit, delete, read and say how far they read.
    Everything,
    /// All but saying and asking how far they read: while Redis loses what it had, a node other than the
    /// one that took a cursor may show it as it was a moment before.
    AllButCursors,
}

impl People {
    pub async fn gather(http: Http, count: usize, habits: Habits) -> Result<People> {
        let accounts = accounts::gather(&http, count, None).await?;
        let shared = Arc::<Mutex<Option<Sight>>>::default();
        let (mut people, mut readers) = (Vec::new(), JoinSet::new());
        for (number, account) in (0..).zip(accounts) {
            let session = account.session.clone().context("an account without a session")?;
            let encoding = if number % 2 == 0 { Encoding::Proto } else { Encoding::Json };
            let timing = Timing {
                gap_wait: Duration::from_millis(50)..=Duration::from_millis(150),
                reconnect_max: Duration::from_secs(1),
                ..Timing::default()
            };
            let options = Options {
                encoding,
                first_address: number as usize / 2,
                password: Some((account.name, account.password)),
                send_deadline: SEND_TIME_MAX,
                timing,
                ..Options::default()
            };
            let (client, seen) = Client::connect(&http, session, options);
            readers.spawn(watch(number, seen, shared.clone()));
            people.push(Person { number, client });
        }
        for person in &people {
            person.client.connected().await?;
        }
        Ok(People { people, habits, http, shared, _readers: readers })
    }

    /// Pairs whose direct chat is in one of these slots, or in none of them: at most so many.
    fn pairs(&self, slots: &BTreeSet<u16>, inside: bool, at_most: usize) -> Vec<[usize; 2]> {
        let count = self.people.len();
        let all = (0..count).flat_map(|one| (one + 1..count).map(move |other| [one, other]));
        all.filter(|two| slots.contains(&self.slot_of(*two)) == inside).take(at_most).collect()
    }

    /// Whether any two people have their chat in these slots.
    pub(crate) fn talk_in(&self, slots: &BTreeSet<u16>) -> bool {
        !self.pairs(slots, true, 1).is_empty()
    }

    fn slot_of(&self, two: [usize; 2]) -> u16 {
        let user = |index: usize| UserId::new(self.people[index].client.user());
        let [Ok(one), Ok(other)] = two.map(user) else { return 0 };
        let id = EntityId::new(ChatId::of_direct(one, other, 0).get());
        id.map_or(0, |id| Slot::of(id).get())
    }

    /// Begins to talk: in chats of the slots that are to move, and in some others.
    pub async fn begin(
        &self,
        slots: &BTreeSet<u16>,
        moving: usize,
        others: usize,
        recording: Recording,
    ) -> Result<Act> {
        let inside = self.pairs(slots, true, moving);
        ensure!(!inside.is_empty(), "no two people have their chat in the slots that move");
        let outside = self.pairs(slots, false, others);
        let pairs = inside.into_iter().map(|two| (two, true));
        let pairs = pairs.chain(outside.into_iter().map(|two| (two, false)));
        let writer = recording.begin()?;
        let mut chats = try_join_all(pairs.map(|(two, moves)| self.talk(two, moves))).await?;
        if self.habits != Habits::Sends && CLUB.guest < self.people.len() {
            chats.push(self.club(CLUB, slots).await?);
        }
        *self.shared.lock() = Some(Sight {
            writer: writer.clone(),
            chats: chats.iter().map(|talk| talk.chat).collect(),
            seen: HashMap::new(),
        });
        let mut talks = Vec::new();
        for talk in chats {
            talks.push(self.open(&writer, talk).await?);
        }
        let mut act = Act {
            talks,
            callers: HashMap::new(),
            writer,
            recording,
            stop: Arc::default(),
            tally: Arc::default(),
            senders: JoinSet::new(),
        };
        for talk in act.talks.clone() {
            for index in talk.who.talks() {
                self.busy(&mut act, talk, *index);
            }
            if let Who::Club(roles) = talk.who {
                self.keep_door(&mut act, talk.chat, roles);
            }
        }
        Ok(act)
    }

    /// One of a chat's people sends, and does what else people do.
    fn busy(&self, act: &mut Act, talk: Talk, index: usize) {
        let person = &self.people[index];
        let caller = self.caller(act, index);
        let own = Arc::<Mutex<Own>>::default();
        let sender = Sender {
            number: person.number,
            client: person.client.clone(),
            talk,
            writer: act.writer.clone(),
            stop: act.stop.clone(),
            tally: act.tally.clone(),
            own: own.clone(),
        };
        act.senders.spawn(sender.run());
        if self.habits == Habits::Sends {
            return;
        }
        let (http, stop, shared) = (self.http.clone(), act.stop.clone(), self.shared.clone());
        let (habits, tally) = (self.habits, act.tally.clone());
        let deeds = Deeds { caller, http, talk, stop, own, tally, shared, habits };
        act.senders.spawn(deeds.run());
    }

    fn caller(&self, act: &mut Act, index: usize) -> Caller {
        let (person, writer) = (&self.people[index], act.writer.clone());
        let new = || Caller::new(writer, person.client.clone(), person.number);
        act.callers.entry(index).or_insert_with(new).clone()
    }

    fn keep_door(&self, act: &mut Act, chat: u64, roles: Roles) {
        let [owner, ..] = roles.steady;
        let door = Door {
            chat,
            owner: self.caller(act, owner),
            guest: self.caller(act, roles.guest),
            http: self.http.clone(),
            stop: act.stop.clone(),
            tally: act.tally.clone(),
            shared: self.shared.clone(),
        };
        act.senders.spawn(door.run());
    }

    async fn club(&self, roles: Roles, slots: &BTreeSet<u16>) -> Result<Talk> {
        let [owner, one, other] = roles.steady.map(|index| &self.people[index].client);
        let (token, members) = (owner.token(), [one.user(), other.user()]);
        let id = Uuid::from_u128(rand::random());
        let made =
            patiently(|| self.http.create_group(&token, "group", "club", &members, id)).await;
        let chat = made.context("making a group")?.item.chat;
        let moves = slots.contains(&Slot::of(EntityId::new(chat)?).get());
        Ok(Talk { chat, who: Who::Club(roles), moves, base_seq: 0 })
    }

    async fn talk(&self, two: [usize; 2], moves: bool) -> Result<Talk> {
        let [one, other] = two.map(|index| &self.people[index].client);
        let token = one.token();
        let made = patiently(|| self.http.create_direct(&token, other.user())).await;
        let chat = made.context("making a chat")?.item.chat;
        Ok(Talk { chat, who: Who::Two(two), moves, base_seq: 0 })
    }

    /// All who talk follow it from here.
    async fn open(&self, writer: &Writer, mut talk: Talk) -> Result<Talk> {
        for index in talk.who.talks() {
            let person = &self.people[*index];
            let mut tries = 0;
            let opened = loop {
                match person.client.open(talk.chat, Some(1)).await {
                    Ok(opened) => break opened,
                    Err(error) if tries < OPEN_TRIES => {
                        tries += 1;
                        eprintln!("opening {}: {error}; again", talk.chat);
                        sleep(BREATH).await;
                    }
                    Err(error) => return Err(anyhow!("opening {}: {error}", talk.chat)),
                }
            };
            talk.base_seq = opened.chat.as_ref().map_or(0, |item| item.head_seq);
            records::found(writer, &opened);
        }
        Ok(talk)
    }

    /// Ends the talk, waits until everybody saw everything, and judges the recording.
    pub async fn end(&self, mut act: Act) -> Result<Played> {
        act.stop.store(true, Ordering::Relaxed);
        while act.senders.join_next().await.is_some() {}
        let mut heads = Vec::new();
        for talk in &act.talks {
            heads.push(self.head_ver(&act, talk).await.context("a head")?);
        }
        let ended = Instant::now();
        while !self.saw_all(&act.talks, &heads) && ended.elapsed() < SETTLE_MAX {
            sleep(LOOK).await;
        }
        let settled = self.saw_all(&act.talks, &heads).then(|| ended.elapsed());
        for (talk, head_ver) in act.talks.iter().zip(heads) {
            let callers = self.callers(&act, talk)?;
            let ending = deeds::record_end(&callers, &self.http, talk, head_ver);
            ending.await.context("the final state")?;
        }
        *self.shared.lock() = None;
        let history = act.recording.end(act.writer)?;
        let verdict = invariants::check(&history);
        let tally = act.tally.lock();
        Ok(Played {
            verdict,
            recording: act.recording,
            sends: history.sends.len(),
            failed: tally.failed,
            settled,
            longest_other: tally.longest[0],
            longest_moving: tally.longest[1],
        })
    }

    fn callers(&self, act: &Act, talk: &Talk) -> Result<Vec<Caller>> {
        let callers = talk.who.talks().iter().map(|index| act.callers.get(index).cloned());
        callers.collect::<Option<Vec<_>>>().context("somebody talked")
    }

    /// Where the chat has come to, now that nobody does anything more.
    async fn head_ver(&self, act: &Act, talk: &Talk) -> Result<u64> {
        let caller = self.callers(act, talk)?.pop().context("somebody talked")?;
        let min_ver = act.tally.lock().heads.get(&talk.chat).copied();
        let bounds = Bounds { limit: Some(1), min_ver, ..Bounds::default() };
        let page = caller.page(talk.chat, bounds).await;
        Ok(page.map_err(|e| anyhow!("history of {}: {e}", talk.chat))?.head_ver)
    }

    fn saw_all(&self, talks: &[Talk], heads: &[u64]) -> bool {
        let shared = self.shared.lock();
        let Some(sight) = shared.as_ref() else { return true };
        talks.iter().zip(heads).all(|(talk, head_ver)| {
            talk.who.talks().iter().all(|index| {
                let key = (self.people[*index].number, talk.chat);
                sight.seen.get(&key).is_some_and(|(_, ver)| head_ver <= ver)
            })
        })
    }
}

impl Act {
    /// The slots that move and have somebody talk in them.
    pub(crate) fn busy_slots(&self) -> Vec<u16> {
        let moving = self.talks.iter().filter(|talk| talk.moves);
        moving.filter_map(|talk| Some(Slot::of(EntityId::new(talk.chat).ok()?).get())).collect()
    }

    /// When the newest send was begun that was acknowledged where slots move.
    pub(crate) fn newest_acked(&self) -> Option<Instant> {
        self.tally.lock().newest
    }
}
