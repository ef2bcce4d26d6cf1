//! The catalog's schema, in numbered steps that may be run twice.
//!
//! An empty database is brought to the newest step by whoever opens it first; otherwise the operator
//! says when. A process runs on the schema of its own release and of the next one, however many steps
//! that is; the database says which release brought its newest.

use super::CatalogError;
use shardline_domain::release::{Fit, Schema, fit};

/// When to bring a database to the newest schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Migrate {
    /// Only if it has none of our steps; else an old schema is an error that says what to do.
    IfEmpty,
    Always,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// Both flavours have the same steps, in their own words.
macro_rules! steps {
    ($flavour:literal) => {
        steps!($flavour:
            1 "0001-leaders",
            2 "0002-counters",
            3 "0003-shards",
            4 "0004-slots",
            5 "0005-positions",
            6 "0006-routers",
            7 "0007-router-boots",
            8 "0008-moves",
            9 "0009-move-slots",
            10 "0010-holds",
            11 "0011-move-log",
            12 "0012-rebalances",
            13 "0013-changes",
            14 "0014-settings",
            15 "0015-marks",
        )
    };
    ($flavour:literal: $($number:literal $name:literal),+ $(,)?) => {
        &[$(Step {
            number: $number,
            name: $name,
            sql: include_str!(concat!("../../../migrations/catalog/", $flavour, "/", $name, "/up.sql")),
        }),+]
    };
}

/// Rows of `counters` that are there from the beginning.
pub(super) const COUNTERS: [&str; 5] = ["slots", "routers", "moves", "rebalances", "changes"];

#[cfg(feature = "mysql")]
pub(super) const MYSQL: &[Step] = steps!("mysql");
#[cfg(feature = "sqlite")]
pub(super) const SQLITE: &[Step] = steps!("sqlite");

/// The steps still to be run, in order, when `applied` have been, of programs up to `release` (None: it is
/// not noted). `own`: of this program.
pub(super) fn to_run(
    steps: &'static [Step],
    applied: &[u32],
    release: Option<u32>,
    own: u32,
    when: Migrate,
) -> Result<Vec<&'static Step>, CatalogError> {
    let newest = steps.last().map_or(0, |step| step.number);
    let found = Schema { release: release.unwrap_or(1), step: newest };
    if fit(found, Schema { release: own, step: newest }) == Fit::TooNew {
        return Err(CatalogError::Corrupt(format!(
            "its schema is release {}'s, and this router is of release {own}, which runs on its own and \
             on the next one's: start a router of release {} or later",
            found.release,
            found.release - 1
        )));
    }
    let missing: Vec<&Step> = steps.iter().filter(|step| !applied.contains(&step.number)).collect();
    let (Some(first), Migrate::IfEmpty, false) = (missing.first(), when, applied.is_empty()) else {
        return Ok(missing);
    };
    Err(CatalogError::Corrupt(format!(
        "its schema lacks step {} and later ones; start one router with --migrate true to apply them",
        first.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] =
        &[Step { number: 1, name: "0001-a", sql: "" }, Step { number: 2, name: "0002-b", sql: "" }];

    fn numbers(applied: &[u32], when: Migrate) -> Option<Vec<u32>> {
        let steps = to_run(STEPS, applied, None, 1, when).ok()?;
        Some(steps.iter().map(|step| step.number).collect())
    }

    #[test]
    fn an_empty_database_gets_everything() {
        assert_eq!(numbers(&[], Migrate::IfEmpty), Some(vec![1, 2]));
    }

    #[test]
    fn an_old_schema_is_changed_only_when_told_to() {
        assert_eq!(numbers(&[1], Migrate::IfEmpty), None);
        assert_eq!(numbers(&[1], Migrate::Always), Some(vec![2]));
    }

    #[test]
    fn a_router_runs_on_its_release_and_the_next_however_many_steps_that_is() {
        assert_eq!(numbers(&[1, 2], Migrate::IfEmpty), Some(vec![]));
        let applied = [1, 2, 3, 4, 5];
        let of = |release, when| to_run(STEPS, &applied, Some(release), 3, when);
        for when in [Migrate::IfEmpty, Migrate::Always] {
            assert_eq!(of(3, when).map(|steps| steps.len()).ok(), Some(0));
            assert_eq!(of(4, when).map(|steps| steps.len()).ok(), Some(0));
            let refused = of(5, when).expect_err("two releases later").to_string();
            assert!(refused.contains("start a router of release 4 or later"), "{refused}");
        }
    }
}
