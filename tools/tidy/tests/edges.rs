//! Who may depend on whom: docs/decisions/0007. An edge that is not listed is an error.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

/// Crate, ours it may use, and outside crates it must not use directly.
const EDGES: &[(&str, &[&str], &[&str])] = &[
    ("shardline-domain", &[], &["tokio", "serde", "tracing", "tonic", "prost"]),
    (
        "shardline-wire",
        &["shardline-domain"],
        &["mysql_async", "rusqlite", "rdkafka", "deadpool-redis", "axum"],
    ),
    (
        "shardline-backends",
        &["shardline-domain", "shardline-wire"],
        &["tonic", "mysql_async", "rusqlite", "axum"],
    ),
    ("shardline-daemon", &[], &["tonic", "mysql_async", "rusqlite", "rdkafka"]),
    (
        "shardline-shard-node",
        &["shardline-domain", "shardline-wire", "shardline-backends", "shardline-daemon"],
        &["deadpool-redis", "axum"],
    ),
    (
        "shardline-router",
        &["shardline-domain", "shardline-wire", "shardline-backends", "shardline-daemon"],
        &["axum", "rdkafka", "deadpool-redis"],
    ),
    (
        "shardline-conn-node",
        &["shardline-domain", "shardline-wire", "shardline-backends", "shardline-daemon"],
        &["mysql_async", "rusqlite", "rdkafka", "deadpool-redis", "tonic"],
    ),
    (
        "shardline-embedded",
        &[
            "shardline-domain",
            "shardline-wire",
            "shardline-backends",
            "shardline-daemon",
            "shardline-shard-node",
            "shardline-router",
            "shardline-conn-node",
        ],
        &["mysql_async", "rdkafka", "deadpool-redis", "tonic"],
    ),
    ("shardctl", &["shardline-domain", "shardline-wire"], &["mysql_async", "rusqlite"]),
    ("shardline-client", &["shardline-domain", "shardline-wire"], &["mysql_async", "tonic"]),
    (
        "shardline-talk",
        &["shardline-client", "shardline-domain", "shardline-wire"],
        &["mysql_async", "tonic"],
    ),
    // It measures the database's raw limit, so it has the driver.
    (
        "shardline-load",
        &["shardline-client", "shardline-domain", "shardline-wire", "shardline-history"],
        &["tonic"],
    ),
    // It looks at the catalog's rows from outside, so it has the driver.
    (
        "shardline-faults",
        &[
            "shardline-client",
            "shardline-domain",
            "shardline-history",
            "shardline-load",
            "shardline-wire",
        ],
        &["rusqlite"],
    ),
    // It is loaded into other programs: nothing but the C library.
    ("shardline-interpose", &[], &["tokio"]),
    // It is the whole cluster, and its people are those of the faults.
    (
        "shardline-sim",
        &[
            "shardline-backends",
            "shardline-client",
            "shardline-conn-node",
            "shardline-daemon",
            "shardline-domain",
            "shardline-faults",
            "shardline-router",
            "shardline-shard-node",
            "shardline-wire",
        ],
        &["mysql_async", "rdkafka", "deadpool-redis"],
    ),
    ("shardline-history", &[], &["tokio"]),
    ("shardline-tidy", &[], &[]),
];

/// Tests may start whole systems, so only these crates' dev-dependencies on our crates are free.
const TESTS_ACROSS: &[&str] = &["shardline-embedded"];

fn workspace() -> BTreeMap<String, Package> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata works here");
    metadata.packages.into_iter().map(|package| (package.name.to_string(), package)).collect()
}

#[test]
fn crates_depend_only_on_what_their_place_allows() {
    let packages = workspace();
    let listed: BTreeSet<&str> = EDGES.iter().map(|(name, ..)| *name).collect();
    let present: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(listed, present, "every crate of the workspace is listed here");

    let mut wrong = Vec::new();
    for (name, ours, never) in EDGES {
        for dependency in &packages[*name].dependencies {
            let other = dependency.name.as_str();
            let of_tests = dependency.kind == DependencyKind::Development;
            if of_tests && TESTS_ACROSS.contains(name) {
                continue;
            }
            if present.contains(other) && !ours.contains(&other) {
                wrong.push(format!("{name} -> {other}"));
            }
            if !of_tests && never.contains(&other) {
                wrong.push(format!("{name} -> {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that are not allowed: {wrong:#?}");
}

#[test]
fn versions_are_chosen_once() {
    let manifest = include_str!("../../../Cargo.toml");
    for (name, package) in workspace() {
        for dependency in &package.dependencies {
            let key = format!("{} = ", dependency.name);
            let chosen = manifest.lines().any(|line| line.starts_with(&key));
            assert!(chosen, "{name} uses {}, which the workspace does not name", dependency.name);
        }
    }
}
