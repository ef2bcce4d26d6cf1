//! The router on its real streams: a conn-node that does not read, a shard-node that does not answer.

use crate::fixture::{World, chat_in, event, send};
use shardline_router::router::Router;
use shardline_wire::call::{RouterConnect, Shard, ShardConnect};
use shardline_wire::internal::router_service_client::RouterServiceClient;
use shardline_wire::internal::{
    Call, Event, FromRouter, GetHistory, NodeHello, RouterInfo, ToRouter, call::Op,
};
use shardline_wire::link::{RouterLinks, RouterServer, ShardLinks, ShardServer, Trust};
use shardline_wire::refusal::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

const CHAT: u64 = 77;
const LIMIT: Duration = Duration::from_secs(20);
const PAYLOAD: usize = 32 * 1024;
/// More than the queue, the batches under way and the network hold.
const EVENTS: u64 = 1_500;

fn trust() -> Trust {
    Trust::parse("s", None).expect("plain text")
}

async fn listen() -> (TcpListenerStream, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    (TcpListenerStream::new(listener), address)
}

#[expect(clippy::disallowed_methods, reason = "a test's servers end with its runtime")]
fn spawn(server: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(server);
}

async fn serve_router(router: Arc<Router>) -> String {
    let (incoming, address) = listen().await;
    let service = RouterServer::service(router, &trust(), CancellationToken::new());
    let mut server = trust().server().expect("no certificates");
    spawn(async move {
        let served = server.add_service(service).serve_with_incoming(incoming).await;
        served.expect("it serves until the runtime ends");
    });
    address
}

async fn serve_shard(shard: Arc<dyn Shard>) -> String {
    let (incoming, address) = listen().await;
    let service = ShardServer::service(shard, &trust(), CancellationToken::new());
    let mut server = trust().server().expect("no certificates");
    spawn(async move {
        let served = server.add_service(service).serve_with_incoming(incoming).await;
        served.expect("it serves until the runtime ends");
    });
    address
}

/// A conn-node's stream that is read only when the test says so.
async fn open_unread(address: &str) -> Streaming<FromRouter> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = RouterServiceClient::new(endpoint.connect().await.expect("it listens"));
    let hello = NodeHello { node: "stuck".to_owned(), boot: 8 };
    let (batches, outgoing) = tokio::sync::mpsc::channel(1);
    let hello = ToRouter { hello: Some(hello), requests: Vec::new() };
    batches.send(hello).await.expect("there is room");
    let mut request = Request::new(ReceiverStream::new(outgoing));
    trust().put_on(&mut request);
    let streaming = client.link(request).await.expect("a stream").into_inner();
    // The stream ends with its outgoing half.
    spawn(async move {
        let _kept = (batches, client);
        std::future::pending::<()>().await;
    });
    streaming
}

fn large(ver: u64) -> Event {
    Event { payload: vec![7; PAYLOAD].into(), ..event(CHAT, ver, &[1]) }
}

async fn next(stream: &mut Streaming<FromRouter>) -> FromRouter {
    let batch = tokio::time::timeout(LIMIT, stream.message()).await.expect("in time");
    batch.expect("no error").expect("not the end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_conn_node_hears_behind_before_what_comes_after_the_gap() {
    let world = World::new();
    let router = world.start("a").await;
    let address = serve_router(router.clone()).await;
    let mut stuck = open_unread(&address).await;
    let first = next(&mut stuck).await;
    assert!(first.behind, "the first it hears");

    let sink = Arc::new(crate::fixture::TestNode::default());
    let info = RouterInfo { id: "a".to_owned(), address };
    let hello = NodeHello { node: "free".to_owned(), boot: 7 };
    let _free = RouterLinks::new(trust()).open(&info, hello, sink.clone());
    crate::fixture::until("it has a stream", || sink.has_heard("behind")).await;
    // A first one, which shows that the router consumes.
    while !sink.has_heard("event 1") {
        world.publish(&[large(1)]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for ver in 2..=EVENTS {
        world.publish(&[large(ver)]).await;
        // The bus in memory keeps 2 MiB: the gap must be the queue's, not the bus's.
        if ver % 16 == 0 || ver == EVENTS {
            let word = format!("event {ver}");
            crate::fixture::until("who reads gets it", || sink.has_heard(&word)).await;
        }
    }
    let all = (2..=EVENTS).map(|ver| format!("event {ver}"));
    assert!(sink.events().into_iter().filter(|word| word != "event 1").eq(all));

    // It reads again; what it lost lies between two vers, and `behind` came in between.
    let (mut newest, mut is_told, mut gaps, mut after) = (0, true, 0, EVENTS);
    while after < EVENTS + 20 || gaps == 0 {
        let batch = next(&mut stuck).await;
        // It counts for its whole batch: it may have been meant for after the batch's events.
        let is_told_before = is_told;
        is_told = batch.behind || (is_told_before && batch.events.is_empty());
        for event in batch.events {
            if newest + 1 < event.ver {
                let is_told = is_told_before || batch.behind;
                assert!(is_told, "from {newest} to {} without a word", event.ver);
                gaps += 1;
            }
            newest = newest.max(event.ver);
        }
        after += 1;
        world.publish(&[Event { payload: Vec::new().into(), ..large(after) }]).await;
    }
    assert!(gaps > 0, "it lost nothing: the queue has no bound");
    world.stop().await;
}

/// Opens links to one shard-node, whatever address the catalog says.
struct To(ShardLinks, String);

impl ShardConnect for To {
    fn open(&self, _: &str) -> Arc<dyn Shard> {
        self.0.open(&self.1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_node_that_never_answers_is_answered_for() {
    let world = World::new();
    let shard = world.shards.at("one");
    let address = serve_shard(shard.clone()).await;
    let links = ShardLinks::new(trust()).answering_within(Duration::from_millis(400));
    let router = world.begin("a", Arc::new(To(links, address)), world.presence.clone());
    crate::fixture::until("the router is ready", || world.health.is_ready()).await;
    let node = world.node(&router, "n").await;
    let chat = chat_in(0, 1);
    while node.ask(send(chat, 1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    shard.hold();
    let code = |outcome: shardline_wire::call::Outcome| outcome.map_err(|refusal| refusal.code());
    assert_eq!(code(node.ask(send(chat, 2)).await), Err(Code::Unknown));
    let op = Some(Op::GetHistory(GetHistory::default()));
    let read = shardline_wire::call::NodeOp::Call(Call { entity: chat, op, ..Call::default() });
    assert_eq!(code(node.ask(read).await), Err(Code::TryAgain));
    // The late answers are nobody's, and the slot's gate is not held by them.
    shard.answer_all();
    for number in 3..20 {
        assert!(node.ask(send(chat, number)).await.is_ok());
    }
    world.stop().await;
}
