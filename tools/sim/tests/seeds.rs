//! Seeds, and that one of them is one run.

use std::process::Command;

/// In each run of the tests; `make sim` plays as many as one likes.
const SEEDS: u64 = 12;

fn sim(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output();
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
    let (is_fine, said) = sim(&["--seed", "1", "--runs", &SEEDS.to_string(), "--storm", "15"]);
    assert!(is_fine, "{said}");
}
