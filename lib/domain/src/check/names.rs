//! Users against the names that lead to them. Registration writes the user first; claiming the name is
//! what makes the account. A user without a name is nobody, once nobody can be about to claim it.

use crate::limits::NAMELESS_TIME_MAX;
use std::time::Duration;

/// What stands at one of the ids that a user's name may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Nothing: the name would have been claimed here at the latest.
    Free,
    /// This name, and whose it is.
    Taken { user: u64 },
    /// Something else has the id: the next one is tried.
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    Yes,
    No,
    /// The next id says more.
    Next,
}

pub fn named(user: u64, probe: Probe) -> Named {
    match probe {
        Probe::Taken { user: owner } if owner == user => Named::Yes,
        Probe::Taken { .. } | Probe::Free => Named::No,
        Probe::Other => Named::Next,
    }
}

/// Whether a user of this age who has no name is a leftover.
pub fn is_leftover(age: Duration) -> bool {
    NAMELESS_TIME_MAX <= age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_one_user() {
        assert_eq!(named(7, Probe::Taken { user: 7 }), Named::Yes);
        assert_eq!(named(7, Probe::Taken { user: 8 }), Named::No);
        assert_eq!(named(7, Probe::Free), Named::No);
        assert_eq!(named(7, Probe::Other), Named::Next);
    }

    #[test]
    fn a_registration_has_an_hour() {
        assert!(!is_leftover(Duration::from_secs(3_599)));
        assert!(is_leftover(Duration::from_secs(3_600)));
    }
}
