//! What a router process consists of, put together.

use crate::admin::Admin;
use crate::catalog::WholeCatalog;
use crate::catalog_service::CatalogService;
use crate::checks::Checker;
use crate::coordinator::{Coordinator, Reach};
use crate::explain::Explainer;
use crate::operations::Operations;
use crate::router::{Identity, Outside, Router};
use crate::server::{self, ForOperators, Services};
use shardline_backends::bus::Bus;
use shardline_backends::presence::Presence;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::placement::Share;
use shardline_domain::slot::Partitions;
use shardline_wire::link::{InspectLinks, MoveLinks, RouterLinks, Secret, ShardLinks, Trust};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// What it stands on, and who it is.
pub struct Parts {
    pub identity: Identity,
    pub partitions: Partitions,
    /// What an empty catalog begins with.
    pub initial_shards: Vec<Share>,
    pub catalog: Arc<dyn WholeCatalog>,
    pub bus: Arc<dyn Bus>,
    pub presence: Arc<dyn Presence>,
    pub trust: Trust,
    /// By which operators are known.
    pub admin_secret: Secret,
}

impl Parts {
    /// Serves connections as they come in, until the lifecycle stops.
    pub fn start<C>(
        self,
        incoming: impl Stream<Item = io::Result<C>> + Send + 'static,
        lifecycle: &Lifecycle,
        health: &Health,
    ) where
        C: AsyncRead
            + AsyncWrite
            + Connected<ConnectInfo: Clone + Send + Sync>
            + Unpin
            + Send
            + 'static,
    {
        let Parts { identity, partitions, catalog, trust, .. } = self;
        let outside = Outside {
            catalog: catalog.clone(),
            shards: Arc::new(ShardLinks::new(trust.clone())),
            bus: self.bus,
            presence: self.presence,
        };
        let router = Router::start(identity.clone(), partitions, outside, lifecycle, health);
        let reach = Reach {
            moves: Arc::new(MoveLinks::new(trust.clone())),
            map: router.map.clone(),
            partitions,
        };
        let coordinator = Arc::new(Coordinator::new(
            catalog.clone(),
            reach.clone(),
            &identity.id,
            rand::random(),
            self.initial_shards,
        ));
        lifecycle.run("coordinator", coordinator.clone().run(lifecycle.token()));

        let catalog_service = Arc::new(CatalogService::new(catalog.clone(), router.clone()));
        let inspect = Arc::new(InspectLinks::new(trust.clone()));
        let checks = Checker::new(catalog.clone(), reach.clone(), router.clone(), inspect);
        let operations = Operations::new(catalog.clone(), reach, coordinator.clone());
        let others = Arc::new(RouterLinks::new(trust.clone()));
        let admin = Admin::new(
            catalog,
            router.clone(),
            router.clone(),
            Arc::new(Explainer::new(router.clone(), others)),
            coordinator,
            partitions,
        );
        let stopped = router.stopped();
        let services = Services {
            router,
            catalog: catalog_service,
            operators: ForOperators {
                admin: Arc::new(admin),
                operations: Arc::new(operations),
                checks: Arc::new(checks),
                secret: self.admin_secret,
            },
            trust,
        };
        let failing = lifecycle.clone();
        lifecycle.run("server", async move {
            if let Err(error) = server::serve(incoming, services, stopped).await {
                failing.fail(format!("the server ended: {error}"));
            }
        });
    }
}
