//! The conformance suite on every form of the store: SQLite files, a real MySQL, a real MariaDB; and
//! the schemas of all of them against the golden ones.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests read where servers are, say what they skip, and play the network"
)]

#[cfg(feature = "mysql")]
#[path = "store/mysql.rs"]
mod mysql;
#[cfg(feature = "sqlite")]
#[path = "store/sqlite.rs"]
mod sqlite;
#[path = "store/teeth.rs"]
mod teeth;
#[cfg(feature = "mysql")]
#[path = "store/wire.rs"]
mod wire;

use shardline_shard_node::store::conformance;
use std::path::PathBuf;

fn golden_path(kind: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../migrations/shard").join(kind).join("golden.sql")
}

/// SHARDLINE_GOLDEN=write makes the golden schema what is found; review it as a change.
fn check_golden(kind: &str, found: &str) {
    let path = golden_path(kind);
    if std::env::var("SHARDLINE_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, found).expect("the golden schema is written");
    }
    let golden = std::fs::read_to_string(&path).expect("there is a golden schema");
    assert_eq!(found, golden, "the migrations make another schema than {}", path.display());
}

/// Every public case of the suite is in the list that the tests below are made from.
#[test]
fn no_case_is_left_out() {
    let sources = [
        include_str!("../src/store/conformance/checking.rs"),
        include_str!("../src/store/conformance/cleaning.rs"),
        include_str!("../src/store/conformance/copying.rs"),
        include_str!("../src/store/conformance/fencing.rs"),
        include_str!("../src/store/conformance/journal.rs"),
        include_str!("../src/store/conformance/reading.rs"),
        include_str!("../src/store/conformance/settling.rs"),
        include_str!("../src/store/conformance/slots.rs"),
        include_str!("../src/store/conformance/steps.rs"),
        include_str!("../src/store/conformance/writing.rs"),
    ];
    let list = include_str!("../src/store/conformance.rs");
    for source in sources {
        for case in source.split("pub async fn ").skip(1) {
            let name = case.split(['(', '<']).next().expect("a function has a name");
            assert!(list.contains(&format!("::{name},")), "{name} is not in the list");
        }
    }
}
