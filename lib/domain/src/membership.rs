//! Which chat is meant by a request to create one, and whom an addition really adds.

use crate::chat::Kind;
use crate::id::{ChatId, PROBES, UserId};
use crate::limits::{MEMBERS_ADDED_MAX, MEMBERS_MAX};
use std::collections::HashSet;
use thiserror::Error;

/// What makes a chat the one that was asked for: creating it again finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The two, the lower id first.
    Direct(UserId, UserId),
    Group {
        creator: UserId,
        client_chat_id: [u8; 16],
    },
}

impl Identity {
    pub fn direct(one: UserId, other: UserId) -> Identity {
        if one < other { Identity::Direct(one, other) } else { Identity::Direct(other, one) }
    }

    /// Whether this id is one of those the identity may take.
    pub fn may_have(self, id: ChatId) -> bool {
        (0..PROBES).any(|probe| {
            id == match self {
                Identity::Direct(one, other) => ChatId::of_direct(one, other, probe),
                Identity::Group { creator, client_chat_id } => {
                    ChatId::of_group(creator, &client_chat_id, probe)
                }
            }
        })
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MembersError {
    #[error("a direct chat is between two different users")]
    NotTwo,
    #[error("{asked} users were given, {MEMBERS_ADDED_MAX} at a time are allowed")]
    TooManyAtOnce { asked: usize },
    #[error("the chat would have {members} members, {MEMBERS_MAX} are allowed")]
    TooManyMembers { members: usize },
}

/// Those of `asked` who are not members yet, each once, in the order asked.
pub fn additions(
    asked: &[UserId],
    members: usize,
    is_member: impl Fn(UserId) -> bool,
) -> Result<Vec<UserId>, MembersError> {
    if MEMBERS_ADDED_MAX < asked.len() {
        return Err(MembersError::TooManyAtOnce { asked: asked.len() });
    }
    let mut seen = HashSet::with_capacity(asked.len());
    let new: Vec<UserId> =
        asked.iter().copied().filter(|user| !is_member(*user) && seen.insert(*user)).collect();
    let members = members + new.len();
    if MEMBERS_MAX < members { Err(MembersError::TooManyMembers { members }) } else { Ok(new) }
}

/// The first members of a new chat, its creator first.
pub fn founders(
    kind: Kind,
    creator: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, MembersError> {
    let mut founders = vec![creator];
    founders.extend(additions(others, 1, |user| user == creator)?);
    if kind == Kind::Direct && founders.len() != 2 {
        return Err(MembersError::NotTwo);
    }
    Ok(founders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).expect("in range")
    }

    #[test]
    fn who_is_a_member_or_named_twice_is_added_once() {
        let asked = [user(5), user(3), user(5), user(1)];
        let added = additions(&asked, 1, |one| one == user(1));
        assert_eq!(added, Ok(vec![user(5), user(3)]));
    }

    #[test]
    fn a_chat_stops_growing_at_its_limit() {
        let asked = [user(1), user(2)];
        assert!(additions(&asked, MEMBERS_MAX - 2, |_| false).is_ok());
        let members = MEMBERS_MAX + 1;
        let error = MembersError::TooManyMembers { members };
        assert_eq!(additions(&asked, MEMBERS_MAX - 1, |_| false), Err(error));
    }

    #[test]
    fn an_addition_is_bounded() {
        let asked: Vec<UserId> = (1..=201).map(user).collect();
        let error = MembersError::TooManyAtOnce { asked: 201 };
        assert_eq!(additions(&asked, 1, |_| false), Err(error));
        assert!(additions(&asked[..200], 1, |_| false).is_ok());
    }

    #[test]
    fn a_direct_chat_has_two_different_people() {
        let founded = |others: &[UserId]| founders(Kind::Direct, user(1), others);
        assert_eq!(founded(&[user(2)]), Ok(vec![user(1), user(2)]));
        assert_eq!(founded(&[]), Err(MembersError::NotTwo));
        assert_eq!(founded(&[user(1)]), Err(MembersError::NotTwo));
        assert_eq!(founded(&[user(2), user(3)]), Err(MembersError::NotTwo));
        assert_eq!(founders(Kind::Group, user(1), &[]), Ok(vec![user(1)]));
    }

    #[test]
    fn an_identity_has_its_probes_and_no_other_id() {
        let identity = Identity::direct(user(9), user(2));
        assert_eq!(identity, Identity::direct(user(2), user(9)));
        assert!(identity.may_have(ChatId::of_direct(user(9), user(2), 0)));
        assert!(identity.may_have(ChatId::of_direct(user(9), user(2), PROBES - 1)));
        assert!(!identity.may_have(ChatId::of_direct(user(9), user(2), PROBES)));
        let group = Identity::Group { creator: user(9), client_chat_id: [7; 16] };
        assert!(group.may_have(ChatId::of_group(user(9), &[7; 16], 1)));
        assert!(!group.may_have(ChatId::of_direct(user(9), user(2), 0)));
    }
}
