//! The operator's calls, as a router serves them.

use super::MESSAGE_BYTES_MAX;
use super::trust::Trust;
use crate::admin::AdminApi;
use crate::internal::admin_service_server::{AdminService, AdminServiceServer};
use crate::internal::{
    ExplainAnswer, ExplainRequest, ListNodesAnswer, ListNodesRequest, ListShardsAnswer,
    ListShardsRequest, ListSlotsAnswer, ListSlotsRequest, WhereAnswer, WhereRequest,
};
use crate::refusal::{Code, Refusal};
use std::sync::Arc;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

pub struct AdminServer {
    admin: Arc<dyn AdminApi>,
}

impl AdminServer {
    /// The service to add to a [`Trust::server`].
    pub fn service(
        admin: Arc<dyn AdminApi>,
        trust: &Trust,
    ) -> InterceptedService<
        AdminServiceServer<AdminServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = AdminServiceServer::new(AdminServer { admin })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
    }
}

pub(super) fn answer<T>(outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|refusal| {
        let message = refusal.message.clone();
        match refusal.code() {
            Code::NotFound => Status::not_found(message),
            Code::BadRequest => Status::invalid_argument(message),
            Code::Conflict => Status::failed_precondition(message),
            _ => Status::unavailable(message),
        }
    })
}

#[tonic::async_trait]
impl AdminService for AdminServer {
    async fn list_shards(
        &self,
        request: Request<ListShardsRequest>,
    ) -> Result<Response<ListShardsAnswer>, Status> {
        answer(self.admin.list_shards(request.into_inner()).await)
    }

    async fn list_slots(
        &self,
        request: Request<ListSlotsRequest>,
    ) -> Result<Response<ListSlotsAnswer>, Status> {
        answer(self.admin.list_slots(request.into_inner()).await)
    }

    async fn r#where(
        &self,
        request: Request<WhereRequest>,
    ) -> Result<Response<WhereAnswer>, Status> {
        answer(self.admin.where_is(request.into_inner()).await)
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesAnswer>, Status> {
        answer(self.admin.list_nodes(request.into_inner()).await)
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainAnswer>, Status> {
        answer(self.admin.explain(request.into_inner()).await)
    }
}
