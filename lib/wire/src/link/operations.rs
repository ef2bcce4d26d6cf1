//! The operator's changes, as a router serves them.

use super::MESSAGE_BYTES_MAX;
use super::admin::answer;
use super::secret::Secret;
use crate::admin::Operations;
use crate::internal::operations_service_server::{OperationsService, OperationsServiceServer};
use crate::internal::{
    AddShardRequest, DrainShardRequest, GetThrottleRequest, ListChangesAnswer, ListChangesRequest,
    ListMovesAnswer, ListMovesRequest, MoveInfo, PlanAnswer, PlanRequest, RebalanceAnswer,
    RebalanceInfo, RebalanceRequest, RemoveShardRequest, ReweightShardRequest, SetThrottleRequest,
    ShardChanged, ShowMoveAnswer, ShowMoveRequest, StopRebalanceRequest, Throttle, WishMoveRequest,
};
use std::sync::Arc;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

pub struct OperationsServer {
    operations: Arc<dyn Operations>,
}

impl OperationsServer {
    /// The service to add to a [`super::Trust::server`]. `secret` is the operators' own.
    pub fn service(
        operations: Arc<dyn Operations>,
        secret: &Secret,
    ) -> InterceptedService<
        OperationsServiceServer<OperationsServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = OperationsServiceServer::new(OperationsServer { operations })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, secret.guard())
    }
}

#[tonic::async_trait]
impl OperationsService for OperationsServer {
    async fn add_shard(
        &self,
        request: Request<AddShardRequest>,
    ) -> Result<Response<ShardChanged>, Status> {
        answer(self.operations.add_shard(request.into_inner()).await)
    }

    async fn drain_shard(
        &self,
        request: Request<DrainShardRequest>,
    ) -> Result<Response<ShardChanged>, Status> {
        answer(self.operations.drain_shard(request.into_inner()).await)
    }

    async fn remove_shard(
        &self,
        request: Request<RemoveShardRequest>,
    ) -> Result<Response<ShardChanged>, Status> {
        answer(self.operations.remove_shard(request.into_inner()).await)
    }

    async fn reweight_shard(
        &self,
        request: Request<ReweightShardRequest>,
    ) -> Result<Response<ShardChanged>, Status> {
        answer(self.operations.reweight_shard(request.into_inner()).await)
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanAnswer>, Status> {
        answer(self.operations.plan(request.into_inner()).await)
    }

    async fn rebalance(
        &self,
        request: Request<RebalanceRequest>,
    ) -> Result<Response<RebalanceAnswer>, Status> {
        answer(self.operations.rebalance(request.into_inner()).await)
    }

    async fn stop_rebalance(
        &self,
        request: Request<StopRebalanceRequest>,
    ) -> Result<Response<RebalanceInfo>, Status> {
        answer(self.operations.stop_rebalance(request.into_inner()).await)
    }

    async fn list_moves(
        &self,
        request: Request<ListMovesRequest>,
    ) -> Result<Response<ListMovesAnswer>, Status> {
        answer(self.operations.list_moves(request.into_inner()).await)
    }

    async fn show_move(
        &self,
        request: Request<ShowMoveRequest>,
    ) -> Result<Response<ShowMoveAnswer>, Status> {
        answer(self.operations.show_move(request.into_inner()).await)
    }

    async fn wish_move(
        &self,
        request: Request<WishMoveRequest>,
    ) -> Result<Response<MoveInfo>, Status> {
        answer(self.operations.wish_move(request.into_inner()).await)
    }

    async fn get_throttle(
        &self,
        request: Request<GetThrottleRequest>,
    ) -> Result<Response<Throttle>, Status> {
        answer(self.operations.get_throttle(request.into_inner()).await)
    }

    async fn set_throttle(
        &self,
        request: Request<SetThrottleRequest>,
    ) -> Result<Response<Throttle>, Status> {
        answer(self.operations.set_throttle(request.into_inner()).await)
    }

    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesAnswer>, Status> {
        answer(self.operations.list_changes(request.into_inner()).await)
    }
}
