//! The stages of one message, gathered from whoever had a part in them, each asked under a deadline: its
//! shard, the router that owns its partition, and that one's conn-nodes.

use crate::router::Router;
use async_trait::async_trait;
use shardline_domain::id::{ChatId, EntityId};
use shardline_domain::rendezvous;
use shardline_domain::slot::Slot;
use shardline_wire::call::{Answer, Outcome, RouterAccept, RouterAsk};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Call, EntityRef, ExplainAnswer, ExplainMessage, ExplainRequest, GetUsers, MessageExplained,
    NamedUser, RecallRequest, RouterRecalled,
};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const SHARD_TIME_MAX: Duration = Duration::from_secs(4);
const NAMES_TIME_MAX: Duration = Duration::from_secs(1);

/// What tells the stages of a message.
#[async_trait]
pub trait Explain: Send + Sync {
    /// As `AdminApi::explain`.
    async fn explain(&self, request: ExplainRequest) -> Result<ExplainAnswer, Refusal>;
}

/// By this process's router.
pub struct Explainer {
    router: Arc<Router>,
    others: Arc<dyn RouterAsk>,
}

impl Explainer {
    pub fn new(router: Arc<Router>, others: Arc<dyn RouterAsk>) -> Explainer {
        Explainer { router, others }
    }

    async fn stored(&self, chat: ChatId, seq: u64) -> Result<MessageExplained, Refusal> {
        let op = Op::ExplainMessage(ExplainMessage { seq });
        match self.route(chat.get(), op, SHARD_TIME_MAX).await? {
            Answer::MessageExplained(explained) => Ok(explained),
            _ => Err(Refusal::internal("a shard gave another kind of answer")),
        }
    }

    async fn route(&self, entity: u64, op: Op, limit: Duration) -> Outcome {
        let call = Call { entity, epoch: 0, op: Some(op) };
        let late = |_| Err(Refusal::new(Code::Unavailable, "its shard did not answer in time"));
        timeout(limit, self.router.route(call)).await.unwrap_or_else(late)
    }

    /// By the router that owns the partition.
    async fn recalled(
        &self,
        partition: u32,
        event: RecallRequest,
    ) -> Result<RouterRecalled, Refusal> {
        let routers = self.router.list().routers;
        let ids: Vec<&str> = routers.iter().map(|router| router.id.as_str()).collect();
        let none = || Refusal::new(Code::Unavailable, "no router owns the partition");
        let owner = &routers[rendezvous::owner(partition, &ids).ok_or_else(none)?];
        if owner.id == self.router.id() {
            return Ok(self.router.recall(event).await);
        }
        let recalled = self.others.recall(&owner.address, event).await;
        recalled.map_err(|refusal| {
            let message = format!("{} did not answer: {}", owner.id, refusal.message);
            Refusal { message, ..refusal }
        })
    }

    async fn names(&self, explained: &MessageExplained) -> Vec<NamedUser> {
        let users = [explained.sender].into_iter().chain(explained.read_by.iter().copied());
        let mut users: Vec<u64> = users.collect();
        users.sort_unstable();
        users.dedup();
        let entities = users.into_iter().map(|entity| EntityRef { entity, epoch: 0 }).collect();
        let op = Op::GetUsers(GetUsers { entities });
        match self.route(0, op, NAMES_TIME_MAX).await {
            Ok(Answer::Users(page)) => {
                let named = |user: shardline_wire::client::User| NamedUser {
                    user: user.user,
                    name: user.name,
                };
                page.users.into_iter().map(named).collect()
            }
            // Ids will do.
            _ => Vec::new(),
        }
    }
}

#[async_trait]
impl Explain for Explainer {
    async fn explain(&self, request: ExplainRequest) -> Result<ExplainAnswer, Refusal> {
        let wrong = |field, message: String| Refusal::of_field(Code::BadRequest, field, message);
        let chat = ChatId::new(request.chat).map_err(|error| wrong("chat", error.to_string()))?;
        if request.seq == 0 {
            return Err(wrong("seq", "messages are numbered from 1".to_owned()));
        }
        let message = self.stored(chat, request.seq).await?;
        let partition = Slot::of(EntityId::from(chat)).partition(self.router.routers.partitions());
        let event = RecallRequest { entity: chat.get(), ver: message.ver };
        let (recalled, names) = tokio::join!(self.recalled(partition, event), self.names(&message));
        let (router, router_silent) = match recalled {
            Ok(recalled) => (Some(recalled), String::new()),
            Err(refusal) => (None, refusal.message),
        };
        Ok(ExplainAnswer { message: Some(message), partition, router, router_silent, names })
    }
}
