//! What can be typed.

mod values;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use shardline_domain::id::ChatId;
use std::path::PathBuf;
use std::time::Duration;
pub(crate) use values::{Rate, Target};
use values::{Users, address, duration, rate, shard_address, users};

/// Asks a Shardline cluster how it is, and changes it.
#[derive(Parser, Debug)]
#[command(
    name = "shardctl",
    version,
    after_help = "Exit codes: 0 done, 1 refused, 2 no router reached, \
                  3 it ended with moves aborted or was stopped, or a check left findings, 64 usage, \
                  130 interrupted while looking on (what runs goes on)."
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

    /// The operators' secret. Better given by environment: a command line is visible to all users of
    /// the machine.
    #[arg(long, global = true, env = "SHARDLINE_ADMIN_SECRET", hide_env_values = true)]
    pub(crate) admin_secret: Option<String>,

    /// The cluster's own secret, for a cluster that has no operators' secret.
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

    /// Who makes the change, as `shardctl changes` is to show it.
    #[arg(long, global = true, env = "SHARDCTL_BY", default_value = "")]
    pub(crate) by: String,

    /// How long to wait for an answer, in seconds.
    #[arg(long, global = true, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,

    /// Print JSON; what goes on for a while prints one object a line.
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
    /// What a rebalance would do now. Changes nothing.
    Plan {
        /// How long each move could be reversed.
        #[arg(long, value_parser = duration)]
        window: Option<Duration>,
    },
    /// Moves slots until every shard has what its weight says, and shows how it goes.
    #[command(args_conflicts_with_subcommands = true)]
    Rebalance {
        #[command(flatten)]
        begin: Begin,
        #[command(subcommand)]
        command: Option<RebalanceCommand>,
    },
    /// Slots on their way from one shard to another.
    Move {
        #[command(subcommand)]
        command: MoveCommand,
    },
    /// How fast each move may copy: shows it, or sets it.
    Throttle {
        /// Bytes a second, like 8MiB or 500k; or `off`.
        #[arg(value_parser = rate)]
        rate: Option<Rate>,
    },
    /// Who changed what, newest first.
    Changes {
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
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
    /// The stages of one message: accepted, committed, relayed, dispatched, pushed, read.
    Explain {
        /// The chat's id.
        chat: ChatId,
        /// The message's number in it.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        seq: u64,
    },
    /// The processes that run.
    Nodes,
    /// Reads the whole cluster, and shows what does not fit together.
    Fsck(Fsck),
    /// The small database that says whose each slot is.
    Catalog {
        #[command(subcommand)]
        command: CatalogCommand,
    },
    /// What so many users need: arithmetic, not a measurement. Asks nobody.
    Capacity(Capacity),
    /// Prints a completion script; for bash: source <(shardctl completions bash)
    Completions { shell: Shell },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ShardCommand {
    /// Each shard with its weight, slots and writer.
    List,
    /// Lets a shard join; it gets its slots by the next rebalance.
    Add {
        /// Where its shard-node is reached, host:port; shard-2 and so on where all is in one process.
        #[arg(value_parser = shard_address)]
        address: String,
        /// Its part relative to the others' weights; as the heaviest of them if not given.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        weight: Option<u32>,
    },
    /// Lets a shard get no more slots; the next rebalance takes those it has.
    Drain {
        shard: u32,
        /// It takes slots again.
        #[arg(long)]
        undo: bool,
    },
    /// Ends a shard that holds nothing any more.
    Remove { shard: u32 },
    /// Changes a shard's part; the next rebalance goes by it.
    Reweight {
        shard: u32,
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        weight: u32,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Fsck {
    /// Lets the shard that decides say again what did not arrive, and removes users whose name was never
    /// claimed.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Counts every chat's messages, too.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Walks over this shard only; the other side is looked up wherever it is.
    #[arg(long)]
    pub(crate) shard: Option<u32>,
    /// Walks over this slot only, on all shards.
    #[arg(long)]
    pub(crate) slot: Option<u32>,
    /// Rows read in a second, at most.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: u32,
}

#[derive(Subcommand, Debug)]
pub(crate) enum CatalogCommand {
    /// Holds it against the shards' own rows.
    Check,
    /// Makes an empty catalog, in place of one that was lost, say what the shards' rows say.
    Rebuild {
        /// Where the shard-nodes are reached, host:port, all of them.
        #[arg(long, value_delimiter = ',', value_parser = address, required = true)]
        shards: Vec<String>,
        /// Shows it and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Begin {
    /// How long each move can be reversed, like 30m or 0; an hour if not given.
    #[arg(long, value_parser = duration)]
    pub(crate) window: Option<Duration>,
    /// Begin only if the plan is still the one with this digest.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    /// Begin it and return.
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum RebalanceCommand {
    /// Shows how the running one goes.
    Watch,
    /// Begins no more moves, and aborts those that have not flipped.
    Stop,
}

#[derive(Subcommand, Debug)]
pub(crate) enum MoveCommand {
    /// Those under way.
    List {
        /// Those that have ended, too.
        #[arg(long)]
        all: bool,
        /// Only of these rebalances.
        #[arg(long = "rebalance", value_name = "NUMBER", value_delimiter = ',')]
        rebalances: Vec<u64>,
    },
    /// A move with its slots and its journal.
    Show {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Waits until a move has ended, and shows it. Exit code 3 if it was aborted.
    Wait {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Halts it where it is; it still ends a freeze by itself.
    Pause {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Lets it go on.
    Resume {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Leaves its slots where they are. Not once it has flipped.
    Abort {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Gives its slots back to where they came from, while the window is open.
    Reverse {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
    /// Ends its window now: the old copy is deleted.
    Finish {
        #[arg(value_name = "MOVE")]
        id: u64,
    },
}

/// Defaults are assumptions; all are printed with the result.
#[derive(Args, Debug)]
pub(crate) struct Capacity {
    /// Registered users, like 10M or 1B; several make columns.
    #[arg(long, value_delimiter = ',', value_parser = users, default_value = "10M,1B")]
    pub(crate) users: Vec<Users>,
    /// Of all users, those active on a day, in percent.
    #[arg(long, default_value_t = 60.0, value_parser = values::percent)]
    pub(crate) active: f64,
    /// Messages sent by each active user a day.
    #[arg(long, default_value_t = 40.0, value_parser = values::positive)]
    pub(crate) sends: f64,
    /// Receivers of a message, on average.
    #[arg(long, default_value_t = 4.0, value_parser = values::positive)]
    pub(crate) recipients: f64,
    /// The busiest hour against the average.
    #[arg(long, default_value_t = 3.0, value_parser = values::positive)]
    pub(crate) peak: f64,
    /// The worst minute against the average.
    #[arg(long, default_value_t = 10.0, value_parser = values::positive)]
    pub(crate) spike: f64,
    /// Of all users, those connected at once, in percent.
    #[arg(long, default_value_t = 25.0, value_parser = values::percent)]
    pub(crate) online: f64,
    /// Of a message on disk, with its keys and page fill.
    #[arg(long, default_value_t = 400.0, value_parser = values::positive)]
    pub(crate) message_bytes: f64,
    /// What a shard comfortably holds, in TB.
    #[arg(long, default_value_t = 2.0, value_parser = values::positive)]
    pub(crate) shard_tb: f64,
    /// Messages a second that a shard durably stores. Measure it.
    #[arg(long, default_value_t = 3000.0, value_parser = values::positive)]
    pub(crate) shard_writes: f64,
    /// How long history is kept, in days.
    #[arg(long, default_value_t = 365.0, value_parser = values::positive)]
    pub(crate) days: f64,
}
