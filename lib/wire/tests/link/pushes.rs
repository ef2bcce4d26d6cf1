//! What a router says to conn-nodes, also to one that does not listen.

use crate::fixture::{LIMIT, Registrar, Told, serve_router, trust};
use shardline_domain::limits::PUSH_QUEUE_BYTES_MAX;
use shardline_wire::call::{Done, Full, NodeOp, Push, RouterAsk, RouterConnect, wait};
use shardline_wire::internal::router_service_client::RouterServiceClient;
use shardline_wire::internal::{
    Event, FromRouter, NodeHello, Recall, RecallRequest, Registered, RouterInfo, RouterList,
    ToRouter, reply::Answer,
};
use shardline_wire::link::RouterLinks;
use shardline_wire::refusal::Code;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

/// Events in one push.
const PUSHED: usize = 16;
const PAYLOAD: usize = 4 * 1024;
/// What the network and the batches under way hold besides the queue.
const NETWORK_BYTES_MAX: usize = 24 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_answers_and_pushes_on_one_stream() {
    let registrar = Arc::new(Registrar::default());
    let address = serve_router(registrar.clone()).await;
    let (told, mut pushes) = tokio::sync::mpsc::channel(16);
    let router = RouterLinks::new(trust("s")).open(
        &RouterInfo { id: "router-1".to_owned(), address },
        NodeHello { node: "conn-1".to_owned(), boot: 7 },
        Arc::new(Told(told)),
    );
    let sink = registrar.sink().await;
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
    let event = Some(RecallRequest { entity: 7, ver: 2 });
    assert_eq!(sink.push(Push::Recall(Recall { number: 4, event })), Ok(()));
    assert_eq!(pushes.recv().await.as_deref(), Some("recall 4"));
}

#[tokio::test]
async fn a_router_is_asked_what_it_remembers_and_one_that_is_gone_is_told_so() {
    let address = serve_router(Arc::new(Registrar::default())).await;
    let event = RecallRequest { entity: 7, ver: 9 };
    let recalled = RouterLinks::new(trust("s")).recall(&address, event).await;
    assert_eq!(recalled.map(|recalled| recalled.router).as_deref(), Ok("asked of 7 at 9"));
    for (secret, address) in
        [("other", address.as_str()), ("s", "127.0.0.1:1"), ("s", "no address")]
    {
        let refused = RouterLinks::new(trust(secret)).recall(address, event).await;
        assert_eq!(refused.expect_err(address).code(), Code::Unavailable);
    }
}

/// A conn-node's stream that is read only when the test says so.
async fn open_unread(address: &str) -> Streaming<FromRouter> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = RouterServiceClient::new(endpoint.connect().await.expect("it listens"));
    let hello = NodeHello { node: "conn-1".to_owned(), boot: 8 };
    let hello = ToRouter { hello: Some(hello), requests: Vec::new() };
    let (batches, outgoing) = tokio::sync::mpsc::channel(1);
    batches.send(hello).await.expect("there is room");
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(outgoing));
    request.metadata_mut().insert("authorization", "Bearer s".parse().expect("plain text"));
    let streaming = client.link(request).await.expect("a stream").into_inner();
    // The stream ends with its outgoing half.
    tokio::spawn(async move {
        let _kept = (batches, client);
        std::future::pending::<()>().await;
    });
    streaming
}

fn events(first: u64) -> Push {
    let event = |ver| Event { ver, payload: vec![7; PAYLOAD].into(), ..Event::default() };
    Push::Events((first..).take(PUSHED).map(event).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_conn_node_costs_bounded_memory_and_stops_nobody() {
    let registrar = Arc::new(Registrar::default());
    let address = serve_router(registrar.clone()).await;
    let mut stuck = open_unread(&address).await;
    let stuck_sink = registrar.sink().await;
    let (told, mut pushes) = tokio::sync::mpsc::channel(16);
    let _free = RouterLinks::new(trust("s")).open(
        &RouterInfo { id: "router-1".to_owned(), address },
        NodeHello { node: "conn-1".to_owned(), boot: 7 },
        Arc::new(Told(told)),
    );
    let free_sink = registrar.sink().await;

    let mut taken = 0;
    let mut refused_in_a_row = 0;
    let mut first = 1;
    // Full for good, not only until the network took some.
    while refused_in_a_row < 50 {
        match stuck_sink.push(events(first)) {
            Ok(()) => {
                (taken, refused_in_a_row) = (taken + PUSHED * PAYLOAD, 0);
                first += PUSHED as u64;
            }
            Err(Full) => {
                refused_in_a_row += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        assert!(taken < PUSH_QUEUE_BYTES_MAX + NETWORK_BYTES_MAX, "{taken} bytes are kept");
    }
    assert!(PUSH_QUEUE_BYTES_MAX / 2 < taken, "{taken} bytes were all it took");

    assert_eq!(free_sink.push(Push::Events(vec![Event { ver: 5, ..Event::default() }])), Ok(()));
    let heard = tokio::time::timeout(LIMIT, pushes.recv()).await.expect("nobody waits for it");
    assert_eq!(heard.as_deref(), Some("events 5"));

    // It reads again: all that was taken comes, in order, and there is room for `Behind`.
    let mut next = 1;
    while next < first {
        let batch = tokio::time::timeout(LIMIT, stuck.message()).await.expect("in time");
        for event in batch.expect("no error").expect("not the end").events {
            assert_eq!((event.ver, event.payload.len()), (next, PAYLOAD));
            next += 1;
        }
    }
    assert_eq!(stuck_sink.push(Push::Behind), Ok(()));
    let batch = tokio::time::timeout(LIMIT, stuck.message()).await.expect("in time");
    assert!(batch.expect("no error").expect("not the end").behind);
}
