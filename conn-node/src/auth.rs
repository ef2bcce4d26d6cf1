//! Who is asking: access tokens, refresh tokens, passwords, and the sessions that ended early. Keys
//! and the time come in as arguments; nothing here does IO.

mod access;
pub(crate) mod bearer;
mod keys;
mod password;
pub(crate) mod refresh;
mod revoked;
mod sessions;

pub use keys::Keys;
pub use password::Cost;
pub(crate) use password::Passwords;
pub(crate) use revoked::Revoked;
pub(crate) use sessions::SeenSessions;

use shardline_domain::id::{SessionId, UserId};

/// A user in one of its sessions: what a good token says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Principal {
    pub user: UserId,
    pub session: SessionId,
}
