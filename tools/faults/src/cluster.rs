//! The local cluster: started and stopped by its script, its processes known by what the script recorded.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How far a process's port of operations is from its own.
const OPERATIONS_PORTS: u16 = 100;
/// How far above its own port a process is reached over a detour.
const DETOUR: u16 = 3_000;
const DETOUR_SETTING: &str = "LINKS_DETOUR";
const INTERPOSE_SETTING: &str = "INTERPOSE";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// deploy/local/cluster.sh.
    pub script: PathBuf,
    /// Where it keeps its data and secret.
    pub folder: PathBuf,
    /// Settings of the script that are not in our own environment.
    pub settings: Vec<(String, OsString)>,
}

impl Cluster {
    /// The same cluster, whose processes reach each other and their databases over ports that somebody
    /// else listens at: [`crate::links::Links`].
    #[must_use]
    pub fn with_detour(mut self) -> Cluster {
        self.settings.push((DETOUR_SETTING.to_owned(), DETOUR.to_string().into()));
        self
    }

    /// The same cluster, whose processes and servers can be lied to: `library` is tools/interpose.
    #[must_use]
    pub fn with_lies(mut self, library: PathBuf) -> Cluster {
        self.settings.push((INTERPOSE_SETTING.to_owned(), library.into()));
        self
    }

    /// Where the scripts keep what they know of a process, as `pids` names it.
    pub(crate) fn folder_of(&self, name: &str) -> PathBuf {
        match name.strip_prefix("second-") {
            Some(server) => self.folder.join("second-services").join(server),
            None if is_server(name) => self.folder.join("services").join(name),
            None => self.folder.join("processes").join(name),
        }
    }

    pub(crate) fn detour(&self) -> Option<u16> {
        self.settings.iter().any(|(name, _)| name == DETOUR_SETTING).then_some(DETOUR)
    }

    /// The same cluster, whose routers leave an empty catalog empty.
    #[must_use]
    pub(crate) fn without_initial_shards(mut self) -> Cluster {
        self.settings.push(("INITIAL_SHARDS".to_owned(), "none".into()));
        self
    }

    /// The port of everything that is reached over a detour, by name.
    pub(crate) fn links(&self) -> Result<BTreeMap<String, u16>> {
        let text = self.output(&["links"])?;
        let parse = |line: &str| {
            let (name, port) = line.split_once('=').context("NAME=PORT")?;
            Ok((name.to_owned(), port.parse()?))
        };
        text.lines().map(parse).collect()
    }

    /// # Errors
    /// If the script fails; what it said went to our stderr.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        self.output(arguments).map(drop)
    }

    /// The same while others go on.
    pub async fn run_aside(&self, arguments: &[&str]) -> Result<()> {
        let cluster = self.clone();
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let running = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            cluster.run(&arguments)
        });
        running.await?
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.script);
        command.args(arguments).env("SHARDLINE_CLUSTER", &self.folder);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        // The tests' shared servers are not this cluster's.
        for name in ["MYSQL_URL", "MARIADB_URL", "KAFKA", "REDIS"] {
            command.env_remove(format!("SHARDLINE_TEST_{name}"));
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output();
        let output = output.with_context(|| self.script.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cluster.sh {arguments:?}: {}\n{said}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Every process that runs, servers included, by name.
    pub fn pids(&self) -> Result<BTreeMap<String, Pid>> {
        let text = self.output(&["pids"])?;
        let parse = |line: &str| {
            let (name, pid) = line.split_once('=')?;
            Some((name.to_owned(), Pid::from_raw(pid.parse().ok()?)))
        };
        Ok(text.lines().filter_map(parse).collect())
    }

    /// Processes and servers that were killed, servers first.
    pub(crate) async fn bring_back(&self, names: &[&str]) -> Result<()> {
        let (servers, processes): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| is_server(name));
        if !servers.is_empty() {
            self.run_aside(&["up-servers"]).await?;
        }
        if !processes.is_empty() {
            self.run_aside(&[&["up"], &processes[..]].concat()).await?;
        }
        Ok(())
    }

    /// Where clients reach the conn-nodes, over links if there are any.
    pub(crate) fn servers(&self) -> Result<Vec<String>> {
        let addresses = self.addresses(&["conn-node-1", "conn-node-2"])?;
        let reached = addresses.iter().map(|address| {
            let (host, port) = address.rsplit_once(':').context("host:port")?;
            let port = port.parse::<u16>()? + self.detour().unwrap_or(0);
            Ok(format!("http://{host}:{port}"))
        });
        reached.collect()
    }

    /// Everything goes on and runs, whatever was done to it.
    pub async fn heal(&self) -> Result<()> {
        for pid in self.pids()?.into_values() {
            signal(pid, Signal::SIGCONT)?;
        }
        self.run_aside(&["start"]).await
    }

    /// host:port of each.
    pub fn addresses(&self, names: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<&str> = [&["address"], names].concat();
        Ok(self.output(&arguments)?.lines().map(str::to_owned).collect())
    }

    /// host:port of each one's operations.
    pub fn operations(&self, names: &[&str]) -> Result<Vec<String>> {
        let addresses = self.addresses(names)?;
        let operations = addresses.iter().map(|address| {
            let (host, port) = address.rsplit_once(':').context("host:port")?;
            Ok(format!("{host}:{}", port.parse::<u16>()? + OPERATIONS_PORTS))
        });
        operations.collect()
    }

    /// Of the database server that also has the catalog.
    pub fn database_url(&self) -> Result<String> {
        Ok(self.output(&["database-url"])?.trim().to_owned())
    }

    pub(crate) fn kafka_address(&self) -> Result<String> {
        Ok(self.output(&["kafka-address"])?.trim().to_owned())
    }

    pub fn secret(&self) -> Result<String> {
        let path = self.folder.join("secret");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// The name of the database server that shard's data are in, as `pids` has it.
    pub fn database_of(&self, shard: u32) -> Result<String> {
        let kind = std::fs::read_to_string(self.folder.join("database"))?.trim().to_owned();
        let has_second = self.folder.join("second-database").exists();
        Ok(if has_second && shard % 2 == 1 { format!("second-{kind}") } else { kind })
    }

    /// What the operator's command says of the whole cluster, after each fault: all must find nothing.
    pub fn audit(&self) -> Result<()> {
        for command in AUDITS {
            let arguments: Vec<&str> = [&["ctl"], *command].concat();
            if let Err(error) = self.output(&arguments) {
                bail!("shardctl {}: {error:#}", command.join(" "));
            }
        }
        Ok(())
    }
}

/// One that our processes stand on; its name as `pids` has it.
pub(crate) fn is_server(name: &str) -> bool {
    let name = name.strip_prefix("second-").unwrap_or(name);
    ["mysql", "mariadb", "kafka", "redis"].contains(&name)
}

/// The commands of shardctl that look for what must not be.
const AUDITS: &[&[&str]] = &[&["shard", "list"], &["catalog", "check"], &["fsck", "--deep"]];

pub fn signal(pid: Pid, signal: Signal) -> Result<()> {
    kill(pid, signal).with_context(|| format!("{signal} to {pid}"))
}
