//! The schema's history: numbered steps, one statement each, safe to run twice. They run on an empty
//! database by themselves, else when told to (`apply` of each kind of store); a service runs on the
//! schema of its release and on the next one's, so that an upgrade needs no stop. The database says
//! which release brought its newest steps: a program cannot know of steps that came after it.

use crate::store::StoreError;
use shardline_domain::release::{Fit, RELEASE, Schema, fit};

/// One step, as it stands in migrations/shard/KIND/NNNN-NAME/up.sql.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

/// Every kind of database has the same steps, in its own words.
macro_rules! migrations {
    ($kind:literal) => {
        migrations!($kind:
            1 "0001-lanes",
            2 "0002-positions",
            3 "0003-slots",
            4 "0004-heads",
            5 "0005-messages",
            6 "0006-chats",
            7 "0007-members",
            8 "0008-changes",
            9 "0009-users",
            10 "0010-sessions",
            11 "0011-lists",
            12 "0012-names",
            13 "0013-journal",
            14 "0014-outbox",
            15 "0015-slots-move",
            16 "0016-slots-attempt",
            17 "0017-slots-leader-term",
            18 "0018-imports",
            19 "0019-tallies",
            20 "0020-origin",
        )
    };
    ($kind:literal: $($number:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            number: $number,
            name: $name,
            sql: include_str!(
                concat!("../../../migrations/shard/", $kind, "/", $name, "/up.sql")
            ),
        }),*]
    };
}

pub const MYSQL: &[Migration] = migrations!("mysql");
pub const SQLITE: &[Migration] = migrations!("sqlite");

/// The schema that this program was built with.
pub fn own_version(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |last| last.number)
}

/// What a database holds, as far as opening it is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The highest step that was applied; 0 if none.
    pub version: u32,
    /// Whose steps it has; 1 where that is not noted.
    pub release: u32,
    /// A writer took it over at least once, or it holds tables that are not ours.
    pub used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// Nobody has used it yet, so nobody minds.
    ApplyFirst,
    Run,
    Refuse,
}

/// May this program open what was found? `own`: what it was built with.
pub fn opening(found: Found, own: Schema) -> Opening {
    match fit(Schema { release: found.release, step: found.version }, own) {
        Fit::Runs => Opening::Run,
        Fit::TooOld if !found.used => Opening::ApplyFirst,
        Fit::TooOld | Fit::TooNew => Opening::Refuse,
    }
}

/// What this program was built with.
pub(super) fn own_schema(migrations: &[Migration]) -> Schema {
    Schema { release: RELEASE, step: own_version(migrations) }
}

pub(super) fn refusal(found: Found, own: Schema) -> StoreError {
    let Found { version, release, .. } = found;
    StoreError::Corrupt(match fit(Schema { release, step: version }, own) {
        Fit::TooNew => format!(
            "its schema is release {release}'s, and this program is of release {}, which runs on its \
             own and on the next one's: start a program of release {} or later",
            own.release,
            release - 1
        ),
        _ => format!(
            "its schema has step {version}, this program needs step {}: start one shard-node of this \
             release with --migrate true, which older ones of release {} run beside",
            own.step,
            own.release - 1
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_one_without_a_gap_and_named_by_their_number() {
        for migrations in [MYSQL, SQLITE] {
            for (index, migration) in migrations.iter().enumerate() {
                assert_eq!(usize::try_from(migration.number), Ok(index + 1));
                assert!(migration.name.starts_with(&format!("{:04}-", migration.number)));
                assert!(!migration.sql.trim_end().trim_end_matches(';').contains(";\n"));
            }
        }
    }

    #[test]
    fn both_kinds_have_the_same_steps() {
        let names = |list: &[Migration]| list.iter().map(|m| m.name).collect::<Vec<_>>();
        assert_eq!(names(MYSQL), names(SQLITE));
    }

    #[test]
    fn a_service_runs_on_its_release_and_the_next_and_makes_an_unused_one() {
        let found = |release, version, used| Found { version, release, used };
        let own = Schema { release: 3, step: 7 };
        let check = |found, expected| assert_eq!(opening(found, own), expected, "{found:?}");
        for used in [true, false] {
            check(found(3, 7, used), Opening::Run);
            check(found(4, 20, used), Opening::Run);
            check(found(5, 21, used), Opening::Refuse);
        }
        check(found(2, 6, true), Opening::Refuse);
        check(found(1, 0, true), Opening::Refuse);
        check(found(1, 0, false), Opening::ApplyFirst);
        check(found(2, 3, false), Opening::ApplyFirst);
    }

    #[test]
    fn a_refusal_says_what_to_start() {
        let own = Schema { release: 3, step: 7 };
        let said =
            |release, version| refusal(Found { version, release, used: true }, own).to_string();
        assert!(said(5, 21).contains("start a program of release 4 or later"), "{}", said(5, 21));
        assert!(said(2, 6).contains("--migrate true"), "{}", said(2, 6));
    }
}
