//! The operator's checks, as a router serves them.

use super::MESSAGE_BYTES_MAX;
use super::admin::answer;
use super::secret::Secret;
use crate::checks::Checks;
use crate::internal::check_service_server::{CheckService, CheckServiceServer};
use crate::internal::{
    CheckCatalogAnswer, CheckCatalogRequest, FsckAnswer, FsckRequest, RebuildCatalogAnswer,
    RebuildCatalogRequest,
};
use std::sync::Arc;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

pub struct CheckServer {
    checks: Arc<dyn Checks>,
}

impl CheckServer {
    /// The service to add to a [`super::Trust::server`]. `secret` is the operators' own.
    pub fn service(
        checks: Arc<dyn Checks>,
        secret: &Secret,
    ) -> InterceptedService<
        CheckServiceServer<CheckServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = CheckServiceServer::new(CheckServer { checks })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, secret.guard())
    }
}

#[tonic::async_trait]
impl CheckService for CheckServer {
    async fn fsck(&self, request: Request<FsckRequest>) -> Result<Response<FsckAnswer>, Status> {
        answer(self.checks.fsck(request.into_inner()).await)
    }

    async fn check_catalog(
        &self,
        request: Request<CheckCatalogRequest>,
    ) -> Result<Response<CheckCatalogAnswer>, Status> {
        answer(self.checks.check_catalog(request.into_inner()).await)
    }

    async fn rebuild_catalog(
        &self,
        request: Request<RebuildCatalogRequest>,
    ) -> Result<Response<RebuildCatalogAnswer>, Status> {
        answer(self.checks.rebuild_catalog(request.into_inner()).await)
    }
}
