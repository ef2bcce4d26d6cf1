//! What is changed by one call: shards, the throttle; and who changed what.

use crate::Shown;
use crate::ask::{AskError, Operations, Router};
use crate::cli::{Cli, Rate, ShardCommand};
use crate::show;
use shardline_wire::internal::{
    AddShardRequest, DrainShardRequest, GetThrottleRequest, ListChangesRequest, RemoveShardRequest,
    ReweightShardRequest, SetThrottleRequest,
};
use tonic::Code;

/// As the cluster's journal is to name who asks.
pub(crate) fn by(cli: &Cli) -> String {
    match cli.by.as_str() {
        "" => {
            // For people only: a machine that does not say its name has none.
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("shardctl@{}", host.trim())
        }
        by => by.to_owned(),
    }
}

/// `shard list` is a question, and answered elsewhere.
pub(crate) async fn shard(cli: &Cli, command: &ShardCommand) -> Result<Shown, AskError> {
    let router = Router::reach(cli).await?;
    let by = by(cli);
    let unknown = || "`shardctl shard list` shows which there are".to_owned();
    Ok(match command {
        ShardCommand::List => return Err(AskError::Usage("nothing to change".to_owned())),
        ShardCommand::Add { address, weight } => {
            let request =
                AddShardRequest { address: address.clone(), weight: weight.unwrap_or(0), by };
            let call = async |mut to: Operations, request| to.add_shard(request).await;
            let changed = router.operate(request, call).await.map_err(|error| {
                error.hint(Code::FailedPrecondition, || {
                    format!("nothing was changed; put the shard-node at {address} right first")
                })
            })?;
            let next = "`shardctl plan` shows what it will get, `shardctl rebalance` gives it";
            show::shard_changed(&changed, next)
        }
        ShardCommand::Drain { shard, undo } => {
            let request = DrainShardRequest { shard: *shard, undo: *undo, by };
            let call = async |mut to: Operations, request| to.drain_shard(request).await;
            let changed = router.operate(request, call).await.map_err(|error| {
                let last =
                    || "another shard has to be there first: `shardctl shard add`".to_owned();
                error.hint(Code::NotFound, unknown).hint(Code::FailedPrecondition, last)
            })?;
            let next = if *undo {
                "`shardctl plan` shows what it will get back"
            } else {
                "`shardctl rebalance` takes its slots, then `shardctl shard remove` ends it"
            };
            show::shard_changed(&changed, next)
        }
        ShardCommand::Remove { shard } => {
            let request = RemoveShardRequest { shard: *shard, by };
            let call = async |mut to: Operations, request| to.remove_shard(request).await;
            let changed = router.operate(request, call).await.map_err(|error| {
                let holds = || {
                    format!(
                        "nothing was changed; `shardctl shard drain {shard}` and `shardctl rebalance` \
                         empty it, `shardctl move finish` ends a window in which it follows"
                    )
                };
                error.hint(Code::NotFound, unknown).hint(Code::FailedPrecondition, holds)
            })?;
            show::shard_changed(&changed, "its shard-node can be stopped")
        }
        ShardCommand::Reweight { shard, weight } => {
            let request = ReweightShardRequest { shard: *shard, weight: *weight, by };
            let call = async |mut to: Operations, request| to.reweight_shard(request).await;
            let changed = router.operate(request, call).await;
            let changed = changed.map_err(|error| error.hint(Code::NotFound, unknown))?;
            show::shard_changed(&changed, "`shardctl rebalance` moves slots accordingly")
        }
    })
}

pub(crate) async fn throttle(cli: &Cli, rate: Option<Rate>) -> Result<Shown, AskError> {
    let router = Router::reach(cli).await?;
    let throttle = match rate {
        None => {
            let call = async |mut to: Operations, request| to.get_throttle(request).await;
            router.operate(GetThrottleRequest {}, call).await?
        }
        Some(Rate(bytes_per_second)) => {
            let request = SetThrottleRequest { bytes_per_second, by: by(cli) };
            let call = async |mut to: Operations, request| to.set_throttle(request).await;
            router.operate(request, call).await?
        }
    };
    Ok(show::throttle(&throttle))
}

pub(crate) async fn changes(cli: &Cli, limit: u32) -> Result<Shown, AskError> {
    let router = Router::reach(cli).await?;
    let call = async |mut to: Operations, request| to.list_changes(request).await;
    Ok(show::changes(&router.operate(ListChangesRequest { limit }, call).await?.changes))
}
