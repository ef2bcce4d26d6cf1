//! The verdict for one send: store it, repeat the first answer, refuse it, or answer later.

use crate::chat::{Denied, Kind, Role, may_send};
use crate::error::Code;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Tells one payload from another: a hash over text and reply_to, of a send's first arrival.
pub type BodyHash = [u8; 16];

/// Where a chat stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub seq: u64,
    pub ver: u64,
    /// When the last message was accepted, or the chat was created.
    pub activity_ms: i64,
}

/// What was answered to the first arrival of a client_msg_id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct First {
    pub seq: u64,
    pub ver: u64,
    pub sent_at_ms: i64,
    pub hash: BodyHash,
}

/// What is known about the session's previous unanswered send to the chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Predecessor {
    None,
    Stored,
    /// Not stored, as far as the lane knows now.
    Missing,
}

/// All that decides about one send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub kind: Kind,
    pub ended: bool,
    pub head: Head,
    /// None: not a member.
    pub role: Option<Role>,
    pub reply_to: Option<u64>,
    pub hash: BodyHash,
    /// The first arrival of this client_msg_id from this sender in this chat, if there was one.
    pub first: Option<First>,
    pub predecessor: Predecessor,
    pub now_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Takes the next seq and the next ver.
    Store(First),
    Repeat(First),
    Refuse(SendRefused),
    /// The predecessor is not stored: nothing is, and the send comes again behind it.
    Later,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SendRefused {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("this client_msg_id was used with another body")]
    OtherBody,
    #[error("there is no message {0} to reply to")]
    NoSuchReply(u64),
}

impl SendRefused {
    pub fn code(self) -> Code {
        match self {
            SendRefused::Denied(denied) => denied.code(),
            SendRefused::OtherBody => Code::Conflict,
            SendRefused::NoSuchReply(_) => Code::BadRequest,
        }
    }
}

