//! Every planted bug is looked for, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CODE: [&str; 5] = ["router", "shard-node", "conn-node", "embedded", "lib"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands in quotes behind this, in any source, and how often.
fn named(before: &str) -> Vec<String> {
    let mut files = Vec::new();
    CODE.iter().for_each(|folder| sources(&root().join(folder), &mut files));
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let calls = text.split(before).skip(1);
        let name = |rest: &str| {
            rest.trim_start().strip_prefix('"')?.split_once('"').map(|(name, _)| name.to_owned())
        };
        names.extend(calls.filter_map(name));
    }
    names
}

#[test]
fn every_planted_bug_is_looked_for() {
    let planted = named("is_planted(");
    let distinct: BTreeSet<&String> = planted.iter().collect();
    assert_eq!(distinct.len(), planted.len(), "one is planted in two places: {planted:?}");
    let looked_for = named("must_be_found(");
    let missing: Vec<_> = distinct.iter().filter(|bug| !looked_for.contains(**bug)).collect();
    assert!(missing.is_empty(), "no test looks for {missing:?}");
    let gone: Vec<_> = looked_for.iter().filter(|bug| !planted.contains(bug)).collect();
    assert!(gone.is_empty(), "not planted: {gone:?}");
    assert!(!planted.is_empty());
}
