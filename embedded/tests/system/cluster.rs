//! The cluster of real processes on real MySQL, Kafka and Redis, and what its faults leave.

use crate::person::{Place, text};
use crate::{bad_input, faults, scenes};
use shardline_client::Encoding;
use shardline_client::frames::History;
use shardline_faults::cluster::Cluster;
use shardline_faults::links::Links;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Clear of the ports of `make cluster` and of the tests' own servers.
pub(crate) const PORT_BASE: u16 = 18_100;
pub(crate) const SERVICES_PORT_BASE: u16 = 14_100;

/// A cluster with data of its own, ended when dropped.
pub(crate) struct Processes {
    pub(crate) folder: PathBuf,
    pub(crate) cluster: Cluster,
    pub(crate) links: Arc<Links>,
}

impl Processes {
    async fn start() -> Processes {
        let folder = target().join("test-cluster");
        let script = root().join("deploy/local/cluster.sh");
        let settings = Processes::settings();
        let cluster = Cluster { script, folder: folder.clone(), settings }.with_detour();
        // What an interrupted run left.
        cluster.run(&["stop"]).expect("it is stopped");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the last run's data can go");
        }
        let links = Arc::new(Links::open(&cluster).await.expect("free ports"));
        let processes = Processes { folder, cluster, links };
        processes.run(&["start"]);
        processes
    }

    fn place(&self) -> Place {
        let address = |number| format!("http://127.0.0.1:{}", PORT_BASE + number);
        Place { addresses: vec![address(1), address(2)] }
    }

    fn settings() -> Vec<(String, OsString)> {
        let settings: [(&str, OsString); 5] = [
            ("SHARDLINE_BIN", binaries().into_os_string()),
            ("SHARDLINE_BUILD", "no".into()),
            ("SHARDLINE_CLUSTER_PORT_BASE", PORT_BASE.to_string().into()),
            ("SHARDLINE_CLUSTER_SERVICES_BASE", SERVICES_PORT_BASE.to_string().into()),
            ("SECOND_DATABASE", "yes".into()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn run(&self, arguments: &[&str]) {
        self.cluster.run(arguments).unwrap_or_else(|error| panic!("{error:?}"));
    }

    pub(crate) fn script(&self, name: &str, arguments: &[&str]) {
        let mut command = Command::new(root().join("deploy/local").join(name));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        for (name, value) in [
            ("SHARDLINE_CLUSTER", self.folder.as_os_str().to_owned()),
            ("SHARDLINE_RUN", self.folder.join("services").into_os_string()),
            ("SHARDLINE_PORT_BASE", SERVICES_PORT_BASE.to_string().into()),
            ("SHARDLINE_PROMETHEUS_CONFIG", self.prometheus_config().into_os_string()),
        ] {
            command.env(name, value);
        }
        command.envs(Processes::settings());
        // The tests' shared servers are not this cluster's.
        for name in ["MYSQL_URL", "MARIADB_URL", "KAFKA", "REDIS", "PROMETHEUS"] {
            command.env_remove(format!("SHARDLINE_TEST_{name}"));
        }
        let status = command.status().expect("the script can be run");
        assert!(status.success(), "{name} {arguments:?}: {status}");
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where this test's binary was built: …/debug/deps/system-….
fn binaries() -> PathBuf {
    let this = std::env::current_exe().expect("a path");
    this.ancestors().nth(2).expect("deps in the profile's folder").to_owned()
}

fn target() -> PathBuf {
    binaries().parent().expect("the target folder").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
fn skips_services() -> bool {
    std::env::var("SHARDLINE_TEST_SKIP_SERVICES").is_ok()
}

/// One test, since the scenes share one cluster: starting it takes longer than playing them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_plays_every_scene_and_survives_its_faults() {
    if skips_services() {
        return;
    }
    let processes = Processes::start().await;
    let place = processes.place();
    scenes::two_people_talk(&place).await;
    scenes::a_retry_gets_the_first_answer(&place).await;
    scenes::who_was_away_catches_up_exactly(&place).await;
    scenes::history_cursors_and_the_list_agree(&place).await;
    scenes::members_come_and_go(&place).await;
    scenes::an_ended_session_is_closed(&place).await;
    bad_input::gets_an_error_and_costs_nothing(&place).await;

    processes.are_scraped().await;

    for process in ["conn-node-2", "router-1", "router-2", "shard-node-0", "shard-node-1"] {
        a_killed_process_loses_nothing(&processes, &place, process).await;
    }
    faults::people_survive_the_faults_that_matter_most(&processes).await;
    faults::moves_survive_the_faults_that_matter_most(&processes).await;
    faults::a_standby_goes_on(&processes).await;
}

/// Two people talk while the process is killed and started again: every message is stored once, in
/// order, and both see all of it.
async fn a_killed_process_loses_nothing(processes: &Processes, place: &Place, process: &str) {
    let mut alice = place.person("alice", 0, Encoding::Json).await;
    let mut bob = place.person("bob", 1, Encoding::Proto).await;
    let chat = alice.direct(&bob).await;
    alice.client.open(chat, None).await.expect("her chat");
    bob.client.open(chat, None).await.expect("his chat");

    let mut waiting = Vec::new();
    for number in 0..200 {
        waiting.push(alice.client.submit(chat, format!("{number}")).await);
        if number == 100 {
            processes.run(&["kill", process]);
        }
    }
    processes.run(&["up", process]);
    for pending in waiting {
        let ack = pending.await.unwrap_or_else(|error| panic!("{process} killed: {error}"));
        assert!(ack.seq.is_some());
    }
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for person in [&mut alice, &mut bob] {
        let seen = person.messages(chat, 200).await;
        let texts: Vec<&str> = seen.iter().map(text).collect();
        assert_eq!(texts, expected, "{process} killed: what {} saw", person.name);
    }
    let ask = History { chat, limit: Some(200), ..History::default() };
    let page = bob.client.history(ask).await.expect("a page");
    let stored: Vec<&str> = page.messages.iter().map(text).collect();
    assert_eq!(stored, expected, "{process} killed: what is stored");
    assert_eq!(page.head_seq, 200);
}
