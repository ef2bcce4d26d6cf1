//! Both streams over real sockets: order, batches, broken connections, the secret.

#![expect(clippy::disallowed_methods, reason = "a test's servers end with its runtime")]

use shardline_wire::call::{
    Done, Full, NodeOp, NodeSink, Outcome, Push, Router, RouterAccept, RouterConnect, Shard,
    ShardConnect, wait,
};
use shardline_wire::internal::{
    Call, Changed, Event, NodeHello, Registered, RouterInfo, RouterList, reply::Answer,
};
use shardline_wire::link::{self, RouterLinks, RouterServer, Secret, ShardLinks, ShardServer};
use shardline_wire::refusal::{Code, Refusal};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(5);

/// Answers each call with its entity as seq and its turn as ver; keeps entity 13 waiting for ever.
#[derive(Default)]
struct Echo {
    turn: Mutex<u64>,
    kept: Mutex<Vec<Done>>,
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

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("plain text")
}

async fn serve_shard(listen: SocketAddr) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind(listen).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let service = ShardServer::service(Arc::new(Echo::default()), &secret("s"), stop.clone());
    let end = stop.clone();
    tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let served = link::server()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, end.cancelled_owned());
        served.await.expect("serves until stopped");
    });
    (address, stop)
}

async fn call(shard: &dyn Shard, entity: u64) -> Outcome {
    let (done, outcome) = Done::channel();
    shard.submit(Call { entity, ..Call::default() }, done);
    wait(outcome, LIMIT).await
}

async fn connected(shard: &dyn Shard) {
    for _ in 0..500 {
        if call(shard, 1).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no connection");
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_carried_out_in_the_order_submitted() {
    let (address, _stop) = serve_shard(any_port()).await;
    let shard = ShardLinks::new(secret("s")).open(&address.to_string());
    connected(shard.as_ref()).await;
    let outcomes: Vec<_> = (100..2_100)
        .map(|entity| {
            let (done, outcome) = Done::channel();
            shard.submit(Call { entity, ..Call::default() }, done);
            outcome
        })
        .collect();
    let mut turns = Vec::new();
    for (entity, outcome) in (100..).zip(outcomes) {
        match wait(outcome, LIMIT).await {
            Ok(Answer::Changed(changed)) if changed.seq == entity => turns.push(changed.ver),
            other => panic!("{other:?}"),
        }
    }
    assert!(turns.is_sorted_by(|a, b| a < b));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_when_the_stream_broke_is_unknown_and_the_stream_comes_back() {
    let (address, stop) = serve_shard(any_port()).await;
    let shard = ShardLinks::new(secret("s")).open(&address.to_string());
    connected(shard.as_ref()).await;
    let (done, outcome) = Done::channel();
    shard.submit(Call { entity: 13, ..Call::default() }, done);
    stop.cancel();
    let broken = wait(outcome, LIMIT).await.map_err(|refusal| refusal.code());
    assert_eq!(broken, Err(Code::Unknown));
    let (_, _stop) = serve_shard(address).await;
    connected(shard.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_gets_no_stream() {
    let (address, _stop) = serve_shard(any_port()).await;
    let stranger = ShardLinks::new(secret("another")).open(&address.to_string());
    let friend = ShardLinks::new(secret("s")).open(&address.to_string());
    connected(friend.as_ref()).await;
    let refused = call(stranger.as_ref(), 1).await.map_err(|refusal| refusal.code());
    assert_eq!(refused, Err(Code::TryAgain));
}

/// Registers whatever asks; keeps the sink so that the test can push.
#[derive(Default)]
struct Registrar {
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

impl RouterAccept for Registrar {
    fn accept(&self, hello: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<dyn Router> {
        assert_eq!(hello.node, "conn-1");
        self.sinks.lock().expect("no panic holds it").push(sink);
        Arc::new(Registering)
    }
}

/// Tells what was pushed, as text.
struct Told(tokio::sync::mpsc::Sender<String>);

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
        };
        self.0.try_send(text).map_err(|_| Full)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_answers_and_pushes_on_one_stream() {
    let listener = TcpListener::bind(any_port()).await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let registrar = Arc::new(Registrar::default());
    let service = RouterServer::service(registrar.clone(), &secret("s"), CancellationToken::new());
    tokio::spawn(
        link::server().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let (told, mut pushes) = tokio::sync::mpsc::channel(16);
    let router = RouterLinks::new(secret("s")).open(
        &RouterInfo { id: "router-1".to_owned(), address },
        NodeHello { node: "conn-1".to_owned(), boot: 7 },
        Arc::new(Told(told)),
    );
    let sink = loop {
        if let Some(sink) = registrar.sinks.lock().expect("no panic holds it").pop() {
            break sink;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // The router has the stream a moment before the node knows that it stands.
    while !router.is_connected() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (done, outcome) = Done::channel();
    router.submit(NodeOp::Presence(Default::default()), done);
    assert_eq!(wait(outcome, LIMIT).await, Ok(Answer::Registered(Registered {})));

    let event = |ver| Event { ver, ..Event::default() };
    assert_eq!(sink.push(Push::Behind), Ok(()));
    assert_eq!(pushes.recv().await.as_deref(), Some("behind"));
    assert_eq!(sink.push(Push::Routers(RouterList { number: 3, ..Default::default() })), Ok(()));
    assert_eq!(pushes.recv().await.as_deref(), Some("routers 3"));
    assert_eq!(sink.push(Push::Events(vec![event(1), event(2)])), Ok(()));
    assert_eq!(pushes.recv().await.as_deref(), Some("events 1,2"));
}

#[tokio::test]
async fn a_done_that_is_dropped_reports_unknown() {
    let (done, outcome) = Done::channel();
    drop(done);
    let unknown: Result<(), Refusal> = wait(outcome, LIMIT).await.map(|_| ());
    assert_eq!(unknown.map_err(|refusal| refusal.code()), Err(Code::Unknown));
}
