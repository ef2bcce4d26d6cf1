//! Who is asking: access tokens, refresh tokens, passwords, and the sessions that ended early. Keys
//! and the time come in as arguments; nothing here does IO.

pub mod access;
pub mod bearer;
pub mod keys;
pub mod password;
pub mod refresh;
pub mod revoked;

pub use keys::Keys;
pub use password::{Cost, Passwords};
pub use revoked::Revoked;

use shardline_domain::id::{SessionId, UserId};

/// A user in one of its sessions: what a good token says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Principal {
    pub user: UserId,
    pub session: SessionId,
}
