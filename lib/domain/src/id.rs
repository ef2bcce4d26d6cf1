//! Identities. Ids of chats, users and names are random numbers (or hashes) in 1..2^63, so their top
//! bits spread evenly over slots; each kind is its own type, so that two cannot be mixed up.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id is a decimal number from 1 to 9223372036854775807")]
pub struct IdError;

/// The highest id: what a signed 64-bit database column holds.
const ID_MAX: u64 = i64::MAX as u64;

macro_rules! entity_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number, if it is in 1..2^63.
            pub fn new(number: u64) -> Result<Self, IdError> {
                if number == 0 || number > ID_MAX { Err(IdError) } else { Ok(Self(number)) }
            }

            /// An id from 64 random bits.
            pub fn from_random(bits: u64) -> Self {
                Self((bits >> 1).max(1))
            }

            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        /// Plain decimal digits only: no sign, no spaces.
        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if !text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(IdError);
                }
                Self::new(text.parse().map_err(|_| IdError)?)
            }
        }

    };
}

entity_id!(
    /// A chat, a user or a claimed name: whatever has a slot and a dense `ver` of its own.
    EntityId
);
entity_id!(ChatId);
entity_id!(UserId);
entity_id!(
    /// A claimed name; the id is a hash of the name, or the next probe on a clash.
    NameId
);
entity_id!(
    /// One log-in of a user on one device.
    SessionId
);

macro_rules! is_entity {
    ($($name:ident),*) => {$(
        impl From<$name> for EntityId {
            fn from(id: $name) -> EntityId {
                EntityId(id.0)
            }
        }
    )*};
}

is_entity!(ChatId, UserId, NameId);

/// Several ids a hash may take, in order: a clash with another identity takes the next.
pub const PROBES: u32 = 8;

impl ChatId {
    /// A direct chat's id: the same whoever of the two asks first.
    pub fn of_direct(one: UserId, other: UserId, probe: u32) -> ChatId {
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        ChatId(hash(&[b"direct", &low.get().to_be_bytes(), &high.get().to_be_bytes()], probe))
    }

    /// A group's or channel's id, from who created it and the id the client gave the request.
    pub fn of_group(creator: UserId, client_chat_id: &[u8; 16], probe: u32) -> ChatId {
        ChatId(hash(&[b"group", &creator.get().to_be_bytes(), client_chat_id], probe))
    }
}

impl NameId {
    pub fn of_name(name: &str, probe: u32) -> NameId {
        NameId(hash(&[b"name", name.as_bytes()], probe))
    }
}

/// The top 63 bits of a SHA-256 over the parts, each with its length before it.
fn hash(parts: &[&[u8]], probe: u32) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(probe.to_be_bytes());
    let digest = hasher.finalize();
    let top: [u8; 8] = digest[..8].try_into().expect("a SHA-256 digest has 32 bytes");
    (u64::from_be_bytes(top) >> 1).max(1)
}

/// What a client calls one of its messages: 16 bytes that it never uses for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientMsgId(pub [u8; 16]);

/// One MySQL database and the one process that may write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_only_from_plain_digits_in_range() {
        for bad in ["", "0", "-1", "+1", " 1", "1 ", "1e3", "0x1", "9223372036854775808", "١"] {
            assert_eq!(bad.parse::<ChatId>(), Err(IdError), "{bad:?}");
        }
        assert_eq!("9223372036854775807".parse::<ChatId>().map(ChatId::get), Ok(i64::MAX as u64));
    }

    #[test]
    fn a_direct_chat_has_one_id_for_both() {
        let (a, b) = (UserId::from_random(77), UserId::from_random(u64::MAX));
        assert_eq!(ChatId::of_direct(a, b, 0), ChatId::of_direct(b, a, 0));
        assert_ne!(ChatId::of_direct(a, b, 0), ChatId::of_direct(a, b, 1));
    }
}
