//! The catalog's schema, in numbered steps that may be run twice.
//!
//! An empty database is brought to the newest step by whoever opens it first; otherwise the operator
//! says when. A process runs on its own schema and on a newer one: steps only add.

use super::CatalogError;

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

macro_rules! steps {
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
pub(super) const MYSQL: &[Step] = steps!("mysql":
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
);

#[cfg(feature = "sqlite")]
pub(super) const SQLITE: &[Step] = steps!("sqlite":
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
);

/// The steps still to be run, in order, when `applied` have been.
pub(super) fn to_run(
    steps: &'static [Step],
    applied: &[u32],
    when: Migrate,
) -> Result<Vec<&'static Step>, CatalogError> {
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
        let steps = to_run(STEPS, applied, when).ok()?;
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
    fn the_current_and_the_next_schema_will_do() {
        assert_eq!(numbers(&[1, 2], Migrate::IfEmpty), Some(vec![]));
        assert_eq!(numbers(&[1, 2, 3], Migrate::IfEmpty), Some(vec![]));
    }
}
