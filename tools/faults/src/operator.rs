//! The operator's questions and changes, asked of whichever router answers.

use crate::cluster::Cluster;
use anyhow::{Context, Result, bail, ensure};
use shardline_wire::internal::admin_service_client::AdminServiceClient;
use shardline_wire::internal::check_service_client::CheckServiceClient;
use shardline_wire::internal::operations_service_client::OperationsServiceClient;
use shardline_wire::internal::{
    AddShardRequest, CheckCatalogRequest, DrainShardRequest, FsckFinding, FsckRequest,
    ListMovesAnswer, ListMovesRequest, ListShardsRequest, ListSlotsRequest, PlanAnswer,
    PlanRequest, RebalanceRequest, RemoveShardRequest, ReweightShardRequest, ShardInfo,
    ShowMoveAnswer, ShowMoveRequest, WishMoveRequest,
};
use shardline_wire::link::Trust;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
/// Faults take routers and the catalog away for a while.
const PATIENCE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(100);
const BY: &str = "faults";

pub struct Operator {
    routers: Vec<Channel>,
    preferred: AtomicUsize,
    trust: Trust,
}

type Operations = OperationsServiceClient<Channel>;

impl Operator {
    pub(crate) fn of(cluster: &Cluster) -> Result<Operator> {
        let trust = Trust::parse(&cluster.secret()?, None).context("the cluster's secret")?;
        Operator::new(&cluster.addresses(&["router-1", "router-2"])?, trust)
    }

    pub fn new(addresses: &[String], trust: Trust) -> Result<Operator> {
        let connect = |address: &String| Ok(trust.connect_lazily(address)?);
        let routers = addresses.iter().map(connect).collect::<Result<_>>()?;
        Ok(Operator { routers, preferred: AtomicUsize::new(0), trust })
    }

    pub async fn shards(&self) -> Result<Vec<ShardInfo>> {
        let ask = async move |channel: Channel, request: Request<_>| {
            AdminServiceClient::new(channel).list_shards(request).await
        };
        Ok(self.ask(ListShardsRequest {}, ask).await?.shards)
    }

    /// The slots a shard has.
    pub async fn slots(&self, shard: u32) -> Result<BTreeSet<u16>> {
        let request = ListSlotsRequest { shard: Some(shard) };
        let ask = async move |channel: Channel, request: Request<_>| {
            AdminServiceClient::new(channel).list_slots(request).await
        };
        let rows = self.ask(request, ask).await?.slots;
        Ok(rows.iter().filter_map(|row| u16::try_from(row.slot).ok()).collect())
    }

