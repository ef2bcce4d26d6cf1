//! A chat's members against the lists of their users. What both sides keep is a fact: joined or left,
//! as of a ver of the chat. The chat decides; a list follows, a little later.

use crate::limits::FACT_TIME_MAX;
use std::time::Duration;

/// Joined or left, as of a ver of the chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fact {
    pub ver: u64,
    pub joined: bool,
}

/// The latest fact of a member's row. `ended`: the ver at which the chat was ended for all, if it was.
pub fn of_member(joined_ver: u64, left_ver: Option<u64>, ended: Option<u64>) -> Fact {
    match (left_ver, ended) {
        (Some(ver), _) => Fact { ver, joined: false },
        (None, Some(ver)) => Fact { ver, joined: false },
        (None, None) => Fact { ver: joined_ver, joined: true },
    }
}

/// How a list differs from what the chat says of its user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Disagreement {
    /// The list does not know the chat.
    Missing,
    /// The list knows an older fact than the chat's latest.
    Behind,
    /// The list says the opposite, as of no older ver.
    Contradicts,
    /// The list knows of a ver that the chat has not reached: the chat's later facts would be ignored.
    Ahead,
    /// The chat never had this user, or there is no such chat.
    Unknown,
}

impl Disagreement {
    pub fn name(self) -> &'static str {
        match self {
            Disagreement::Missing => "list_missing",
            Disagreement::Behind => "list_behind",
            Disagreement::Contradicts => "list_contradicts",
            Disagreement::Ahead => "list_ahead",
            Disagreement::Unknown => "list_unknown",
        }
    }

    /// Whether a walk over chats finds it; the others are found by a walk over users.
    pub fn is_chats(self) -> bool {
        matches!(self, Disagreement::Missing | Disagreement::Behind | Disagreement::Contradicts)
    }
}

/// `member`: what the chat says, None if it never had the user. `head_ver`: the chat's, 0 if there is no
/// such chat. `listed`: what the user's list says, None if the chat is not on it.
pub fn compare(member: Option<Fact>, head_ver: u64, listed: Option<Fact>) -> Option<Disagreement> {
    match (member, listed) {
        (None, None) => None,
        (Some(_), None) => Some(Disagreement::Missing),
        (None, Some(listed)) => listed.joined.then_some(Disagreement::Unknown),
        (Some(member), Some(listed)) if listed.ver < member.ver => Some(Disagreement::Behind),
        (Some(member), Some(listed)) if listed.joined != member.joined => {
            Some(Disagreement::Contradicts)
        }
        (Some(_), Some(listed)) => (head_ver < listed.ver).then_some(Disagreement::Ahead),
    }
}

/// A chat's side of one membership, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChatSide {
    pub member: Option<Fact>,
    /// 0: there is no such chat.
    pub head_ver: u64,
    /// A fact about this user is still to be delivered.
    pub on_its_way: bool,
    /// Since the latest fact; None if that is no longer known, so it is old.
    pub age: Option<Duration>,
}

/// The verdict of a second look: `before` and `after` are the chat's side, read before and after the
/// list was read. A fact that came, or was on its way, or is young explains any difference.
pub fn confirmed(
    before: &ChatSide,
    listed: Option<Fact>,
    after: &ChatSide,
) -> Option<Disagreement> {
    let is_still = before.member == after.member;
    let is_quiet = !before.on_its_way && !after.on_its_way;
    let is_old = before.age.is_none_or(|age| FACT_TIME_MAX <= age);
    if !(is_still && is_quiet && is_old) {
        return None;
    }
    compare(after.member, after.head_ver, listed)
}

/// Whether telling the user's list again, as of the chat's head, can help: a list takes only what is
/// newer than what it knows.
pub fn can_be_told(head_ver: u64, listed: Option<Fact>) -> bool {
    listed.map_or(0, |listed| listed.ver) < head_ver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ver: u64) -> Option<Fact> {
        Some(Fact { ver, joined: true })
    }

    fn left(ver: u64) -> Option<Fact> {
        Some(Fact { ver, joined: false })
    }

    fn check(member: Option<Fact>, listed: Option<Fact>, expected: Option<Disagreement>) {
        assert_eq!(compare(member, 9, listed), expected, "{member:?} {listed:?}");
    }

    #[test]
    fn vers_are_compared_not_mere_presence() {
        check(None, None, None);
        check(joined(5), joined(5), None);
        check(left(5), left(5), None);
        // Told again, as of a later ver.
        check(joined(5), joined(9), None);
        check(left(5), left(9), None);
        check(None, left(4), None);
        check(joined(5), None, Some(Disagreement::Missing));
        check(left(5), None, Some(Disagreement::Missing));
        check(joined(5), joined(4), Some(Disagreement::Behind));
        check(left(5), joined(4), Some(Disagreement::Behind));
        check(left(5), joined(5), Some(Disagreement::Contradicts));
        check(joined(5), left(7), Some(Disagreement::Contradicts));
        check(joined(5), joined(10), Some(Disagreement::Ahead));
        check(None, joined(4), Some(Disagreement::Unknown));
    }

    #[test]
    fn a_members_row_says_the_latest_fact() {
        assert_eq!(Some(of_member(3, None, None)), joined(3));
        assert_eq!(Some(of_member(3, Some(7), None)), left(7));
        assert_eq!(Some(of_member(3, None, Some(8))), left(8));
        assert_eq!(Some(of_member(3, Some(7), Some(8))), left(7));
    }

    #[test]
    fn what_moves_or_is_young_is_no_finding() {
        let still = ChatSide { member: joined(5), head_ver: 9, on_its_way: false, age: None };
        let found = Some(Disagreement::Missing);
        assert_eq!(confirmed(&still, None, &still), found);
        let aged = |seconds| ChatSide { age: Some(Duration::from_secs(seconds)), ..still };
        assert_eq!(confirmed(&aged(60), None, &still), found);
        assert_eq!(confirmed(&aged(59), None, &still), None);
        let on_its_way = ChatSide { on_its_way: true, ..still };
        assert_eq!(confirmed(&on_its_way, None, &still), None);
        assert_eq!(confirmed(&still, None, &on_its_way), None);
        let later = ChatSide { member: left(8), ..still };
        assert_eq!(confirmed(&still, None, &later), None);
        // Messages do not hinder.
        let talked = ChatSide { head_ver: 12, ..still };
        assert_eq!(confirmed(&still, None, &talked), found);
    }

    /// Whatever the two sides know, one word as of the chat's head makes them agree.
    #[test]
    fn telling_again_ends_every_disagreement_that_it_can() {
        let sides = || (1..=4).flat_map(|ver| [joined(ver), left(ver)]).chain([None]);
        for member in sides() {
            for listed in sides() {
                let head_ver = 4;
                if compare(member, head_ver, listed).is_none() || !can_be_told(head_ver, listed) {
                    continue;
                }
                let is_member = member.is_some_and(|fact| fact.joined);
                let told = Some(Fact { ver: head_ver, joined: is_member });
                assert_eq!(compare(member, head_ver, told), None, "{member:?} {listed:?}");
            }
        }
    }
}
