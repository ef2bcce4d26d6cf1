//! Seeds, and that one of them is one run.

use std::process::Command;

/// In each run of the tests; `make sim` plays as many as one likes.
const SEEDS: u64 = 24;

/// Seeds after which a planted bug must have been found.
const SEEDS_OF_A_BUG: std::ops::Range<u64> = 1..7;

fn sim(arguments: &[&str]) -> (bool, String) {
    sim_with("", arguments)
}

/// With a bug planted, or none.
fn sim_with(bug: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--folder", env!("CARGO_TARGET_TMPDIR")]);
    let output = command.args(arguments).env("SHARDLINE_SABOTAGE", bug).output();
    let output = output.expect("the simulation can be run");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

#[test]
fn the_same_seed_is_the_same_run() {
    let digest = |seed: &str| {
        let (is_fine, said) = sim(&["--seed", seed, "--storm", "8"]);
        assert!(is_fine, "{said}");
        let digest = said.lines().find(|line| line.starts_with("digest "));
        digest.map(str::to_owned).unwrap_or_else(|| panic!("no digest: {said}"))
    };
    let (once, again, other) = (digest("1000"), digest("1000"), digest("1001"));
    assert_eq!(once, again);
    assert_ne!(once, other);
}

#[test]
fn whatever_goes_wrong_nothing_is_lost() {
    let (is_fine, said) = sim(&["--seed", "1", "--runs", &SEEDS.to_string(), "--storm", "10"]);
    assert!(is_fine, "{said}");
}

/// They have tests of their own that find them; this is about the simulation, and the judge.
#[test]
fn a_planted_bug_is_found_by_some_seed() {
    for bug in ["acknowledges-before-the-commit", "acknowledges-an-unknown-commit"] {
        let is_found =
            |seed: u64| !sim_with(bug, &["--seed", &seed.to_string(), "--storm", "15"]).0;
        assert!(SEEDS_OF_A_BUG.into_iter().any(is_found), "no seed finds {bug}");
    }
}
