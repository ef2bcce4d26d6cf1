//! Questions to the catalog: a router that hangs keeps nobody from the others.

use crate::fixture::{any_port, trust};
use async_trait::async_trait;
use shardline_wire::call::{Catalog, Outcome};
use shardline_wire::internal::{
    Call, ShardReport, ShardReportAnswer, SlotEntry, WriterLease, WriterRequest,
};
use shardline_wire::link::{CatalogClient, CatalogServer};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

/// A writer gives up a renewal after this.
const WRITERS_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Granting {
    term: AtomicU64,
}

#[async_trait]
impl Catalog for Granting {
    async fn acquire_writer(&self, request: WriterRequest) -> Result<WriterLease, Refusal> {
        let term = match request.term {
            0 => self.term.fetch_add(1, Ordering::SeqCst) + 1,
            term => term,
        };
        Ok(WriterLease { granted: true, term, ..WriterLease::default() })
    }

    async fn owned_slots(&self, _: u32) -> Result<Vec<SlotEntry>, Refusal> {
        Ok(Vec::new())
    }

    async fn locate_slot(&self, slot: u32) -> Result<SlotEntry, Refusal> {
        Ok(SlotEntry { slot, ..SlotEntry::default() })
    }

    async fn report(&self, _: ShardReport) -> Result<ShardReportAnswer, Refusal> {
        Ok(ShardReportAnswer { current: true })
    }

    async fn route(&self, _: Call) -> Outcome {
        Err(Refusal::internal("nothing is routed here"))
    }
}

async fn serve(catalog: Arc<dyn Catalog>) -> String {
    let listener = TcpListener::bind(any_port()).await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let service = CatalogServer::service(catalog, &trust("s"));
    tokio::spawn(
        trust("s")
            .server()
            .expect("no certificates")
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    address
}

/// As a stopped process: the system takes connections for it, and nothing comes of them.
async fn hanging() -> (String, TcpListener) {
    let listener = TcpListener::bind(any_port()).await.expect("a free port");
    (listener.local_addr().expect("bound").to_string(), listener)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_hangs_costs_no_lease() {
    let (silent, _listener) = hanging().await;
    let catalog = Arc::new(Granting::default());
    let client = CatalogClient::new(&[silent, serve(catalog.clone()).await], trust("s"));
    let client = client.expect("addresses");
    let ask = async |term| {
        let request = WriterRequest { shard: 1, term, ..WriterRequest::default() };
        timeout(WRITERS_PATIENCE, client.acquire_writer(request)).await.expect("in time")
    };
    assert_eq!(ask(0).await.expect("a grant").term, 1);
    assert_eq!(catalog.term.load(Ordering::SeqCst), 1, "asked once");
    assert!(ask(1).await.expect("an answer").granted);
    let located = timeout(WRITERS_PATIENCE, client.locate_slot(7)).await.expect("in time");
    assert_eq!(located.expect("an answer").slot, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_router_the_answer_is_an_error_in_time() {
    let (silent, _listener) = hanging().await;
    let client = CatalogClient::new(&[silent.clone(), silent], trust("s")).expect("addresses");
    let answer = timeout(Duration::from_secs(10), client.locate_slot(7)).await.expect("in time");
    assert!(answer.is_err());
}
