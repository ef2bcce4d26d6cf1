//! Planted bugs, to show that the tests find them. A bug has a name; with the feature `sabotage`, which
//! only tests have, the setting SHARDLINE_SABOTAGE of the environment plants the one it names. Without
//! the feature nothing of this is in a program.

/// Whether this bug is planted here. `bug` is named in no second place.
#[inline]
pub fn is_planted(bug: &'static str) -> bool {
    #[cfg(feature = "sabotage")]
    return teeth::planted() == Some(bug);
    #[cfg(not(feature = "sabotage"))]
    {
        let _ = bug;
        false
    }
}

#[cfg(feature = "sabotage")]
pub use teeth::must_be_found;

#[cfg(feature = "sabotage")]
mod teeth {
    #![allow(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]

    use std::process::{Command, Stdio};
    use std::sync::OnceLock;

    const SETTING: &str = "SHARDLINE_SABOTAGE";

    pub(super) fn planted() -> Option<&'static str> {
        static PLANTED: OnceLock<Option<String>> = OnceLock::new();
        PLANTED.get_or_init(|| std::env::var(SETTING).ok()).as_deref()
    }

    /// A bug that takes two at the right moment is not found by every run.
    const TRIES: usize = 5;

    /// Runs one test of the calling test's own binary with the bug planted, until it fails.
    ///
    /// # Panics
    /// If the test does not fail, or there is no such test.
    pub fn must_be_found(bug: &str, test: &str) {
        let this = std::env::current_exe().expect("a test has a path");
        for _ in 0..TRIES {
            let output = Command::new(&this)
                .args(["--exact", test])
                .env(SETTING, bug)
                .stdin(Stdio::null())
                .output()
                .expect("the test can be run");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("\nrunning 1 test\n"), "there is no test {test}:\n{said}");
            if said.contains("0 passed; 1 failed") {
                return;
            }
        }
        panic!("{test} does not find {bug} in {TRIES} runs");
    }
}