    /// With a rebalance's number: its moves alone.
    pub async fn moves(&self, rebalance: Option<u64>) -> Result<ListMovesAnswer> {
        let request = ListMovesRequest { all: true, rebalance };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).list_moves(request).await
        };
        Ok(self.ask(request, ask).await?)
    }

    /// The router that coordinates, once one does.
    pub async fn coordinator(&self) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let leads = self.moves(None).await?.coordinator;
            if !leads.is_empty() {
                return Ok(leads);
            }
            ensure!(Instant::now() < until, "no router coordinates");
            sleep(PAUSE).await;
        }
    }

    pub async fn show(&self, id: u64) -> Result<ShowMoveAnswer> {
        let request = ShowMoveRequest { r#move: id };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).show_move(request).await
        };
        Ok(self.ask(request, ask).await?)
    }

    pub async fn reweight(&self, shard: u32, weight: u32) -> Result<()> {
        let request = ReweightShardRequest { shard, weight, by: BY.to_owned() };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).reweight_shard(request).await
        };
        Ok(self.ask(request, ask).await.map(drop)?)
    }

    /// The shard whose shard-node is at this address joins the cluster.
    pub async fn add_shard(&self, address: &str) -> Result<()> {
        let request = AddShardRequest { address: address.to_owned(), weight: 0, by: BY.to_owned() };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).add_shard(request).await
        };
        Ok(self.ask(request, ask).await.map(drop)?)
    }

    /// The shard is to have no slots any more or, with `undo`, its share again.
    pub async fn drain_shard(&self, shard: u32, undo: bool) -> Result<()> {
        let request = DrainShardRequest { shard, undo, by: BY.to_owned() };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).drain_shard(request).await
        };
        Ok(self.ask(request, ask).await.map(drop)?)
    }

    pub async fn plan(&self) -> Result<PlanAnswer> {
        let request = PlanRequest { window_ms: Some(0) };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).plan(request).await
        };
        Ok(self.ask(request, ask).await?)
    }

    /// Begins one without windows; its number.
    pub async fn rebalance(&self) -> Result<u64> {
        let by = BY.to_owned();
        let request = RebalanceRequest { window_ms: Some(0), digest: String::new(), by };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).rebalance(request).await
        };
        match self.ask(request, ask).await {
            Ok(begun) => Ok(begun.rebalance.context("there is nothing to move")?.rebalance),
            // The answer to an earlier try was lost: it is ours that runs.
            Err(status) if status.code() == Code::FailedPrecondition => {
                let newest = self.moves(None).await?.rebalance;
                let ours = newest.filter(|one| one.state == "running" && one.by == BY);
                Ok(ours.ok_or(status)?.rebalance)
            }
            Err(status) => Err(status.into()),
        }
    }

    pub async fn abort(&self, id: u64) -> Result<()> {
        let wish = "abort".to_owned();
        let request = WishMoveRequest { r#move: id, wish, by: BY.to_owned() };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).wish_move(request).await
        };
        Ok(self.ask(request, ask).await.map(drop)?)
    }

    pub async fn remove_shard(&self, shard: u32) -> Result<(), Status> {
        let request = RemoveShardRequest { shard, by: BY.to_owned() };
        let ask = async move |channel: Channel, request: Request<_>| {
            Operations::new(channel).remove_shard(request).await
        };
        self.ask(request, ask).await.map(drop)
    }

    /// Why the shard is not removed. An error if it is.
    pub async fn refusal_to_remove(&self, shard: u32) -> Result<String> {
        match self.remove_shard(shard).await {
            Err(status) if status.code() == Code::FailedPrecondition => {
                Ok(status.message().to_owned())
            }
            Err(status) => bail!("removing shard {shard}: {status}"),
            Ok(_) => bail!("shard {shard} was removed although it holds slots"),
        }
    }

    /// What does not fit together on the shards and in the catalog, a line each.
    pub async fn findings(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for shard in self.shards().await? {
            let mut place = None;
            loop {
                let shard = shard.shard;
                let request = FsckRequest {
                    shard,
                    place,
                    deep: true,
                    by: BY.to_owned(),
                    ..FsckRequest::default()
                };
                let ask = async move |channel: Channel, request: Request<_>| {
                    CheckServiceClient::new(channel).fsck(request).await
                };
                let page = self.ask(request, ask).await?;
                if 0 < page.uncompared {
                    found.push(format!("shard {shard}: not compared: {}", page.why));
                }
                let tell = |one: &FsckFinding| {
                    format!("shard {shard}: {} {}: {}", one.kind, one.entity, one.text)
                };
                found.extend(page.findings.iter().map(tell));
                place = page.next;
                if place.is_none() {
                    break;
                }
            }
        }
        let ask = async move |channel: Channel, request: Request<_>| {
            CheckServiceClient::new(channel).check_catalog(request).await
        };
        let catalog = self.ask(CheckCatalogRequest {}, ask).await?;
        found.extend(catalog.findings.iter().map(|one| format!("catalog: {one:?}")));
        Ok(found)
    }

    /// Repeats what may pass. All of it may be asked twice.
    async fn ask<Q, A, F>(
        &self,
        question: Q,
        call: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let index = self.preferred.load(Ordering::Relaxed) % self.routers.len();
            let mut request = Request::new(question.clone());
            request.set_timeout(ANSWER_TIME_MAX);
            self.trust.put_on(&mut request);
            let answer = timeout(ANSWER_TIME_MAX, call(self.routers[index].clone(), request)).await;
            let status = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let passes = matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            );
            if !passes || until <= Instant::now() {
                return Err(status);
            }
            self.preferred.store(index + 1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }
}
