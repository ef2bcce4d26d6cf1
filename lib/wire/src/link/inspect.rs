//! Reads of a shard-node over the network: single calls, each with its deadline.

use super::MESSAGE_BYTES_MAX;
use super::moves::{from_status, to_status};
use super::trust::Trust;
use crate::inspect::{Inspect, InspectConnect};
use crate::internal::inspect_service_client::InspectServiceClient;
use crate::internal::inspect_service_server::{InspectService, InspectServiceServer};
use crate::internal::{
    AskCatalogAnswer, AskCatalogRequest, LookAnswer, LookRequest, ScanAnswer, ScanRequest,
    SurveyAnswer, SurveyRequest,
};
use crate::refusal::{Code, Refusal};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A page takes some milliseconds; a database that is busy, longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);

pub struct InspectLinks {
    trust: Trust,
}

impl InspectLinks {
    pub fn new(trust: Trust) -> InspectLinks {
        InspectLinks { trust }
    }
}

impl InspectConnect for InspectLinks {
    fn open(&self, address: &str) -> Arc<dyn Inspect> {
        let client = self
            .trust
            .connect_lazily(address)
            .map(|channel| {
                InspectServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
            })
            .map_err(|error| Refusal::new(Code::Unavailable, error.to_string()));
        Arc::new(InspectLink { client, trust: self.trust.clone() })
    }
}

/// A shard-node at an address; an address that is none answers every call with why.
struct InspectLink {
    client: Result<InspectServiceClient<Channel>, Refusal>,
    trust: Trust,
}

impl InspectLink {
    async fn ask<T, A, F>(
        &self,
        message: T,
        ask: impl FnOnce(InspectServiceClient<Channel>, Request<T>) -> F,
    ) -> Result<A, Refusal>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let client = self.client.clone()?;
        let mut request = Request::new(message);
        request.set_timeout(ANSWER_TIME_MAX);
        self.trust.put_on(&mut request);
        match tokio::time::timeout(ANSWER_TIME_MAX, ask(client, request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(from_status(&status)),
            Err(_) => Err(Refusal::new(Code::Unavailable, "the shard-node did not answer")),
        }
    }
}

type Client = InspectServiceClient<Channel>;

#[async_trait]
impl Inspect for InspectLink {
    async fn survey(&self, request: SurveyRequest) -> Result<SurveyAnswer, Refusal> {
        self.ask(request, |mut to: Client, asked| async move { to.survey(asked).await }).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanAnswer, Refusal> {
        self.ask(request, |mut to: Client, asked| async move { to.scan(asked).await }).await
    }

    async fn look(&self, request: LookRequest) -> Result<LookAnswer, Refusal> {
        self.ask(request, |mut to: Client, asked| async move { to.look(asked).await }).await
    }

    async fn ask_catalog(&self) -> Result<(), Refusal> {
        let ask = |mut to: Client, asked| async move { to.ask_catalog(asked).await };
        self.ask(AskCatalogRequest {}, ask).await.map(|AskCatalogAnswer {}| ())
    }
}

/// The shard-node's side.
pub struct InspectServer {
    inspect: Arc<dyn Inspect>,
}

impl InspectServer {
    /// The service to add to a [`Trust::server`].
    pub fn service(
        inspect: Arc<dyn Inspect>,
        trust: &Trust,
    ) -> InterceptedService<
        InspectServiceServer<InspectServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = InspectServiceServer::new(InspectServer { inspect })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
    }
}

#[tonic::async_trait]
impl InspectService for InspectServer {
    async fn survey(
        &self,
        request: Request<SurveyRequest>,
    ) -> Result<Response<SurveyAnswer>, Status> {
        self.inspect.survey(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<ScanAnswer>, Status> {
        self.inspect.scan(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn look(&self, request: Request<LookRequest>) -> Result<Response<LookAnswer>, Status> {
        self.inspect.look(request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn ask_catalog(
        &self,
        _: Request<AskCatalogRequest>,
    ) -> Result<Response<AskCatalogAnswer>, Status> {
        let asked = self.inspect.ask_catalog().await;
        asked.map(|()| Response::new(AskCatalogAnswer {})).map_err(to_status)
    }
}
