//! What each command does.

use super::{Answer, Conversation, PAGE, now_ms};
use crate::command::{Command, HELP};
use anyhow::Result;
use shardline_client::frames::{Chats, History};
use shardline_client::{Client, Http, HttpError, Pending};
use uuid::Uuid;

const CHATS: u64 = 100;
/// Typing may go on while these are not acknowledged.
const UNANSWERED_MAX: usize = 64;

impl Conversation {
    pub(super) async fn obey(&mut self, command: Command) -> Result<()> {
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
    pub(super) async fn report(
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

    pub(super) async fn all_sent(&mut self) {
        while let Some(sent) = self.sending.join_next().await {
            if let Ok(sent) = sent {
                self.sent(sent);
            }
        }
    }

    pub(super) async fn chats(&mut self) -> Result<Answer<()>> {
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
        Ok(added.map(drop).map_err(|error| error.to_string()))
    }

    async fn leave(&mut self) -> Result<Answer<()>> {
        let Some(chat) = self.desk.open() else { return Ok(Err("no chat is open".to_owned())) };
        let me = self.desk.me;
        let ask = async |(http, token): (Http, String)| http.remove_member(&token, chat, me).await;
        match self.while_showing((self.http.clone(), self.client.token()), ask).await? {
            Ok(_) => {
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
                let name = match &member.name {
                    Some(name) => name.clone(),
                    None => http.user(&token, member.user).await?.name,
                };
                let name = crate::show::harmless(&name);
                lines.push(format!("  {name:<20} {}", member.role));
            }
            Ok::<_, HttpError>((lines, page.next_cursor.is_some()))
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
