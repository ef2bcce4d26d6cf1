//! The course of things: lines from the user, events from the client, and answers to what was asked.

use crate::command::{Command, HELP};
use crate::desk::{Desk, Told};
use crate::terminal::Terminal;
use anyhow::{Result, bail};
use shardline_client::frames::{Chats, History, Message};
use shardline_client::{Client, Http, Pending, Seen, State, Stop};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

const PAGE: u64 = 20;
const CHATS: u64 = 100;
/// Typing may go on while these are not acknowledged.
const UNANSWERED_MAX: usize = 64;
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
            Seen::Resumed { .. } | Seen::Signal(_) => {}
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

    // ---- Commands ----

    async fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Nothing | Command::Quit => {}
            Command::Say(text) => self.say(text).await?,
            Command::Chats => self.report(Self::chats).await?,
            Command::Open(what) => match self.desk.find(&what) {
                Ok(chat) => self.report(async |this| this.open(chat).await).await?,
                // Perhaps a person with whom there is no chat yet.
                Err(why) => self.terminal.notice(&why),
            },
            Command::New(name) => self.report(async |this| this.new_direct(&name).await).await?,
            Command::Group { title, names } => {
                self.report(async |this| this.new_group(&title, &names).await).await?;
            }
            Command::Add(names) => self.report(async |this| this.add(&names).await).await?,
            Command::Leave => self.report(Self::leave).await?,
            Command::More => self.report(Self::more).await?,
            Command::Edit { seq, text } => {
                self.report(async |this| this.edit(seq, &text).await).await?;
            }
            Command::Delete { seq } => self.report(async |this| this.delete(seq).await).await?,
            Command::Who => self.report(Self::who).await?,
            Command::Help => self.terminal.print(HELP),
            Command::Wrong(why) => self.terminal.notice(&why),
        }
        Ok(())
    }

    /// Carries it out and tells if it did not work.
    async fn report(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<Answer<()>>,
    ) -> Result<()> {
        if let Err(why) = work(self).await? {
            self.terminal.notice(&why);
        }
        Ok(())
    }

    async fn say(&mut self, text: String) -> Result<()> {
        let Some(chat) = self.desk.open() else {
            self.terminal.notice("no chat is open: /chats, /open or /new first");
            return Ok(());
        };
        if UNANSWERED_MAX <= self.sending.len() {
            self.terminal.notice("too much is still on its way; wait a moment");
            return Ok(());
        }
        let send = async |(client, text): (Client, String)| client.submit(chat, text).await;
        let pending: Pending =
            self.while_showing((self.client.clone(), text.clone()), send).await?;
        self.sending.spawn(async move {
            match pending.await {
                Ok(ack) => Ok((chat, ack.seq.unwrap_or(0))),
                Err(error) => Err(format!("{error}: {}", crate::show::preview(&text))),
            }
        });
        // Piped: the next line may depend on it.
        if !self.terminal.interactive {
            self.all_sent().await;
        }
        Ok(())
    }

    async fn all_sent(&mut self) {
        while let Some(sent) = self.sending.join_next().await {
            if let Ok(sent) = sent {
                self.sent(sent);
            }
        }
    }

    async fn chats(&mut self) -> Result<Answer<()>> {
        let ask = async |client: Client| {
            client.chats(Chats { limit: Some(CHATS), ..Chats::default() }).await
        };
        let page = match self.while_showing(self.client.clone(), ask).await? {
            Ok(page) => page,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let order: Vec<u64> = page.items.iter().map(|item| item.chat).collect();
        for item in page.items {
            self.desk.put(item);
        }
        if order.is_empty() {
            return Ok(Err("no chats yet: /new NAME starts one".to_owned()));
        }
        let (now, style) = (now_ms(), self.terminal.style);
        let mut lines: Vec<(Option<usize>, String)> = Vec::new();
        for (number, item, unread) in self.desk.list() {
            let place = order.iter().position(|chat| *chat == item.chat);
            lines.push((place, style.chat(number, item, unread, now)));
        }
        lines.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
        for (_, line) in lines.iter().filter(|(place, _)| place.is_some()) {
            self.terminal.print(line);
        }
        Ok(Ok(()))
    }

    async fn open(&mut self, chat: u64) -> Result<Answer<()>> {
        let ask = async |client: Client| client.open(chat, Some(PAGE)).await;
        let page = match self.while_showing(self.client.clone(), ask).await? {
            Ok(page) => page,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.desk.opened(&page);
        let title = self.desk.title(chat);
        let more = if page.at_start { "" } else { "; /more shows earlier messages" };
        self.terminal.notice(&format!("{title}{more}"));
        self.show_messages(&page.messages);
        self.mark_read();
        Ok(Ok(()))
    }

    async fn more(&mut self) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let Some(oldest) = self.desk.oldest() else {
            return Ok(Err("this is where it began".to_owned()));
        };
        let before_seq = Some(oldest);
        let call = History { chat, before_seq, limit: Some(PAGE), ..History::default() };
        let ask = async |client: Client| client.history(call).await;
        match self.while_showing(self.client.clone(), ask).await? {
            Ok(page) => {
                self.desk.scrolled(&page.messages, page.at_start);
                self.show_messages(&page.messages);
                let until = page.messages.last().map_or(oldest, |message| message.seq);
                let began = if page.at_start { " from the beginning" } else { "" };
                self.terminal.notice(format!("{began} up to #{until}").trim_start());
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn new_direct(&mut self, name: &str) -> Result<Answer<()>> {
        let user = match self.user_of(name).await? {
            Ok(user) => user,
            Err(why) => return Ok(Err(why)),
        };
        let ask = async |(http, token): (Http, String)| http.create_direct(&token, user).await;
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok(made) => {
                let chat = made.item.chat;
                self.desk.put(made.item);
                self.open(chat).await
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn new_group(&mut self, title: &str, names: &[String]) -> Result<Answer<()>> {
        let users = match self.users_of(names).await? {
            Ok(users) => users,
            Err(why) => return Ok(Err(why)),
        };
        let (id, title) = (Uuid::new_v4(), title.to_owned());
        let ask = async |(http, token): (Http, String)| {
            http.create_group(&token, "group", &title, &users, id).await
        };
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok(made) => {
                let chat = made.item.chat;
                self.desk.put(made.item);
                self.open(chat).await
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn add(&mut self, names: &[String]) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let users = match self.users_of(names).await? {
            Ok(users) => users,
            Err(why) => return Ok(Err(why)),
        };
        let ask = async |(http, token): (Http, String)| {
            http.add_members(&token, chat, &users, None).await
        };
        let added = self.while_showing((self.http.clone(), self.client.token()), ask).await?;
        Ok(added.map_err(|error| error.to_string()))
    }

    async fn leave(&mut self) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let me = self.desk.me;
        let ask = async |(http, token): (Http, String)| http.remove_member(&token, chat, me).await;
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok(()) => {
                self.desk.closed();
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn edit(&mut self, seq: Option<u64>, text: &str) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let Some(seq) = seq.or(self.desk.own_latest()) else {
            return Ok(Err("you said nothing here that could be edited".to_owned()));
        };
        let ask = async |client: Client| client.edit(chat, seq, text).await;
        let edited = self.while_showing(self.client.clone(), ask).await?;
        Ok(edited.map(|_| ()).map_err(|error| error.to_string()))
    }

    async fn delete(&mut self, seq: Option<u64>) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let Some(seq) = seq.or(self.desk.own_latest()) else {
            return Ok(Err("you said nothing here that could be deleted".to_owned()));
        };
        let ask = async |client: Client| client.delete(chat, seq).await;
        let deleted = self.while_showing(self.client.clone(), ask).await?;
        Ok(deleted.map(|_| ()).map_err(|error| error.to_string()))
    }

    async fn who(&mut self) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let ask = async |(http, token): (Http, String)| {
            let page = http.members(&token, chat, 200, None).await?;
            let mut lines = Vec::new();
            for member in &page.items {
                let user = http.user(&token, member.user).await?;
                let name = crate::show::harmless(&user.name);
                lines.push(format!("  {name:<20} {}", member.role));
            }
            Ok::<_, shardline_client::HttpError>((lines, page.next_cursor.is_some()))
        };
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok((lines, more)) => {
                lines.iter().for_each(|line| self.terminal.print(line));
                if more {
                    self.terminal.notice("and more");
                }
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn users_of(&mut self, names: &[String]) -> Result<Answer<Vec<u64>>> {
        let mut users = Vec::new();
        for name in names {
            match self.user_of(name).await? {
                Ok(user) => users.push(user),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(users))
    }

    async fn user_of(&mut self, name: &str) -> Result<Answer<u64>> {
        let ask = async |(http, token): (Http, String)| http.users(&token, name, 20).await;
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok(users) => {
                let user = users.iter().find(|user| user.name == name);
                Ok(user.map(|user| user.user).ok_or_else(|| format!("nobody is called {name}")))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
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
