//! An operator's questions: which shards there are, who has which slot, where something is, what runs.

use crate::catalog::CatalogStore;
use crate::catalog_service::{Route, lane_position, not_placed, refusal, slot_entry};
use crate::coordinator::Coordinator;
use crate::explain::Explain;
use crate::router::Router;
use async_trait::async_trait;
use shardline_domain::id::{EntityId, NameId, PROBES, ShardId, UserId};
use shardline_domain::rendezvous;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::admin::AdminApi;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::reply::Answer;
use shardline_wire::internal::{
    Call, ExplainAnswer, ExplainRequest, ListNodesAnswer, ListNodesRequest, ListShardsAnswer,
    ListShardsRequest, ListSlotsAnswer, ListSlotsRequest, LookupName, NodeInfo, ShardInfo,
    WhereAnswer, WhereRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Admin {
    catalog: Arc<dyn CatalogStore>,
    route: Arc<dyn Route>,
    coordinator: Arc<Coordinator>,
    conn_nodes: Arc<dyn ConnNodes>,
    explain: Arc<dyn Explain>,
    partitions: Partitions,
}

/// What a router knows of conn-nodes: those with a stream to it.
pub trait ConnNodes: Send + Sync {
    fn names(&self) -> Vec<String>;
}

impl ConnNodes for Router {
    fn names(&self) -> Vec<String> {
        self.conn_nodes()
    }
}

impl Admin {
    /// `route` and `conn_nodes` are this process's router.
    pub fn new(
        catalog: Arc<dyn CatalogStore>,
        route: Arc<dyn Route>,
        conn_nodes: Arc<dyn ConnNodes>,
        explain: Arc<dyn Explain>,
        coordinator: Arc<Coordinator>,
        partitions: Partitions,
    ) -> Admin {
        Admin { catalog, route, coordinator, conn_nodes, explain, partitions }
    }

    /// Whose name this is. A name is at the first probe of its hash that no other name had taken.
    async fn user_of(&self, name: &str) -> Result<EntityId, Refusal> {
        let nobody = || Refusal::new(Code::NotFound, format!("there is no user @{name}"));
        for probe in 0..PROBES {
            let op = Op::LookupName(LookupName { name: name.to_owned() });
            let entity = NameId::of_name(name, probe).get();
            match self.route.route(Call { entity, epoch: 0, op: Some(op) }).await {
                Ok(Answer::Name(view)) => {
                    let user = UserId::new(view.user);
                    return user.map(Into::into).map_err(|_| Refusal::internal("a name of nobody"));
                }
                Ok(_) => return Err(Refusal::internal("a shard gave another kind of answer")),
                Err(refusal) if refusal.code() == Code::IdClash => {}
                Err(refusal) if refusal.code() == Code::NotFound => return Err(nobody()),
                Err(refusal) => return Err(refusal),
            }
        }
        Err(nobody())
    }
}

#[async_trait]
impl AdminApi for Admin {
    async fn list_shards(&self, _: ListShardsRequest) -> Result<ListShardsAnswer, Refusal> {
        let rows = self.catalog.shards().await.map_err(refusal)?;
        let slots = self.catalog.slots_since(0).await.map_err(refusal)?.slots;
        let mut counts: BTreeMap<ShardId, u32> = BTreeMap::new();
        for slot in slots {
            *counts.entry(slot.shard).or_default() += 1;
        }
        let mut shards = Vec::with_capacity(rows.len());
        for row in rows {
            let lanes = self.catalog.lane_positions(row.shard).await.map_err(refusal)?;
            let lanes = lanes.into_iter().map(lane_position);
            shards.push(ShardInfo {
                shard: row.shard.0,
                weight: row.weight,
                state: row.state.name().to_owned(),
                slots: counts.get(&row.shard).copied().unwrap_or(0),
                writer_term: row.writer_term,
                // Whose lease is over no longer is the writer.
                writer: if row.writer_alive { row.writer } else { String::new() },
                address: row.address,
                reported_ms_ago: row.reported_ms_ago,
                lanes: lanes.collect(),
                durability: row.durability,
            });
        }
        Ok(ListShardsAnswer { shards })
    }

    async fn list_slots(&self, request: ListSlotsRequest) -> Result<ListSlotsAnswer, Refusal> {
        let mut rows = self.catalog.slots_since(0).await.map_err(refusal)?.slots;
        if let Some(wanted) = request.shard {
            let shards = self.catalog.shards().await.map_err(refusal)?;
            if !shards.iter().any(|row| row.shard.0 == wanted) {
                let message = format!("there is no shard {wanted}");
                return Err(Refusal::of_field(Code::NotFound, "shard", message));
            }
            rows.retain(|row| row.shard.0 == wanted);
        }
        rows.sort_by_key(|row| row.slot);
        Ok(ListSlotsAnswer { slots: rows.into_iter().map(slot_entry).collect() })
    }

    async fn where_is(&self, request: WhereRequest) -> Result<WhereAnswer, Refusal> {
        let entity = match request.name.as_str() {
            "" => EntityId::new(request.entity).map_err(|error| {
                Refusal::of_field(Code::BadRequest, "entity", error.to_string())
            })?,
            name => self.user_of(name).await?,
        };
        let slot = Slot::of(entity);
        let held = self.catalog.locate_slot(slot).await.map_err(refusal)?;
        let row = held.ok_or_else(not_placed)?.row;
        let shards = self.catalog.shards().await.map_err(refusal)?;
        let writer = shards.into_iter().find(|other| other.shard == row.shard);
        let partition = slot.partition(self.partitions);
        let list = self.catalog.routers().await.map_err(refusal)?;
        let ids: Vec<&str> = list.routers.iter().map(|router| router.id.as_str()).collect();
        let router = rendezvous::owner(partition, &ids).map(|index| ids[index].to_owned());
        Ok(WhereAnswer {
            entity: entity.get(),
            slot: slot.get().into(),
            shard: row.shard.0,
            epoch: row.epoch.0,
            partition,
            router: router.unwrap_or_default(),
            shard_address: writer.map(|row| row.address).unwrap_or_default(),
        })
    }

    async fn list_nodes(&self, _: ListNodesRequest) -> Result<ListNodesAnswer, Refusal> {
        let mut nodes = Vec::new();
        let leads = self.coordinator.leadership();
        for router in self.catalog.routers().await.map_err(refusal)?.routers {
            let term = leads
                .as_ref()
                .filter(|leads| leads.holder.split('/').next() == Some(router.id.as_str()))
                .map(|leads| format!("coordinator, term {}", leads.term));
            nodes.push(NodeInfo {
                kind: "router".to_owned(),
                id: router.id,
                address: router.address,
                detail: term.unwrap_or_default(),
            });
        }
        for row in self.catalog.shards().await.map_err(refusal)? {
            if row.writer.is_empty() {
                continue;
            }
            let lease = if row.writer_alive { "" } else { ", its lease is over" };
            nodes.push(NodeInfo {
                kind: "shard-node".to_owned(),
                id: row.writer,
                address: row.address,
                detail: format!("shard {}, term {}{lease}", row.shard, row.writer_term),
            });
        }
        for id in self.conn_nodes.names() {
            nodes.push(NodeInfo { kind: "conn-node".to_owned(), id, ..NodeInfo::default() });
        }
        Ok(ListNodesAnswer { nodes })
    }

    async fn explain(&self, request: ExplainRequest) -> Result<ExplainAnswer, Refusal> {
        self.explain.explain(request).await
    }
}
