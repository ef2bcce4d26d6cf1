//! A person with an account and a client, as the scenes use them.

use shardline_client::frames::{Event, Member, Message, Opened};
use shardline_client::{Client, Encoding, Http, HttpError, Options, Seen, Session, Timing};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// Everything a scene waits for comes within this, or the scene fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PASSWORD: &str = "a long enough password";

/// Where clients connect: at least one address.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) addresses: Vec<String>,
}

impl Place {
    pub(crate) fn http(&self) -> Http {
        Http::new(self.addresses.clone()).expect("usable addresses")
    }

    /// A name that no other test uses.
    pub(crate) fn fresh_name(&self, of: &str) -> String {
        format!("{of}-{:08x}", rand::random::<u32>())
    }

    /// Registers somebody and connects them to the address with this index.
    pub(crate) async fn person(&self, name: &str, address: usize, encoding: Encoding) -> Person {
        let name = self.fresh_name(name);
        let http = self.http();
        // Just started, a shard may not have its writer yet; the answer says to try again.
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = http.register(&name, PASSWORD, None).await {
            let may_pass = matches!(&error, HttpError::Refused { status: 503, .. });
            assert!(may_pass && Instant::now() < deadline, "{name}: {error}");
            sleep(Duration::from_millis(50)).await;
        }
        let session = http.log_in(&name, PASSWORD, "test").await.expect("a log-in");
        self.device(name, session, address, encoding).await
    }

    /// A connection with this session.
    pub(crate) async fn device(
        &self,
        name: String,
        session: Session,
        address: usize,
        encoding: Encoding,
    ) -> Person {
        let timing = Timing {
            gap_wait: Duration::from_millis(50)..=Duration::from_millis(100),
            reconnect_first: Duration::from_millis(50),
            ..Timing::default()
        };
        let options = Options { encoding, first_address: address, timing, ..Options::default() };
        let (client, seen) = Client::connect(&self.http(), session.clone(), options);
        client.connected().await.expect("a connection");
        Person { name, session, http: self.http(), client, seen }
    }
}

pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) session: Session,
    pub(crate) http: Http,
    pub(crate) client: Client,
    pub(crate) seen: mpsc::Receiver<Seen>,
}

impl Person {
    pub(crate) fn user(&self) -> u64 {
        self.session.user
    }

    pub(crate) async fn direct(&self, other: &Person) -> u64 {
        let chat = self.http.create_direct(&self.client.token(), other.user()).await;
        chat.expect("a direct chat").item.chat
    }

    /// The next `count` events of a chat, of any kind.
    pub(crate) async fn events(&mut self, chat: u64, count: usize) -> Vec<Event> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while events.len() < count {
            match timeout_at(deadline, self.seen.recv()).await {
                Ok(Some(Seen::Event(event))) if event.chat == chat => events.push(*event),
                Ok(Some(Seen::Resynced(opened))) => {
                    panic!("{} was told to begin anew with chat {:?}", self.name, opened.chat)
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("{} is no longer connected", self.name),
                Err(_) => panic!(
                    "{} saw {} of {count} events: {:?}",
                    self.name,
                    events.len(),
                    events.iter().map(|event| event.ver).collect::<Vec<_>>()
                ),
            }
        }
        events
    }

    /// The next `count` messages of a chat.
    pub(crate) async fn messages(&mut self, chat: u64, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let event = self.events(chat, 1).await.remove(0);
            if event.kind == "message" {
                messages.extend(event.message);
            }
        }
        messages
    }

    /// The next event about this member of a chat.
    pub(crate) async fn member(&mut self, chat: u64, user: u64) -> (Event, Member) {
        loop {
            let event = self.events(chat, 1).await.remove(0);
            match event.member.clone() {
                Some(member) if member.user == user => return (event, member),
                _ => {}
            }
        }
    }

    /// What this person begins a chat anew with.
    pub(crate) async fn resynced(&mut self, chat: u64) -> Opened {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, self.seen.recv()).await {
                Ok(Some(Seen::Resynced(opened)))
                    if opened.chat.as_ref().is_some_and(|item| item.chat == chat) =>
                {
                    return *opened;
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("{} is no longer connected", self.name),
                Err(_) => panic!("{} was not resynced", self.name),
            }
        }
    }

    pub(crate) async fn unread(&self, chat: u64) -> u64 {
        let item = self.http.chat(&self.client.token(), chat).await.expect("a chat of theirs");
        item.unread.expect("an item for one user")
    }
}

pub(crate) fn text(message: &Message) -> &str {
    message.body.as_ref().map_or("", |body| &body.text)
}
