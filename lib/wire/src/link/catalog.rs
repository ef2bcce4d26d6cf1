//! The catalog as shard-nodes ask for it, over the network: any router answers.

use super::MESSAGE_BYTES_MAX;
use super::pending::{outcome, reply};
use super::trust::Trust;
use crate::call::{Catalog, Outcome};
use crate::internal::catalog_service_client::CatalogServiceClient;
use crate::internal::catalog_service_server::{CatalogService, CatalogServiceServer};
use crate::internal::{
    Call, LocateSlotRequest, LocateSlotsRequest, OwnedSlotsAnswer, OwnedSlotsRequest, Reply,
    ShardReport, ShardReportAnswer, SlotEntry, WriterLease, WriterRequest,
};
use crate::refusal::{Code, Refusal};
use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use shardline_domain::limits::CALL_TIME_MAX;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// How long a router may take, and after which silence the next one is asked as well.
#[derive(Clone, Copy)]
struct Patience {
    answer: Duration,
    silence: Duration,
}

/// The catalog answers from a small database; longer means it is away. Asking twice does no harm, and a
/// router that hangs must not cost a writer its lease.
const ANSWER: Patience =
    Patience { answer: Duration::from_secs(3), silence: Duration::from_millis(400) };
/// Each grant is a new term, so only one router is asked at a time: of two grants the older is void.
const GRANT: Patience =
    Patience { answer: Duration::from_secs(1), silence: Duration::from_secs(1) };
const CALL: Patience = Patience { answer: CALL_TIME_MAX, silence: CALL_TIME_MAX };

/// Asks one router after another until one answers.
pub struct CatalogClient {
    routers: Vec<CatalogServiceClient<Channel>>,
    trust: Trust,
    /// The router that answered last.
    preferred: AtomicUsize,
}

impl CatalogClient {
    /// `addresses`: "host:port" of at least one router. Connections are made when first used.
    pub fn new(
        addresses: &[String],
        trust: Trust,
    ) -> Result<CatalogClient, tonic::transport::Error> {
        let connect = |address: &String| {
            let channel = trust.connect_lazily(address)?;
            Ok(CatalogServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
        };
        let routers = addresses.iter().map(connect).collect::<Result<_, _>>()?;
        Ok(CatalogClient { routers, trust, preferred: AtomicUsize::new(0) })
    }

    fn request<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(limit);
        self.trust.put_on(&mut request);
        request
    }

    /// Asks each router at most once, the one that answered last first; the first good answer counts.
    async fn ask<T, F, A>(&self, patience: Patience, mut ask: F) -> Result<T, Refusal>
    where
        F: FnMut(CatalogServiceClient<Channel>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = Refusal::new(Code::Unavailable, "no router is known");
        let mut left = (0..self.routers.len()).map(|turn| (first + turn) % self.routers.len());
        let mut asked = FuturesUnordered::new();
        loop {
            match left.next() {
                Some(index) => {
                    let answer = ask(self.routers[index].clone());
                    asked.push(async move {
                        (index, tokio::time::timeout(patience.answer, answer).await)
                    });
                }
                None if asked.is_empty() => return Err(last),
                None => {}
            }
            tokio::select! {
                Some((index, answer)) = asked.next() => match answer {
                    Ok(Ok(answer)) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer.into_inner());
                    }
                    Ok(Err(status)) => last = from_status(&status),
                    Err(_) => last = Refusal::new(Code::Unavailable, "the router did not answer"),
                },
                () = tokio::time::sleep(patience.silence), if 0 < left.len() => {}
            }
        }
    }
}

fn from_status(status: &Status) -> Refusal {
    let code = match status.code() {
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::FailedPrecondition => Code::Conflict,
        tonic::Code::NotFound => Code::NotFound,
        _ => Code::Unavailable,
    };
    Refusal::new(code, status.message())
}

fn to_status(refusal: Refusal) -> Status {
    let message = refusal.message.clone();
    match refusal.code() {
        Code::Conflict => Status::failed_precondition(message),
        Code::NotFound => Status::not_found(message),
        Code::Unauthenticated => Status::unauthenticated(message),
        _ => Status::unavailable(message),
    }
}

