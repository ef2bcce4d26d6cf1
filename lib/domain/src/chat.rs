//! Kinds of chat, roles in it, and who may do what. The chat's shard alone asks these.

use crate::error::Code;
use std::fmt;
use thiserror::Error;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Two people, for ever: nobody joins, leaves or is removed.
    Direct,
    Group,
    /// Only owner, admins and moderators write.
    Channel,
}

/// From the most to the least trusted; `Owner` is exactly one member of a group or channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    Owner,
    Admin,
    Moderator,
    Member,
    /// Reads, but does not write.
    Muted,
}

/// What a new member sees of what was written before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum History {
    All,
    /// Only messages accepted after joining.
    Joined,
}

macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name),*
                }
            }

            pub fn from_name(name: &str) -> Option<$type> {
                match name {
                    $($name => Some($type::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named!(Kind { Direct = "direct", Group = "group", Channel = "channel" });
named!(Role {
    Owner = "owner",
    Admin = "admin",
    Moderator = "moderator",
    Member = "member",
    Muted = "muted",
});
named!(History { All = "all", Joined = "joined" });

/// Why somebody may not do something in a chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Denied {
    #[error("there is no such chat")]
    NoChat,
    #[error("not a member of this chat")]
    NotMember,
    #[error("muted in this chat")]
    Muted,
    #[error("{0}")]
    Forbidden(&'static str),
}

impl Denied {
    pub fn code(self) -> Code {
        match self {
            Denied::NoChat => Code::NotFound,
            Denied::NotMember => Code::NotMember,
            Denied::Muted => Code::Muted,
            Denied::Forbidden(_) => Code::Forbidden,
        }
    }
}

/// What leaving does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    Leaves,
    /// The last one turns off the light.
    EndsTheChat,
}

pub fn may_send(kind: Kind, role: Role) -> Result<(), Denied> {
    match (kind, role) {
        (_, Role::Muted) => Err(Denied::Muted),
        (Kind::Channel, Role::Member) => {
            Err(Denied::Forbidden("in a channel only owner, admins and moderators write"))
        }
        _ => Ok(()),
    }
}

/// Only one's own messages, and only while one may write.
pub fn may_edit(role: Role, own: bool) -> Result<(), Denied> {
    if !own {
        return Err(Denied::Forbidden("only the sender edits a message"));
    }
    if role == Role::Muted { Err(Denied::Muted) } else { Ok(()) }
}

/// One's own messages; in groups and channels, anyone's for owner, admins and moderators.
pub fn may_delete(kind: Kind, role: Role, own: bool) -> Result<(), Denied> {
    let moderates = kind != Kind::Direct && role <= Role::Moderator;
    if own || moderates {
        Ok(())
    } else {
        Err(Denied::Forbidden("only the sender, or who moderates, deletes a message"))
    }
}

/// Title and settings: owner and admins.
pub fn may_change_settings(kind: Kind, role: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if role <= Role::Admin {
        Ok(())
    } else {
        Err(Denied::Forbidden("only owner and admins change a chat's settings"))
    }
}

pub fn may_end(kind: Kind, role: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if role == Role::Owner { Ok(()) } else { Err(Denied::Forbidden("only the owner ends a chat")) }
}

/// Owner and admins add, at a role below their own; nobody is added as owner.
pub fn may_add(kind: Kind, actor: Role, given: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if Role::Admin < actor {
        return Err(Denied::Forbidden("only owner and admins add members"));
    }
    below(actor, given)
}

/// The owner sets any role but owner, of anyone but the owner; admins do so below admin.
pub fn may_set_role(kind: Kind, actor: Role, now: Role, then: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if Role::Admin < actor {
        return Err(Denied::Forbidden("only owner and admins set roles"));
    }
    below(actor, now)?;
    below(actor, then)
}

/// Only the owner gives a chat away, to any other member, and is an admin from then on.
pub fn may_hand_over(kind: Kind, actor: Role, now: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if actor != Role::Owner {
        return Err(Denied::Forbidden("only the owner hands a chat over"));
    }
    below(actor, now)
}

/// Owner and admins remove whoever is below them.
pub fn may_remove(kind: Kind, actor: Role, target: Role) -> Result<(), Denied> {
    not_direct(kind)?;
    if Role::Admin < actor {
        return Err(Denied::Forbidden("only owner and admins remove members"));
    }
    below(actor, target)
}

/// Anyone but the owner leaves; the owner only as the last member, which ends the chat. A chat is
/// never without its owner, so with others present the owner ends it instead.
pub fn may_leave(kind: Kind, role: Role, members: usize) -> Result<Leaving, Denied> {
    not_direct(kind)?;
    match (role, members) {
        (Role::Owner, 0..=1) => Ok(Leaving::EndsTheChat),
        (Role::Owner, _) => {
            Err(Denied::Forbidden("the owner does not leave a chat with others in it, but ends it"))
        }
        _ => Ok(Leaving::Leaves),
    }
}

/// The seq at and below which this member reads nothing.
pub fn history_floor(history: History, joined_seq: u64, trimmed_seq: u64) -> u64 {
    match history {
        History::All => trimmed_seq,
        History::Joined => trimmed_seq.max(joined_seq),
    }
}

fn not_direct(kind: Kind) -> Result<(), Denied> {
    if kind == Kind::Direct {
        Err(Denied::Forbidden("a direct chat has its two members and no settings, for ever"))
    } else {
        Ok(())
    }
}

fn below(actor: Role, other: Role) -> Result<(), Denied> {
    if actor < other {
        Ok(())
    } else {
        Err(Denied::Forbidden("this needs a role above the other's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Admin, Member, Moderator, Muted, Owner};

    #[test]
    fn every_name_is_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(*role));
        }
        for history in History::ALL {
            assert_eq!(History::from_name(history.name()), Some(*history));
        }
        assert_eq!(Role::from_name("Owner"), None);
    }

    #[test]
    fn in_a_channel_only_those_who_run_it_write() {
        let writes = |kind| {
            Role::ALL
                .iter()
                .copied()
                .filter(|role| may_send(kind, *role).is_ok())
                .collect::<Vec<_>>()
        };
        assert_eq!(writes(Kind::Channel), [Owner, Admin, Moderator]);
        assert_eq!(writes(Kind::Group), [Owner, Admin, Moderator, Member]);
        assert_eq!(may_send(Kind::Group, Muted), Err(Denied::Muted));
        assert_eq!(may_send(Kind::Channel, Muted), Err(Denied::Muted));
    }

    #[test]
    fn nobody_acts_on_an_equal_or_higher_role() {
        for actor in Role::ALL {
            for target in Role::ALL {
                let allowed = *actor <= Admin && actor < target;
                assert_eq!(may_remove(Kind::Group, *actor, *target).is_ok(), allowed);
                assert_eq!(may_add(Kind::Group, *actor, *target).is_ok(), allowed);
                for then in Role::ALL {
                    let allowed = allowed && actor < then;
                    assert_eq!(may_set_role(Kind::Group, *actor, *target, *then).is_ok(), allowed);
                }
            }
        }
    }

    #[test]
    fn a_direct_chat_never_changes_its_members_or_settings() {
        for role in Role::ALL.iter().copied() {
            assert!(may_leave(Kind::Direct, role, 2).is_err());
            assert!(may_add(Kind::Direct, role, Member).is_err());
            assert!(may_remove(Kind::Direct, role, Member).is_err());
            assert!(may_set_role(Kind::Direct, role, Member, Muted).is_err());
            assert!(may_change_settings(Kind::Direct, role).is_err());
            assert!(may_hand_over(Kind::Direct, role, Member).is_err());
            assert!(may_end(Kind::Direct, role).is_err());
        }
    }

    #[test]
    fn a_chat_is_never_without_its_owner() {
        assert!(may_leave(Kind::Group, Owner, 2).is_err());
        assert_eq!(may_leave(Kind::Group, Owner, 1), Ok(Leaving::EndsTheChat));
        assert_eq!(may_leave(Kind::Group, Muted, 2), Ok(Leaving::Leaves));
        assert!(may_add(Kind::Group, Owner, Owner).is_err());
        assert!(may_set_role(Kind::Group, Owner, Admin, Owner).is_err());
    }

    #[test]
    fn only_the_owner_hands_a_chat_over_to_anybody_else_in_it() {
        for actor in Role::ALL {
            for target in Role::ALL {
                let allowed = *actor == Owner && *target != Owner;
                assert_eq!(may_hand_over(Kind::Group, *actor, *target).is_ok(), allowed);
                assert_eq!(may_hand_over(Kind::Channel, *actor, *target).is_ok(), allowed);
            }
        }
    }

    #[test]
    fn others_messages_are_deleted_by_moderators_but_never_in_a_direct_chat() {
        assert!(may_delete(Kind::Group, Moderator, false).is_ok());
        assert!(may_delete(Kind::Group, Member, false).is_err());
        assert!(may_delete(Kind::Direct, Owner, false).is_err());
        assert!(may_delete(Kind::Direct, Member, true).is_ok());
        assert!(may_edit(Owner, false).is_err());
        assert_eq!(may_edit(Muted, true), Err(Denied::Muted));
    }

    #[test]
    fn who_joined_later_reads_from_there_only_if_the_chat_says_so() {
        assert_eq!(history_floor(History::All, 10, 3), 3);
        assert_eq!(history_floor(History::Joined, 10, 3), 10);
        assert_eq!(history_floor(History::Joined, 2, 3), 3);
    }
}