pub fn body_hash(text: &str, reply_to: Option<u64>) -> BodyHash {
    let mut hasher = Sha256::new();
    // 0 is no seq, so it can stand for "no reply".
    hasher.update(reply_to.unwrap_or(0).to_be_bytes());
    hasher.update(text.as_bytes());
    let digest = hasher.finalize();
    digest[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

/// A retry gets the first answer whatever has happened since: to the sender's membership, to the
/// chat, to the message. Everything else is decided as of now. Time never goes back within a chat.
pub fn decide(asked: &Asked) -> Verdict {
    if let Some(first) = asked.first {
        return if first.hash == asked.hash {
            Verdict::Repeat(first)
        } else {
            Verdict::Refuse(SendRefused::OtherBody)
        };
    }
    if let Err(refused) = allowed(asked) {
        return Verdict::Refuse(refused);
    }
    if asked.predecessor == Predecessor::Missing {
        return Verdict::Later;
    }
    Verdict::Store(First {
        seq: asked.head.seq + 1,
        ver: asked.head.ver + 1,
        sent_at_ms: asked.now_ms.max(asked.head.activity_ms),
        hash: asked.hash,
    })
}

fn allowed(asked: &Asked) -> Result<(), SendRefused> {
    if asked.ended {
        return Err(Denied::NoChat.into());
    }
    let role = asked.role.ok_or(Denied::NotMember)?;
    may_send(asked.kind, role)?;
    match asked.reply_to {
        Some(seq) if !(1..=asked.head.seq).contains(&seq) => Err(SendRefused::NoSuchReply(seq)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn asked() -> Asked {
        Asked {
            kind: Kind::Group,
            ended: false,
            head: Head { seq: 4, ver: 9, activity_ms: 1_000 },
            role: Some(Role::Member),
            reply_to: None,
            hash: [1; 16],
            first: None,
            predecessor: Predecessor::None,
            now_ms: 2_000,
        }
    }

    fn first() -> First {
        First { seq: 2, ver: 3, sent_at_ms: 500, hash: [1; 16] }
    }

    fn check(asked: Asked, expected: Verdict) {
        assert_eq!(decide(&asked), expected, "{asked:?}");
    }

    #[test]
    fn a_send_takes_the_next_seq_and_ver() {
        let stored = First { seq: 5, ver: 10, sent_at_ms: 2_000, hash: [1; 16] };
        check(asked(), Verdict::Store(stored));
        check(Asked { predecessor: Predecessor::Stored, ..asked() }, Verdict::Store(stored));
    }

    #[test]
    fn time_never_goes_back_within_a_chat() {
        let stored = First { seq: 5, ver: 10, sent_at_ms: 1_000, hash: [1; 16] };
        check(Asked { now_ms: 10, ..asked() }, Verdict::Store(stored));
    }

    #[test]
    fn a_retry_gets_the_first_answer_even_from_one_who_left_an_ended_chat() {
        let retry = Asked {
            first: Some(first()),
            role: None,
            ended: true,
            predecessor: Predecessor::Missing,
            ..asked()
        };
        check(retry, Verdict::Repeat(first()));
    }

    #[test]
    fn the_same_id_with_another_body_is_refused() {
        let other = Asked { first: Some(first()), hash: [2; 16], ..asked() };
        check(other, Verdict::Refuse(SendRefused::OtherBody));
    }

    #[test]
    fn only_members_write_and_only_in_a_chat_that_goes_on() {
        let denied = |denied: Denied| Verdict::Refuse(SendRefused::Denied(denied));
        check(Asked { role: None, ..asked() }, denied(Denied::NotMember));
        check(Asked { role: Some(Role::Muted), ..asked() }, denied(Denied::Muted));
        check(Asked { ended: true, ..asked() }, denied(Denied::NoChat));
    }

    #[test]
    fn a_reply_is_to_an_earlier_message() {
        for seq in [0, 5, u64::MAX] {
            let verdict = Verdict::Refuse(SendRefused::NoSuchReply(seq));
            check(Asked { reply_to: Some(seq), ..asked() }, verdict);
        }
        assert!(matches!(decide(&Asked { reply_to: Some(4), ..asked() }), Verdict::Store(_)));
    }

    #[test]
    fn what_is_refused_for_good_is_not_told_to_come_later() {
        let missing = Asked { predecessor: Predecessor::Missing, ..asked() };
        check(missing, Verdict::Later);
        let refused = Verdict::Refuse(SendRefused::Denied(Denied::NotMember));
        check(Asked { role: None, ..missing }, refused);
    }

    #[test]
    fn the_hash_covers_text_and_reply() {
        assert_eq!(body_hash("a", None), body_hash("a", None));
        assert_ne!(body_hash("a", None), body_hash("b", None));
        assert_ne!(body_hash("a", None), body_hash("a", Some(1)));
    }

    proptest! {
        /// Any course of sends and retries, each naming the one before it: seqs and vers are dense,
        /// each id is stored once, and each sender's messages stand in the order sent.
        #[test]
        fn whatever_arrives_the_log_is_dense_unique_and_in_each_senders_order(
            arrivals in proptest::collection::vec((0_u8..3, 0_u8..12, 0_u8..2), 1..200),
        ) {
            let mut head = Head { seq: 0, ver: 1, activity_ms: 0 };
            let mut stored: HashMap<(u8, u8), First> = HashMap::new();
            let mut log: Vec<(u8, u8)> = Vec::new();
            for (now, (sender, id, body)) in arrivals.into_iter().enumerate() {
                let predecessor = match id.checked_sub(1) {
                    None => Predecessor::None,
                    Some(before) if stored.contains_key(&(sender, before)) => Predecessor::Stored,
                    Some(_) => Predecessor::Missing,
                };
                let asked = Asked {
                    head,
                    hash: [body; 16],
                    first: stored.get(&(sender, id)).copied(),
                    predecessor,
                    now_ms: i64::try_from(now).expect("short"),
                    ..asked()
                };
                match decide(&asked) {
                    Verdict::Store(first) => {
                        prop_assert_eq!((first.seq, first.ver), (head.seq + 1, head.ver + 1));
                        prop_assert!(stored.insert((sender, id), first).is_none());
                        log.push((sender, id));
                        head = Head { seq: first.seq, ver: first.ver, activity_ms: first.sent_at_ms };
                    }
                    Verdict::Repeat(first) => prop_assert_eq!(stored[&(sender, id)], first),
                    Verdict::Refuse(SendRefused::OtherBody) => {
                        prop_assert_ne!(stored[&(sender, id)].hash, [body; 16]);
                    }
                    Verdict::Later => prop_assert_eq!(predecessor, Predecessor::Missing),
                    other => prop_assert!(false, "unexpected {:?}", other),
                }
            }
            prop_assert_eq!(log.len() as u64, head.seq);
            for sender in 0..3 {
                let ids: Vec<u8> =
                    log.iter().filter(|(by, _)| *by == sender).map(|(_, id)| *id).collect();
                prop_assert!(ids.iter().enumerate().all(|(n, id)| n == usize::from(*id)));
            }
        }
    }
}
