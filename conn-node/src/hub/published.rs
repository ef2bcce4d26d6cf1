//! What was published, as this node passes it on: the envelope's part that decides who gets it, and
//! the frame, encoded when the first session wants it.

use crate::session::outgoing::Shared;
use prost::Message as _;
use shardline_wire::client::{self, ListChange, server_frame::Frame};
use shardline_wire::internal::{Event, ListRow};
use tracing::error;

/// An event of a chat.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) chat: u64,
    pub(crate) ver: u64,
    pub(crate) receivers: Vec<u64>,
    /// To those who have the chat open and were members then, not to `receivers`.
    pub(crate) is_wide: bool,
    pub(crate) membership: Option<Membership>,
    pub(crate) shared: Shared,
}

/// From which ver to which (exclusive) somebody is a member; it gets the event itself in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    pub(crate) user: u64,
    pub(crate) joined_ver: u64,
    pub(crate) left_ver: Option<u64>,
}

impl From<Event> for Published {
    fn from(event: Event) -> Published {
        let membership = (event.subject != 0).then(|| membership(&event));
        Published {
            chat: event.entity,
            ver: event.ver,
            receivers: event.receivers,
            is_wide: event.wide,
            membership,
            shared: Shared::event(event.payload),
        }
    }
}

fn membership(event: &Event) -> Membership {
    let member = match client::Event::decode(&event.payload[..]) {
        Ok(event) => event.member,
        Err(reason) => {
            error!(%reason, "a member event's payload cannot be read");
            None
        }
    };
    match member {
        Some(member) => Membership {
            user: member.user,
            joined_ver: member.joined_ver,
            left_ver: member.left_ver,
        },
        // Without a member it says nothing of who may see what.
        None => Membership { user: event.subject, joined_ver: event.ver, left_ver: None },
    }
}

/// A change of a user's own things.
#[derive(Debug)]
pub(crate) struct UserNews {
    pub(crate) added: Option<u64>,
    pub(crate) gone: Option<u64>,
    pub(crate) name: Option<String>,
    /// None: nothing to tell, only a ver that is taken.
    pub(crate) shared: Option<Shared>,
}

impl UserNews {
    pub(crate) fn silent() -> UserNews {
        UserNews { added: None, gone: None, name: None, shared: None }
    }

    /// From an encoded `shardline.v1.List`.
    pub(crate) fn read(payload: &[u8]) -> Result<UserNews, prost::DecodeError> {
        client::List::decode(payload).map(UserNews::of)
    }

    /// What a row of the list, read from the store, says changed.
    pub(crate) fn of_row(row: &ListRow) -> UserNews {
        if row.gone {
            return UserNews::of_gone(row.list_ver, row.chat);
        }
        let kind = "chat_added".to_owned();
        let change = ListChange { kind, chat: Some(row.chat), user: None };
        UserNews::of(client::List { list_ver: row.list_ver, change: Some(change) })
    }

    pub(crate) fn of_gone(list_ver: u64, chat: u64) -> UserNews {
        let change = ListChange { kind: "chat_gone".to_owned(), chat: Some(chat), user: None };
        UserNews::of(client::List { list_ver, change: Some(change) })
    }

    pub(crate) fn of_profile(list_ver: u64, user: client::User) -> UserNews {
        let change = ListChange { kind: "profile".to_owned(), chat: None, user: Some(user) };
        UserNews::of(client::List { list_ver, change: Some(change) })
    }

    fn of(list: client::List) -> UserNews {
        let mut news = UserNews::silent();
        if let Some(change) = &list.change {
            match change.kind.as_str() {
                "chat_gone" => news.gone = change.chat,
                "chat_added" => news.added = change.chat,
                _ => {}
            }
            news.name = change.user.as_ref().map(|user| user.display_name.clone());
        }
        news.shared = Some(Shared::frame(Frame::List(list)));
        news
    }
}
