//! People who talk while faults happen, and what each of them saw, recorded.
//!
//! They stay connected from cell to cell. An [`Act`] is one cell's talk: some chats in the slots that
//! move, some elsewhere, a recording of its own. Both people of a chat send, in bursts, and follow it.

use anyhow::{Context, Result, anyhow, ensure};
use futures::future::try_join_all;
use parking_lot::Mutex;
use shardline_client::frames::{Body, Send};
use shardline_client::{Client, Encoding, Http, Options, Seen, Timing};
use shardline_domain::id::{ChatId, EntityId, UserId};
use shardline_domain::slot::Slot;
use shardline_history::{History, Reader, Record, Verdict, Writer, invariants};
use shardline_load::accounts::{self, patiently};
use shardline_load::recording;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Whatever a fault does, a send is repeated for this long.
const SEND_TIME_MAX: Duration = Duration::from_secs(90);
/// The heads beacon heals within a minute.
const SETTLE_MAX: Duration = Duration::from_secs(75);
/// Between bursts of one person in one chat.
const BREATH: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(30);
/// Messages in flight of one person in one chat.
const BURST: usize = 2;
/// One of so many messages is sent once more with its id.
const REPEATS: u32 = 10;
const OPEN_TRIES: u32 = 20;

pub(crate) struct People {
    people: Vec<Person>,
    http: Http,
    shared: Arc<Mutex<Option<Sight>>>,
    _readers: JoinSet<()>,
}

struct Person {
    number: u32,
    client: Client,
}

/// Where what is seen goes: the act that is played.
struct Sight {
    writer: Writer,
    chats: BTreeSet<u64>,
    /// The highest seq that (person, chat) saw.
    seen: HashMap<(u32, u64), u64>,
}

/// A chat of an act: who its two people are, by index.
#[derive(Clone, Copy, Debug)]
struct Talk {
    chat: u64,
    two: [usize; 2],
    moves: bool,
    base_seq: u64,
}

/// What an act came to.
pub(crate) struct Played {
    pub(crate) verdict: Verdict,
    pub(crate) recording: PathBuf,
    pub(crate) sends: usize,
    /// Refused for good, or given up.
    pub(crate) failed: u64,
    /// The longest time from a send to its acknowledgement, where slots move and elsewhere.
    pub(crate) longest_moving: Duration,
    pub(crate) longest_other: Duration,
}

#[derive(Default)]
struct Tally {
    failed: u64,
    longest: [Duration; 2],
    /// The highest seq acknowledged, by chat.
    heads: HashMap<u64, u64>,
    /// When the newest send was begun that was acknowledged where slots move.
    newest: Option<Instant>,
}

pub(crate) struct Act {
    talks: Vec<Talk>,
    writer: Writer,
    recording: PathBuf,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    senders: JoinSet<()>,
}

impl People {
    pub(crate) async fn gather(servers: Vec<String>, count: usize) -> Result<People> {
        let http = Http::new(servers)?;
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
        Ok(People { people, http, shared, _readers: readers })
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
    pub(crate) async fn begin(
        &self,
        slots: &BTreeSet<u16>,
        moving: usize,
        others: usize,
        recording: &Path,
    ) -> Result<Act> {
        let inside = self.pairs(slots, true, moving);
        ensure!(!inside.is_empty(), "no two people have their chat in the slots that move");
        let outside = self.pairs(slots, false, others);
        let pairs = inside.into_iter().map(|two| (two, true));
        let pairs = pairs.chain(outside.into_iter().map(|two| (two, false)));
        let writer = recording::create(recording)?;
        let chats = try_join_all(pairs.map(|(two, moves)| self.talk(two, moves))).await?;
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
            writer,
            recording: recording.to_owned(),
            stop: Arc::default(),
            tally: Arc::default(),
            senders: JoinSet::new(),
        };
        for talk in act.talks.clone() {
            for index in talk.two {
                let person = &self.people[index];
                let sender = Sender {
                    number: person.number,
                    client: person.client.clone(),
                    talk,
                    writer: act.writer.clone(),
                    stop: act.stop.clone(),
                    tally: act.tally.clone(),
                };
                act.senders.spawn(sender.run());
            }
        }
        Ok(act)
    }

    async fn talk(&self, two: [usize; 2], moves: bool) -> Result<Talk> {
        let [one, other] = two.map(|index| &self.people[index].client);
        let token = one.token();
        let made = patiently(|| self.http.create_direct(&token, other.user())).await;
        let chat = made.context("making a chat")?.item.chat;
        Ok(Talk { chat, two, moves, base_seq: 0 })
    }

    /// Both follow it from here.
    async fn open(&self, writer: &Writer, mut talk: Talk) -> Result<Talk> {
        for index in talk.two {
            let person = &self.people[index];
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
            recording::found(writer, &opened);
        }
        Ok(talk)
    }

