//! Where the real servers are.

/// The server named by this variable; none if services are left out on purpose.
///
/// # Panics
/// If it is not given: a test that silently did nothing would look like one that passed.
#[expect(clippy::disallowed_methods, reason = "tests are told by their runner where servers are")]
#[expect(clippy::print_stderr, reason = "the runner shall see that something was left out")]
pub(crate) fn address(variable: &str) -> Option<String> {
    if let Ok(address) = std::env::var(variable) {
        return Some(address);
    }
    if std::env::var("SHARDLINE_TEST_SKIP_SERVICES").as_deref() == Ok("1") {
        eprintln!("skipped: {variable} is not set");
        return None;
    }
    panic!("{variable} is not set; start it with make services");
}

/// A name no other test uses.
pub(crate) fn random_name() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}
