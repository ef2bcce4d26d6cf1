//! The schema's history: numbered steps, one statement each, safe to run twice. They run on an empty
//! database by themselves, else when told to (`apply` of each kind of store); a service runs on the
//! schema it was built with and on the next one, so that an upgrade needs no stop.

use crate::store::StoreError;

/// One step, as it stands in migrations/shard/KIND/NNNN-NAME/up.sql.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    pub number: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! migrations {
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

pub const MYSQL: &[Migration] = migrations!("mysql":
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
);

pub const SQLITE: &[Migration] = migrations!("sqlite":
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
);

/// The schema that this program was built with.
pub fn own_version(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |last| last.number)
}

/// What a database holds, as far as opening it is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The highest step that was applied; 0 if none.
    pub version: u32,
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

/// May a service with schema `own` open what was found?
pub fn opening(found: Found, own: u32) -> Opening {
    if own <= found.version && found.version <= own + 1 {
        Opening::Run
    } else if found.version < own && !found.used {
        Opening::ApplyFirst
    } else {
        Opening::Refuse
    }
}

pub(super) fn refusal(found: Found, own: u32) -> StoreError {
    let Found { version, .. } = found;
    StoreError::Corrupt(format!(
        "its schema is {version}, this program needs {own} or {}; see shardctl migrate",
        own + 1
    ))
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
    fn a_service_runs_on_its_own_schema_and_the_next_and_makes_an_unused_one() {
        let found = |version, used| Found { version, used };
        for used in [true, false] {
            assert_eq!(opening(found(7, used), 7), Opening::Run);
            assert_eq!(opening(found(8, used), 7), Opening::Run);
            assert_eq!(opening(found(9, used), 7), Opening::Refuse);
        }
        assert_eq!(opening(found(6, true), 7), Opening::Refuse);
        assert_eq!(opening(found(0, true), 7), Opening::Refuse);
        assert_eq!(opening(found(0, false), 7), Opening::ApplyFirst);
        assert_eq!(opening(found(3, false), 7), Opening::ApplyFirst);
    }
}
