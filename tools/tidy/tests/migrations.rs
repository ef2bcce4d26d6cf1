//! Which release a schema's steps are of, and that steps only add.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The newest steps of a release.
struct Release {
    number: u32,
    shard: u32,
    catalog: u32,
}

fn releases() -> Vec<Release> {
    let text = read("migrations/releases");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("not like a release: {line}"))).collect()
}

fn parse(line: &str) -> Option<Release> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["release", number, "shard", shard, "catalog", catalog] = words.as_slice() else {
        return None;
    };
    Some(Release {
        number: number.parse().ok()?,
        shard: shard.parse().ok()?,
        catalog: catalog.parse().ok()?,
    })
}

/// Numbered folders of a schema, with what they do.
fn steps(schema: &str) -> Vec<(u32, String)> {
    let folder = root().join("migrations").join(schema);
    let mut steps = Vec::new();
    for entry in fs::read_dir(&folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            let number = name.split('-').next().and_then(|number| number.parse().ok());
            let number = number.unwrap_or_else(|| panic!("{schema}/{name} has no number"));
            steps.push((number, fs::read_to_string(path.join("up.sql")).expect("a step")));
        }
    }
    steps.sort_unstable();
    steps
}

#[test]
fn every_step_is_of_a_release_and_the_program_is_of_the_newest() {
    let releases = releases();
    for pair in releases.windows(2) {
        assert_eq!(pair[0].number + 1, pair[1].number, "releases have no gap");
        assert!(pair[0].shard <= pair[1].shard && pair[0].catalog <= pair[1].catalog);
    }
    let newest = releases.last().expect("there is one");
    let program = read("lib/domain/src/release.rs");
    let expected = format!("pub const RELEASE: u32 = {};", newest.number);
    assert!(program.contains(&expected), "lib/domain/src/release.rs is not: {expected}");
    for (schema, step) in [("shard", newest.shard), ("catalog", newest.catalog)] {
        for kind in ["mysql", "sqlite"] {
            let last = steps(&format!("{schema}/{kind}")).last().map(|(number, _)| *number);
            assert_eq!(last, Some(step), "migrations/releases and {schema}/{kind}");
        }
    }
}

/// What an older program reads or writes stays: a column that is new has a default or may be missing.
#[test]
fn steps_only_add() {
    let mut wrong = BTreeSet::new();
    for schema in ["shard/mysql", "shard/sqlite", "catalog/mysql", "catalog/sqlite"] {
        for (number, sql) in steps(schema) {
            let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
            let sql = lines.collect::<Vec<_>>().join(" ").to_uppercase();
            let adds_column = sql.starts_with("ALTER TABLE")
                && sql.contains(" ADD COLUMN ")
                && (sql.contains(" DEFAULT ") || !sql.contains(" NOT NULL"));
            let adds = sql.starts_with("CREATE TABLE IF NOT EXISTS")
                || sql.starts_with("CREATE INDEX")
                || adds_column;
            let takes = [" DROP ", " RENAME ", " MODIFY ", " CHANGE COLUMN "];
            if !adds || takes.iter().any(|word| sql.contains(word)) {
                wrong.insert(format!("{schema} {number}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
