//! The course of things: lines from the user, events from the client, and answers to what was asked.

mod commands;

use crate::command::Command;
use crate::desk::{Desk, Told};
use crate::terminal::Terminal;
use anyhow::{Result, bail};
use shardline_client::frames::Message;
use shardline_client::{Client, Http, Seen, State, Stop};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const PAGE: u64 = 20;
const READ_AFTER: Duration = Duration::from_millis(500);

pub(crate) struct Conversation {
    http: Http,
    client: Client,
    seen: mpsc::Receiver<Seen>,
    state: watch::Receiver<State>,
    terminal: Terminal,
    name: String,
    desk: Desk,
    /// Sends whose acknowledgement is to come.
    sending: JoinSet<Sent>,
    /// The connection is lost, and the user knows.
    lost: bool,
    reading: JoinSet<()>,
}

/// (chat, seq) of a message that is stored, or what to tell.
type Sent = std::result::Result<(u64, u64), String>;

/// What to tell when something was asked for and did not work.
type Answer<T> = std::result::Result<T, String>;

impl Conversation {
    pub(crate) fn new(
        http: Http,
        client: Client,
        seen: mpsc::Receiver<Seen>,
        terminal: Terminal,
        name: String,
    ) -> Conversation {
        let desk = Desk::of(client.user());
        Conversation {
            http,
            state: client.state(),
            client,
            seen,
            terminal,
            name,
            desk,
            sending: JoinSet::new(),
            lost: false,
            reading: JoinSet::new(),
        }
    }

    /// Until the user leaves, or the server does not want them.
    pub(crate) async fn hold(&mut self) -> Result<()> {
        self.while_showing(self.client.clone(), async |client| client.connected().await).await??;
        self.terminal.notice(&format!("you are {}; /help tells what you can do", self.name));
        self.report(Self::chats).await?;
        loop {
            let prompt = match self.desk.open() {
                Some(chat) => format!("{}> ", self.desk.title(chat)),
                None => "> ".to_owned(),
            };
            self.terminal.ask(&prompt);
            let Some(line) = self.line().await? else { break };
            if Command::parse(&line) == Command::Quit {
                break;
            }
            self.obey(Command::parse(&line)).await?;
        }
        self.last_answers().await
    }

    // ---- What happens meanwhile ----

    /// The next line; events are shown while it is typed. None at the end of the input.
    async fn line(&mut self) -> Result<Option<String>> {
        loop {
            tokio::select! {
                line = self.terminal.next() => return Ok(line),
                meanwhile = next(&mut self.seen, &mut self.state, &mut self.sending) => {
                    self.happened(meanwhile).await?;
                }
            }
        }
    }

    /// Waits for an answer, and shows what happens meanwhile.
    async fn while_showing<C, T>(&mut self, with: C, work: impl AsyncFnOnce(C) -> T) -> Result<T> {
        let mut work = std::pin::pin!(work(with));
        loop {
            tokio::select! {
                answer = &mut work => return Ok(answer),
                meanwhile = next(&mut self.seen, &mut self.state, &mut self.sending) => {
                    self.show(meanwhile)?;
                }
            }
        }
    }

    /// Shows it; what needs to be asked about first is asked about.
    async fn happened(&mut self, meanwhile: Meanwhile) -> Result<()> {
        if let Some(chat) = self.show(meanwhile)? {
            let token = self.client.token();
            if let Ok(item) = self.http.chat(&token, chat).await {
                let number = self.desk.put(item);
                let title = self.desk.title(chat);
                self.terminal.notice(&format!("a new chat: {title} (/open {number})"));
            }
        }
        Ok(())
    }

