//! A user with at least one session on this node.

use super::published::UserNews;
use crate::routers::Place;
use crate::session::Session;
use shardline_domain::follow::Follow;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct UserHere {
    pub(crate) sessions: Vec<Arc<Session>>,
    /// The chats on its list, as far as this node knows.
    pub(crate) chats: HashMap<u64, Member>,
    /// Of the user's own things. They have no log: 0.
    pub(crate) follow: Follow<Arc<UserNews>>,
    pub(crate) is_repair_wished: bool,
    /// The stream since whose begin the list was compared.
    pub(crate) checked: Option<Place>,
}

/// What is known of a user in one of its chats.
#[derive(Default)]
pub(crate) struct Member {
    /// Highest read cursor that passed this node; None if it has to be asked for.
    pub(crate) read_seq: Option<u64>,
}

impl Default for UserHere {
    fn default() -> Self {
        UserHere {
            sessions: Vec::new(),
            chats: HashMap::new(),
            follow: Follow::unknown(),
            is_repair_wished: false,
            checked: None,
        }
    }
}

impl UserHere {
    /// True if it was not followed before.
    pub(crate) fn follow_chat(&mut self, chat: u64) -> bool {
        let mut is_new = false;
        self.chats.entry(chat).or_insert_with(|| {
            is_new = true;
            Member::default()
        });
        is_new
    }
}
