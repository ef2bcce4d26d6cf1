//! What the user has before them: the chats with their unread counts, and the messages of the open one.
//! Pure: what happens comes in, what is to be told comes out.

use crate::show;
use shardline_client::frames::{ChatItem, Event, Head, Message, Opened};
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) me: u64,
    /// In the order of their numbers, which stay for as long as the program runs.
    chats: Vec<Chat>,
    index: HashMap<u64, usize>,
    open: Option<OpenChat>,
}

struct Chat {
    item: ChatItem,
    unread: u64,
}

/// The open chat and what is held of it.
struct OpenChat {
    chat: u64,
    oldest_seq: u64,
    at_start: bool,
    /// One's latest message that still stands.
    own_seq: Option<u64>,
    head_seq: u64,
    read_seq: u64,
}

/// What to tell the user.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Told {
    Message(Box<Message>),
    Notice(String),
    /// Something happened in a chat that is not known here.
    Unknown(u64),
}

impl Desk {
    pub(crate) fn of(me: u64) -> Desk {
        Desk { me, ..Desk::default() }
    }

    /// Takes a chat, new or known; its number.
    pub(crate) fn put(&mut self, item: ChatItem) -> usize {
        let unread = item.unread.unwrap_or(0);
        let index = match self.index.get(&item.chat) {
            Some(index) => *index,
            None => {
                self.index.insert(item.chat, self.chats.len());
                self.chats.push(Chat { item: item.clone(), unread });
                self.chats.len() - 1
            }
        };
        self.chats[index] = Chat { item, unread };
        index + 1
    }

    pub(crate) fn knows(&self, chat: u64) -> bool {
        self.index.contains_key(&chat)
    }

    pub(crate) fn title(&self, chat: u64) -> String {
        let item = self.index.get(&chat).map(|index| &self.chats[*index].item);
        item.map_or_else(|| format!("chat {chat}"), show::title)
    }

    /// (number, chat, unread) in the order of numbers.
    pub(crate) fn list(&self) -> impl Iterator<Item = (usize, &ChatItem, u64)> {
        self.chats.iter().enumerate().map(|(index, chat)| (index + 1, &chat.item, chat.unread))
    }

    /// By number, or by a part of the title that only one chat has; an exact title wins.
    pub(crate) fn find(&self, what: &str) -> Result<u64, String> {
        if let Ok(number) = what.parse::<usize>() {
            let chat = number.checked_sub(1).and_then(|index| self.chats.get(index));
            return chat
                .map(|chat| chat.item.chat)
                .ok_or_else(|| format!("there is no chat number {number}; /chats lists them"));
        }
        let wanted = what.to_lowercase();
        let named = |chat: &&Chat| match &chat.item.peer {
            Some(peer) => peer.name.to_lowercase() == wanted,
            None => chat.item.title.to_lowercase() == wanted,
        };
        if let Some(chat) = self.chats.iter().find(named) {
            return Ok(chat.item.chat);
        }
        let like: Vec<&Chat> = self
            .chats
            .iter()
            .filter(|chat| show::title(&chat.item).to_lowercase().contains(&wanted))
            .collect();
        match &like[..] {
            [one] => Ok(one.item.chat),
            [] => Err(format!("no chat is called {what}; /new starts one with a person")),
            several => Err(format!("{} chats are called like that", several.len())),
        }
    }

    // ---- The open chat ----