    /// A chat that is not known here, if it was about one.
    fn show(&mut self, meanwhile: Meanwhile) -> Result<Option<u64>> {
        match meanwhile {
            Meanwhile::Seen(seen) => return Ok(self.saw(*seen)),
            Meanwhile::Sent(sent) => self.sent(sent),
            Meanwhile::State(State::Connected { address, node }) => {
                self.lost = false;
                self.terminal.notice(&format!("connected to {node} at {address}"));
            }
            Meanwhile::State(State::Waiting { why, retry_in }) => {
                // The first failure is news, the next ones are not.
                if !std::mem::replace(&mut self.lost, true) {
                    let seconds = retry_in.as_secs_f64();
                    self.terminal
                        .notice(&format!("not connected: {why}; trying again in {seconds:.1} s"));
                }
            }
            Meanwhile::State(State::Connecting) => {}
            Meanwhile::State(State::Stopped(stop)) => bail!("{stop}"),
        }
        Ok(None)
    }

    fn sent(&mut self, sent: Sent) {
        match sent {
            Ok((chat, seq)) => self.desk.sent(chat, seq),
            Err(told) => self.terminal.notice(&told),
        }
    }

    fn saw(&mut self, seen: Seen) -> Option<u64> {
        match seen {
            Seen::Event(event) => match self.desk.event(*event) {
                Some(Told::Message(message)) => {
                    self.show_messages(&[*message]);
                    self.mark_read();
                }
                Some(Told::Notice(told)) => self.terminal.notice(&told),
                Some(Told::Unknown(chat)) => return Some(chat),
                None => {}
            },
            Seen::Resynced(page) => {
                let chat = page.chat.as_ref().map(|item| item.chat);
                if chat.is_some() && chat == self.desk.open() {
                    self.terminal.notice("much has happened here; the latest is:");
                    self.desk.opened(&page);
                    self.show_messages(&page.messages);
                    self.mark_read();
                }
            }
            Seen::Heads(heads) => heads.chats.iter().for_each(|head| self.desk.head(head)),
            Seen::List(list) => {
                let change = list.change?;
                let chat = change.chat.filter(|chat| !self.desk.knows(*chat));
                return chat.filter(|_| change.kind == "chat_added");
            }
            Seen::Lists(page) => {
                for item in page.items {
                    self.desk.put(item);
                }
            }
            Seen::Opened { .. } | Seen::Resumed { .. } | Seen::Signal(_) => {}
        }
        None
    }

    fn show_messages(&mut self, messages: &[Message]) {
        let now = now_ms();
        for message in messages {
            let line = self.terminal.style.message(message, now);
            self.terminal.print(&line);
        }
    }

    /// A little later, so that many messages are marked at once.
    fn mark_read(&mut self) {
        while self.reading.try_join_next().is_some() {}
        if let Some((chat, seq)) = self.desk.take_read() {
            self.reading.abort_all();
            let client = self.client.clone();
            self.reading.spawn(async move {
                tokio::time::sleep(READ_AFTER).await;
                // A mark that is lost is made again by the next one.
                let _ = client.read(chat, seq).await;
            });
        }
    }

    /// Waits for what was said to be acknowledged, and marked as read.
    async fn last_answers(&mut self) -> Result<()> {
        self.all_sent().await;
        while self.reading.join_next().await.is_some() {}
        // What came with the last acknowledgement is shown, too.
        while let Ok(seen) = self.seen.try_recv() {
            self.saw(seen);
        }
        Ok(())
    }
}

enum Meanwhile {
    Seen(Box<Seen>),
    State(State),
    Sent(Sent),
}

/// Safe to drop and call again.
async fn next(
    seen: &mut mpsc::Receiver<Seen>,
    state: &mut watch::Receiver<State>,
    sending: &mut JoinSet<Sent>,
) -> Meanwhile {
    tokio::select! {
        Some(seen) = seen.recv() => Meanwhile::Seen(Box::new(seen)),
        Ok(()) = state.changed() => Meanwhile::State(state.borrow_and_update().clone()),
        Some(sent) = sending.join_next() => {
            Meanwhile::Sent(sent.unwrap_or_else(|error| Err(error.to_string())))
        }
        // The client is gone without having said why.
        else => Meanwhile::State(State::Stopped(Stop::Here)),
    }
}

/// For display only; the client has no clock of the server's.
fn now_ms() -> i64 {
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
