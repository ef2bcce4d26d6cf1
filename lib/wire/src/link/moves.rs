//! Moves over the network: single calls, for there are few of them, and each is large or rare.

use super::MESSAGE_BYTES_MAX;
use super::trust::Trust;
use crate::internal::move_service_client::MoveServiceClient;
use crate::internal::move_service_server::{MoveService, MoveServiceServer};
use crate::internal::{
    ChangedAnswer, ChangedRequest, DescribeRequest, DigestsAnswer, DigestsRequest, HeadsAnswer,
    HeadsRequest, MoveOrder, MoveReport, RowsAnswer, RowsRequest, ShardDescription,
};
use crate::moves::{Moves, MovesConnect};
use crate::refusal::{Code, Refusal};
use async_trait::async_trait;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Beyond what the asked may hold its answer back.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// A page of rows, or of digests of large entities.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

pub struct MoveLinks {
    trust: Trust,
}

impl MoveLinks {
    pub fn new(trust: Trust) -> MoveLinks {
        MoveLinks { trust }
    }
}

impl MovesConnect for MoveLinks {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        let client = self
            .trust
            .connect_lazily(address)
            .map(|channel| {
                MoveServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
            })
            .map_err(|error| Refusal::new(Code::Unavailable, error.to_string()));
        Arc::new(MoveLink { client, trust: self.trust.clone() })
    }
}

/// A shard-node at an address; an address that is none answers every call with why.
struct MoveLink {
    client: Result<MoveServiceClient<Channel>, Refusal>,
    trust: Trust,
}

impl MoveLink {
    async fn ask<T, A, F>(
        &self,
        message: T,
        limit: Duration,
        ask: impl FnOnce(MoveServiceClient<Channel>, Request<T>) -> F,
    ) -> Result<A, Refusal>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let client = self.client.clone()?;
        let mut request = Request::new(message);
        request.set_timeout(limit);
        self.trust.put_on(&mut request);
        match tokio::time::timeout(limit, ask(client, request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(from_status(&status)),
            Err(_) => Err(Refusal::new(Code::Unavailable, "the shard-node did not answer")),
        }
    }
}

#[async_trait]
impl Moves for MoveLink {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.describe(request).await
        };
        self.ask(DescribeRequest {}, ANSWER_TIME_MAX, ask).await
    }

    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal> {
        let limit = ANSWER_TIME_MAX + Duration::from_millis(order.wait_ms.into());
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.order(request).await
        };
        self.ask(order, limit, ask).await
    }

    async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.changed(request).await
        };
        self.ask(request, READ_TIME_MAX, ask).await
    }

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.heads(request).await
        };
        self.ask(request, READ_TIME_MAX, ask).await
    }

    async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal> {
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.rows(request).await
        };
        self.ask(request, READ_TIME_MAX, ask).await
    }

    async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        let ask = |mut client: MoveServiceClient<Channel>, request| async move {
            client.digests(request).await
        };
        self.ask(request, READ_TIME_MAX, ask).await
    }
}

/// The shard-node's side.
pub struct MoveServer {
    moves: Arc<dyn Moves>,
}

impl MoveServer {
    /// The service to add to a [`Trust::server`].
    pub fn service(
        moves: Arc<dyn Moves>,
        trust: &Trust,
    ) -> InterceptedService<
        MoveServiceServer<MoveServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = MoveServiceServer::new(MoveServer { moves })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
    }
}

#[tonic::async_trait]
impl MoveService for MoveServer {
    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<ShardDescription>, Status> {
        self.moves.describe().await.map(Response::new).map_err(to_status)
    }

    async fn order(&self, request: Request<MoveOrder>) -> Result<Response<MoveReport>, Status> {
        self.moves.order(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn changed(
        &self,
        request: Request<ChangedRequest>,
    ) -> Result<Response<ChangedAnswer>, Status> {
        self.moves.changed(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn heads(&self, request: Request<HeadsRequest>) -> Result<Response<HeadsAnswer>, Status> {
        self.moves.heads(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn rows(&self, request: Request<RowsRequest>) -> Result<Response<RowsAnswer>, Status> {
        self.moves.rows(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn digests(
        &self,
        request: Request<DigestsRequest>,
    ) -> Result<Response<DigestsAnswer>, Status> {
        self.moves.digests(request.into_inner()).await.map(Response::new).map_err(to_status)
    }
}

/// As `from_status` reads it.
pub(super) fn to_status(refusal: Refusal) -> Status {
    let message = refusal.message.clone();
    match refusal.code() {
        Code::Conflict => Status::failed_precondition(message),
        Code::BadRequest => Status::invalid_argument(message),
        Code::NotFound => Status::not_found(message),
        Code::TryAgain => Status::aborted(message),
        _ => Status::unavailable(message),
    }
}

pub(super) fn from_status(status: &Status) -> Refusal {
    let code = match status.code() {
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::FailedPrecondition => Code::Conflict,
        tonic::Code::InvalidArgument => Code::BadRequest,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::Aborted => Code::TryAgain,
        _ => Code::Unavailable,
    };
    Refusal::new(code, status.message())
}