    pub(crate) fn open(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.chat)
    }

    /// Takes the page that `open` answered; its messages are to be shown.
    pub(crate) fn opened(&mut self, page: &Opened) {
        let Some(item) = &page.chat else { return };
        let own = page.messages.iter().rev().find(|m| m.sender == self.me && m.body.is_some());
        self.open = Some(OpenChat {
            chat: item.chat,
            oldest_seq: page.messages.first().map_or(item.head_seq + 1, |message| message.seq),
            at_start: page.at_start,
            own_seq: own.map(|message| message.seq),
            head_seq: item.head_seq,
            read_seq: item.read_seq.unwrap_or(0),
        });
        self.put(item.clone());
    }

    pub(crate) fn closed(&mut self) {
        self.open = None;
    }

    /// Where earlier messages end: None if all are shown.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.open.as_ref().filter(|open| !open.at_start).map(|open| open.oldest_seq)
    }

    pub(crate) fn scrolled(&mut self, messages: &[Message], at_start: bool) {
        if let Some(open) = &mut self.open {
            open.oldest_seq = messages.first().map_or(open.oldest_seq, |message| message.seq);
            open.at_start = at_start;
        }
    }

    pub(crate) fn own_latest(&self) -> Option<u64> {
        self.open.as_ref().and_then(|open| open.own_seq)
    }

    /// This user's message is stored; its event may come later.
    pub(crate) fn sent(&mut self, chat: u64, seq: u64) {
        if let Some(open) = self.open.as_mut().filter(|open| open.chat == chat) {
            open.own_seq = open.own_seq.max(Some(seq));
        }
    }

    /// What to mark as read: the open chat up to what was shown, if that is news.
    pub(crate) fn take_read(&mut self) -> Option<(u64, u64)> {
        let open = self.open.as_mut().filter(|open| open.read_seq < open.head_seq)?;
        open.read_seq = open.head_seq;
        let (chat, seq) = (open.chat, open.head_seq);
        if let Some(index) = self.index.get(&chat) {
            self.chats[*index].unread = 0;
        }
        Some((chat, seq))
    }

    // ---- What happens ----

    pub(crate) fn event(&mut self, event: Event) -> Option<Told> {
        let Some(index) = self.index.get(&event.chat).copied() else {
            return Some(Told::Unknown(event.chat));
        };
        let is_open = self.open() == Some(event.chat);
        let item = &mut self.chats[index].item;
        item.head_ver = item.head_ver.max(event.ver);
        if let Some(changed) = event.chat_item {
            // It is for everybody: what is only this user's stays.
            item.title = changed.title;
            item.members_count = changed.members_count;
            item.ended = changed.ended;
        }
        if let Some(member) = event.member {
            let title = self.title(event.chat);
            if member.user == self.me && member.left_ver.is_some() {
                if is_open {
                    self.closed();
                }
                return Some(Told::Notice(format!("you are no longer in {title}")));
            }
            let what = if member.left_ver.is_some() { "left" } else { "is in" };
            return is_open.then(|| Told::Notice(format!("somebody {what} {title}: /who tells")));
        }
        let Some(message) = event.message else {
            let title = self.title(event.chat);
            return is_open.then(|| Told::Notice(format!("this chat is now {title}")));
        };
        match event.kind.as_str() {
            "message" => self.message(index, is_open, message),
            _ if is_open => {
                let open = self.open.as_mut()?;
                if message.body.is_none() && open.own_seq == Some(message.seq) {
                    open.own_seq = None;
                }
                Some(Told::Message(Box::new(message)))
            }
            _ => None,
        }
    }

    fn message(&mut self, index: usize, is_open: bool, message: Message) -> Option<Told> {
        let mine = message.sender == self.me;
        let chat = &mut self.chats[index];
        chat.item.head_seq = chat.item.head_seq.max(message.seq);
        chat.item.last_message = Some(message.clone());
        if mine {
            // Sending is reading.
            chat.unread = 0;
        }
        if let Some(open) = self.open.as_mut().filter(|_| is_open) {
            open.head_seq = open.head_seq.max(message.seq);
            if mine {
                open.own_seq = open.own_seq.max(Some(message.seq));
                open.read_seq = open.read_seq.max(message.seq);
            }
            return Some(Told::Message(Box::new(message)));
        }
        if mine {
            return None;
        }
        chat.unread += 1;
        let unread = chat.unread;
        let text = message.body.as_ref().map_or(String::new(), |body| show::preview(&body.text));
        let (name, title) = (show::harmless(&message.sender_name), show::title(&chat.item));
        let place = if chat.item.kind == "direct" { String::new() } else { format!(" in {title}") };
        let number = index + 1;
        Some(Told::Notice(format!("{name}{place}: {text} ({unread} unread, /open {number})")))
    }

    /// A beacon: another device of this user has read on.
    pub(crate) fn head(&mut self, head: &Head) {
        if let Some(index) = self.index.get(&head.chat) {
            let chat = &mut self.chats[*index];
            if head.head_seq <= head.read_seq {
                chat.unread = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_client::frames::{Body, User};

    const ME: u64 = 1;

    fn item(chat: u64, name: &str) -> ChatItem {
        let peer = User { user: 2, name: name.to_owned(), ..User::default() };
        ChatItem { chat, kind: "direct".to_owned(), peer: Some(peer), ..ChatItem::default() }
    }

    fn message(chat: u64, sender: u64, seq: u64, text: &str) -> Event {
        let message = Message {
            chat,
            seq,
            ver: seq,
            sender,
            sender_name: format!("user {sender}"),
            body: Some(Body { text: text.to_owned() }),
            ..Message::default()
        };
        let kind = "message".to_owned();
        Event { chat, ver: seq, kind, message: Some(message), ..Event::default() }
    }

    fn desk() -> Desk {
        let mut desk = Desk::of(ME);
        assert_eq!((desk.put(item(10, "bob")), desk.put(item(20, "bobby"))), (1, 2));
        desk
    }

    fn unread(desk: &Desk) -> Vec<u64> {
        desk.list().map(|(_, _, unread)| unread).collect()
    }

    #[test]
    fn chats_are_found_by_number_and_by_name() {
        let desk = desk();
        assert_eq!((desk.find("2"), desk.find("Bob"), desk.find("obby")), (Ok(20), Ok(10), Ok(20)));
        for what in ["0", "3", "alice", "ob"] {
            assert!(desk.find(what).is_err(), "{what}");
        }
    }

    #[test]
    fn what_is_said_elsewhere_is_counted_and_what_is_said_here_is_shown_and_read() {
        let mut desk = desk();
        let page = Opened { chat: Some(item(10, "bob")), at_start: true, ..Opened::default() };
        desk.opened(&page);
        assert!(
            matches!(desk.event(message(20, 2, 1, "psst")), Some(Told::Notice(told)) if told.contains("1 unread"))
        );
        assert!(matches!(desk.event(message(10, 2, 1, "hi")), Some(Told::Message(_))));
        assert_eq!(desk.take_read(), Some((10, 1)));
        assert_eq!(desk.take_read(), None);
        assert_eq!(unread(&desk), [0, 1]);
        // Said by this user on another device.
        assert_eq!(desk.event(message(20, ME, 2, "yes?")), None);
        assert_eq!(unread(&desk), [0, 0]);
        assert_eq!(desk.event(message(30, 2, 1, "who?")), Some(Told::Unknown(30)));
    }

    #[test]
    fn one_s_latest_message_is_the_one_to_edit() {
        let mut desk = desk();
        let mine = message(10, ME, 4, "mine").message.expect("a message");
        let page = Opened {
            chat: Some(ChatItem { head_seq: 4, ..item(10, "bob") }),
            messages: vec![mine],
            ..Opened::default()
        };
        desk.opened(&page);
        assert_eq!((desk.own_latest(), desk.oldest()), (Some(4), Some(4)));
        desk.event(message(10, 2, 5, "theirs"));
        // Acknowledged before it is seen.
        desk.sent(10, 6);
        assert_eq!(desk.own_latest(), Some(6));
        desk.event(message(10, ME, 6, "mine again"));
        assert_eq!(desk.own_latest(), Some(6));
        let mut deleted = message(10, ME, 6, "");
        deleted.kind = "delete".to_owned();
        deleted.message.as_mut().expect("a message").body = None;
        desk.event(deleted);
        assert_eq!(desk.own_latest(), None);
    }
}
