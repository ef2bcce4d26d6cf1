//! A shard that echoes, a router that registers, and their servers.

use async_trait::async_trait;
use shardline_wire::call::{
    Done, Full, NodeOp, NodeSink, Outcome, Push, Router, RouterAccept, Shard, wait,
};
use shardline_wire::internal::{
    Call, Changed, NodeHello, RecallRequest, Registered, RouterRecalled, reply::Answer,
};
use shardline_wire::link::{RouterServer, Secret, ShardServer, Trust};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Answers each call with its entity as seq and its turn as ver; keeps entity 13 waiting for ever.
#[derive(Default)]
pub(crate) struct Echo {
    turn: Mutex<u64>,
    pub(crate) kept: Mutex<Vec<Done>>,
}

impl Shard for Echo {
    fn submit(&self, call: Call, done: Done) {
        let mut turn = self.turn.lock().expect("no panic holds it");
        *turn += 1;
        if call.entity == 13 {
            return self.kept.lock().expect("no panic holds it").push(done);
        }
        let answer = Changed { seq: call.entity, ver: *turn, log: 0 };
        done.finish(Ok(Answer::Changed(answer)));
    }
}

/// On loopback: without certificates.
pub(crate) fn trust(secret: &str) -> Trust {
    Trust::new(Secret::new(secret).expect("plain text"), None)
}

pub(crate) async fn serve_shard(listen: SocketAddr) -> (SocketAddr, CancellationToken) {
    serve(listen, Arc::new(Echo::default()), trust("s")).await
}

pub(crate) async fn serve(
    listen: SocketAddr,
    shard: Arc<dyn Shard>,
    trust: Trust,
) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind(listen).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let service = ShardServer::service(shard, &trust, stop.clone());
    let end = stop.clone();
    tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let served = trust
            .server()
            .expect("the certificates were parsed")
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, end.cancelled_owned());
        served.await.expect("serves until stopped");
    });
    (address, stop)
}

pub(crate) async fn call(shard: &dyn Shard, entity: u64) -> Outcome {
    let (done, outcome) = Done::channel();
    shard.submit(Call { entity, ..Call::default() }, done);
    wait(outcome, LIMIT).await
}

pub(crate) async fn connected(shard: &dyn Shard) {
    for _ in 0..500 {
        if call(shard, 1).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no connection");
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Registers whatever asks; keeps the sink so that the test can push.
#[derive(Default)]
pub(crate) struct Registrar {
    sinks: Mutex<Vec<Arc<dyn NodeSink>>>,
}

struct Registering;

impl Router for Registering {
    fn submit(&self, _op: NodeOp, done: Done) {
        done.finish(Ok(Answer::Registered(Registered {})));
    }

    fn is_connected(&self) -> bool {
        true
    }
}

#[async_trait]
impl RouterAccept for Registrar {
    fn accept(&self, hello: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<dyn Router> {
        assert_eq!(hello.node, "conn-1");
        self.sinks.lock().expect("no panic holds it").push(sink);
        Arc::new(Registering)
    }

    async fn recall(&self, event: RecallRequest) -> RouterRecalled {
        let router = format!("asked of {} at {}", event.entity, event.ver);
        RouterRecalled { router, ..RouterRecalled::default() }
    }
}

/// Tells what was pushed, as text.
pub(crate) struct Told(pub(crate) tokio::sync::mpsc::Sender<String>);

impl NodeSink for Told {
    fn push(&self, push: Push) -> Result<(), Full> {
        let text = match push {
            Push::Events(events) => {
                let vers: Vec<_> = events.iter().map(|event| event.ver.to_string()).collect();
                format!("events {}", vers.join(","))
            }
            Push::Signals(_) => "signals".to_owned(),
            Push::Behind => "behind".to_owned(),
            Push::Routers(list) => format!("routers {}", list.number),
            Push::Recall(recall) => format!("recall {}", recall.number),
        };
        self.0.try_send(text).map_err(|_| Full)
    }
}

/// A router's server that ends with the runtime, and its address.
pub(crate) async fn serve_router(registrar: Arc<Registrar>) -> String {
    let listener = TcpListener::bind(any_port()).await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let service = RouterServer::service(registrar, &trust("s"), CancellationToken::new());
    tokio::spawn(
        trust("s")
            .server()
            .expect("no certificates")
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    address
}

impl Registrar {
    /// Where to push to the stream that was opened last.
    pub(crate) async fn sink(&self) -> Arc<dyn NodeSink> {
        loop {
            if let Some(sink) = self.sinks.lock().expect("no panic holds it").pop() {
                return sink;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