    /// Ends the talk, waits until everybody saw everything, and judges the recording.
    pub(crate) async fn end(&self, mut act: Act) -> Result<Played> {
        act.stop.store(true, Ordering::Relaxed);
        while act.senders.join_next().await.is_some() {}
        let heads = act.tally.lock().heads.clone();
        let until = Instant::now() + SETTLE_MAX;
        while !self.saw_all(&act.talks, &heads) && Instant::now() < until {
            sleep(LOOK).await;
        }
        for talk in &act.talks {
            let reader = &self.people[talk.two[1]].client;
            let reading = recording::final_state(&act.writer, reader, talk.chat, talk.base_seq, 0);
            reading.await.context("the final history")?;
        }
        *self.shared.lock() = None;
        act.writer.finish().context("the recording is not whole")?;
        let mut history = History::default();
        let name = act.recording.display().to_string();
        history.read(&name, Reader::open(&act.recording)?)?;
        let verdict = invariants::check(&history);
        let tally = act.tally.lock();
        Ok(Played {
            verdict,
            recording: act.recording.clone(),
            sends: history.sends.len(),
            failed: tally.failed,
            longest_other: tally.longest[0],
            longest_moving: tally.longest[1],
        })
    }

    fn saw_all(&self, talks: &[Talk], heads: &HashMap<u64, u64>) -> bool {
        let shared = self.shared.lock();
        let Some(sight) = shared.as_ref() else { return true };
        talks.iter().all(|talk| {
            let head = heads.get(&talk.chat).copied().unwrap_or(0);
            talk.two.iter().all(|index| {
                let key = (self.people[*index].number, talk.chat);
                head <= sight.seen.get(&key).copied().unwrap_or(0)
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

/// Takes what a person sees, for as long as the client lives.
async fn watch(number: u32, mut seen: Receiver<Seen>, shared: Arc<Mutex<Option<Sight>>>) {
    while let Some(one) = seen.recv().await {
        let mut shared = shared.lock();
        let Some(sight) = shared.as_mut() else { continue };
        let (chat, seq) = match &one {
            Seen::Event(event) => {
                (event.chat, event.message.as_ref().map_or(0, |message| message.seq))
            }
            Seen::Opened { chat, .. } | Seen::Resumed { chat, .. } => (*chat, 0),
            Seen::Resynced(page) => match &page.chat {
                Some(item) => (item.chat, item.head_seq),
                None => continue,
            },
            _ => continue,
        };
        if !sight.chats.contains(&chat) {
            continue;
        }
        recording::seen(&sight.writer, number, &one);
        let highest = sight.seen.entry((number, chat)).or_default();
        *highest = seq.max(*highest);
    }
}

struct Sender {
    number: u32,
    client: Client,
    talk: Talk,
    writer: Writer,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

impl Sender {
    /// Bursts until told to stop; ends when all is answered.
    async fn run(self) {
        let mut count = 0_u32;
        while !self.stop.load(Ordering::Relaxed) {
            let mut burst = Vec::new();
            for _ in 0..BURST {
                count += 1;
                let send = Send {
                    chat: self.talk.chat,
                    client_msg_id: rand::random::<u128>().to_be_bytes().to_vec(),
                    body: Some(Body { text: format!("{} says {count}", self.number) }),
                    reply_to: None,
                    retry: false,
                };
                burst.push(self.submit(send).await);
            }
            for (send, began, pending) in burst {
                let outcome = self.outcome(&send, began, pending).await;
                if outcome && rand::random::<u32>().is_multiple_of(REPEATS) {
                    let again = Send { retry: true, ..send };
                    let (send, began, pending) = self.submit(again).await;
                    self.outcome(&send, began, pending).await;
                }
            }
            sleep(BREATH).await;
        }
    }

    async fn submit(&self, send: Send) -> (Send, Instant, shardline_client::Pending) {
        self.writer.record(Record::Send {
            client: self.number,
            user: self.client.user(),
            chat: send.chat,
            id: recording::message_id(&send.client_msg_id),
            body: send.body.as_ref().map_or(String::new(), |body| recording::digest(&body.text)),
        });
        let began = Instant::now();
        let pending = self.client.submit_raw(send.clone()).await;
        (send, began, pending)
    }

    /// Whether it was acknowledged.
    async fn outcome(
        &self,
        send: &Send,
        began: Instant,
        pending: shardline_client::Pending,
    ) -> bool {
        let late = SEND_TIME_MAX + Duration::from_secs(10);
        let outcome = timeout(late, pending).await.unwrap_or_else(|_| {
            Err(shardline_client::SendError::Unknown("the client does not answer".to_owned()))
        });
        let id = recording::message_id(&send.client_msg_id);
        let (chat, user) = (send.chat, self.client.user());
        recording::outcome(&self.writer, self.number, user, chat, id, &outcome);
        let mut tally = self.tally.lock();
        match &outcome {
            Ok(ack) => {
                if self.talk.moves {
                    tally.newest = tally.newest.max(Some(began));
                }
                let longest = &mut tally.longest[usize::from(self.talk.moves)];
                *longest = began.elapsed().max(*longest);
                let head = tally.heads.entry(chat).or_default();
                *head = ack.seq.unwrap_or(0).max(*head);
            }
            Err(error) => {
                eprintln!("a send to chat {chat} failed: {error}");
                tally.failed += 1;
            }
        }
        outcome.is_ok()
    }
}
