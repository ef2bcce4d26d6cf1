//! An operator with shardctl at the port of the embedded form.

use serde_json::Value;
use shardctl::Desk;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    pub(crate) secret: String,
}

/// How shardctl ended.
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Operator {
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let address = self.address.to_string();
        let to = ["--router", &address, "--secret", &self.secret, "--by", "test"];
        let arguments = ["shardctl"].iter().chain(arguments).chain(&to).map(OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let interrupted = Box::pin(std::future::pending());
        let mut desk = Desk { out: &mut out, err: &mut err, is_terminal: false, interrupted };
        let code = shardctl::run(arguments, &mut desk).await;
        drop(desk);
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Ended { code, out: text(out), err: text(err) }
    }

    /// What must be done or answered, as JSON.
    pub(crate) async fn done(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}: {}", ended.out);
        serde_json::from_str(&ended.out).expect("one JSON object")
    }

    /// What must be refused, and why.
    pub(crate) async fn refused(&self, arguments: &[&str], says: &str) {
        let ended = self.run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(says), "{arguments:?}: {}", ended.err);
    }

    /// Begins a rebalance without windows, or looks on at one that runs, to its end.
    pub(crate) async fn rebalanced(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[&["rebalance"], arguments, &["--json"]].concat()).await;
        let last = ended.out.lines().last().unwrap_or_default();
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
        serde_json::from_str(last).expect("a JSON object on each line")
    }

    /// The shard as `shard list` shows it; None if it does not.
    pub(crate) async fn shard(&self, number: u32) -> Option<Value> {
        let list = self.done(&["shard", "list"]).await;
        let shards = list["shards"].as_array().expect("shards").clone();
        shards.into_iter().find(|shard| shard["shard"] == number)
    }

    pub(crate) async fn until_active(&self, number: u32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shard = self.shard(number).await.expect("it was added");
            if shard["state"] == "active" {
                return;
            }
            assert!(Instant::now() < deadline, "{shard}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}
