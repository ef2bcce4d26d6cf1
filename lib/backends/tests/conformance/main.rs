//! Every form of every role, against its conformance suite. The real ones need their servers:
//! `make services`, or SHARDLINE_TEST_SKIP_SERVICES=1 to leave them out.

#[cfg(feature = "kafka")]
mod bus;
#[cfg(feature = "redis")]
mod cursors;
#[cfg(feature = "redis")]
mod presence;
#[cfg(feature = "redis")]
mod redis_server;
#[cfg(any(feature = "kafka", feature = "redis"))]
mod services;

/// A test per claim and form: `each_claim!(suite, claim(argument)…)` expects `memory` and the named
/// real form as functions that make a subject, or none where services are left out.
#[macro_export]
macro_rules! each_claim {
    ($suite:path, $real:ident; $($claim:ident($($argument:expr)?)),* $(,)?) => {
        mod in_memory {
            use super::*;
            use $suite as suite;
            $(
                #[tokio::test]
                async fn $claim() {
                    suite::$claim(&memory($($argument)?).await).await;
                }
            )*
        }
        mod $real {
            use super::*;
            use $suite as suite;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    if let Some(subject) = real($($argument)?).await {
                        suite::$claim(&subject).await;
                        (subject.wipe)().await;
                    }
                }
            )*
        }
    };
}
