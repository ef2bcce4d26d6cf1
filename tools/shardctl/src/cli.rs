//! What can be typed.

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use shardline_domain::id::EntityId;
use std::path::PathBuf;
use std::str::FromStr;

/// Asks a Shardline cluster how it is.
#[derive(Parser, Debug)]
#[command(
    name = "shardctl",
    version,
    after_help = "Exit codes: 0 done, 1 refused, 2 no router reached, 64 usage."
)]
pub(crate) struct Cli {
    /// Routers to ask, host:port; the first that answers is taken.
    #[arg(
        long,
        global = true,
        env = "SHARDCTL_ROUTER",
        value_delimiter = ',',
        value_parser = address,
        default_value = "127.0.0.1:8111"
    )]
    pub(crate) router: Vec<String>,

    /// The secret by which the cluster's processes know each other. Better given by environment: a
    /// command line is visible to all users of the machine.
    #[arg(long, global = true, env = "SHARDLINE_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,

    /// The authority of the cluster's certificates, a PEM file, if its processes use TLS.
    #[arg(long, global = true, env = "SHARDLINE_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// The certificate to show, a PEM file.
    #[arg(long, global = true, env = "SHARDLINE_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file.
    #[arg(long, global = true, env = "SHARDLINE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,

    /// How long to wait for an answer, in seconds.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,

    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// The databases that hold the data.
    Shard {
        #[command(subcommand)]
        command: ShardCommand,
    },
    /// Which shard has which slots.
    Slots {
        /// Only this shard's, all of them.
        #[arg(long)]
        shard: Option<u32>,
    },
    /// Where a chat or a user is.
    Where {
        /// A chat's or user's id, or @NAME.
        target: Target,
    },
    /// The processes that run.
    Nodes,
    /// Prints a completion script; for bash: source <(shardctl completions bash)
    Completions { shell: Shell },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ShardCommand {
    /// Each shard with its weight, slots and writer.
    List,
}

/// An entity by its id, or a user by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Entity(EntityId),
    Name(String),
}

impl Target {
    pub(crate) fn entity(&self) -> u64 {
        match self {
            Target::Entity(entity) => entity.get(),
            Target::Name(_) => 0,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Target::Entity(_) => String::new(),
            Target::Name(name) => name.clone(),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        match text.strip_prefix('@') {
            Some("") => Err("a name follows the @".to_owned()),
            Some(name) => Ok(Target::Name(name.to_owned())),
            None => match text.parse() {
                Ok(entity) => Ok(Target::Entity(entity)),
                Err(error) => Err(format!("{error}; for a user's name write @{text}")),
            },
        }
    }
}

fn address(text: &str) -> Result<String, String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
    });
    if good { Ok(text.to_owned()) } else { Err("an address is like host:8111".to_owned()) }
}