#[async_trait]
impl Catalog for CatalogClient {
    async fn acquire_writer(&self, request: WriterRequest) -> Result<WriterLease, Refusal> {
        let begins = request.term == 0 && !request.release;
        let patience = if begins { GRANT } else { ANSWER };
        self.ask(patience, |mut client| {
            let request = self.request(request.clone(), patience.answer);
            async move { client.acquire_writer(request).await }
        })
        .await
    }

    async fn owned_slots(&self, shard: u32) -> Result<Vec<SlotEntry>, Refusal> {
        let answer: OwnedSlotsAnswer = self
            .ask(ANSWER, |mut client| {
                let request = self.request(OwnedSlotsRequest { shard }, ANSWER.answer);
                async move { client.owned_slots(request).await }
            })
            .await?;
        Ok(answer.slots)
    }

    async fn locate_slot(&self, slot: u32) -> Result<SlotEntry, Refusal> {
        self.ask(ANSWER, |mut client| {
            let request = self.request(LocateSlotRequest { slot }, ANSWER.answer);
            async move { client.locate_slot(request).await }
        })
        .await
    }

    async fn locate_slots(&self, slots: &[u32]) -> Result<Vec<SlotEntry>, Refusal> {
        let answer: OwnedSlotsAnswer = self
            .ask(ANSWER, |mut client| {
                let slots = slots.to_vec();
                let request = self.request(LocateSlotsRequest { slots }, ANSWER.answer);
                async move { client.locate_slots(request).await }
            })
            .await?;
        Ok(answer.slots)
    }

    async fn report(&self, report: ShardReport) -> Result<ShardReportAnswer, Refusal> {
        self.ask(ANSWER, |mut client| {
            let request = self.request(report.clone(), ANSWER.answer);
            async move { client.report(request).await }
        })
        .await
    }

    async fn route(&self, call: Call) -> Outcome {
        let reply = self
            .ask(CALL, |mut client| {
                let request = self.request(call.clone(), CALL_TIME_MAX);
                async move { client.route(request).await }
            })
            .await?;
        outcome(reply)
    }
}

/// The router's side.
pub struct CatalogServer {
    catalog: Arc<dyn Catalog>,
}

impl CatalogServer {
    /// The service to add to a [`Trust::server`].
    pub fn service(
        catalog: Arc<dyn Catalog>,
        trust: &Trust,
    ) -> InterceptedService<
        CatalogServiceServer<CatalogServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = CatalogServiceServer::new(CatalogServer { catalog })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogServer {
    async fn acquire_writer(
        &self,
        request: Request<WriterRequest>,
    ) -> Result<Response<WriterLease>, Status> {
        let lease = self.catalog.acquire_writer(request.into_inner()).await;
        lease.map(Response::new).map_err(to_status)
    }

    async fn owned_slots(
        &self,
        request: Request<OwnedSlotsRequest>,
    ) -> Result<Response<OwnedSlotsAnswer>, Status> {
        let slots = self.catalog.owned_slots(request.into_inner().shard).await;
        slots.map(|slots| Response::new(OwnedSlotsAnswer { slots })).map_err(to_status)
    }

    async fn locate_slot(
        &self,
        request: Request<LocateSlotRequest>,
    ) -> Result<Response<SlotEntry>, Status> {
        let entry = self.catalog.locate_slot(request.into_inner().slot).await;
        entry.map(Response::new).map_err(to_status)
    }

    async fn locate_slots(
        &self,
        request: Request<LocateSlotsRequest>,
    ) -> Result<Response<OwnedSlotsAnswer>, Status> {
        let slots = self.catalog.locate_slots(&request.into_inner().slots).await;
        slots.map(|slots| Response::new(OwnedSlotsAnswer { slots })).map_err(to_status)
    }

    async fn report(
        &self,
        request: Request<ShardReport>,
    ) -> Result<Response<ShardReportAnswer>, Status> {
        let answer = self.catalog.report(request.into_inner()).await;
        answer.map(Response::new).map_err(to_status)
    }

    async fn route(&self, request: Request<Call>) -> Result<Response<Reply>, Status> {
        let outcome = self.catalog.route(request.into_inner()).await;
        Ok(Response::new(reply(0, outcome)))
    }
}
