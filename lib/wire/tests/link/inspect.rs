//! Reads of a shard-node as single calls: what is asked arrives, what is answered comes back, and a refusal
//! keeps its kind.

use async_trait::async_trait;
use shardline_wire::inspect::{Inspect, InspectConnect};
use shardline_wire::internal::{
    LookAnswer, LookRequest, ScanAnswer, ScanPlace, ScanRequest, ShardSlot, SurveyAnswer,
    SurveyRequest,
};
use shardline_wire::link::{InspectLinks, InspectServer, Secret, Trust};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

struct Node;

#[async_trait]
impl Inspect for Node {
    async fn survey(&self, request: SurveyRequest) -> Result<SurveyAnswer, Refusal> {
        let slots = vec![ShardSlot { slot: request.from_slot, state: 1, ..ShardSlot::default() }];
        Ok(SurveyAnswer { shard: 7, slots, next_slot: Some(9), ..SurveyAnswer::default() })
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanAnswer, Refusal> {
        Ok(ScanAnswer { next: request.place, rows_read: request.to, ..ScanAnswer::default() })
    }

    async fn look(&self, request: LookRequest) -> Result<LookAnswer, Refusal> {
        let asked = request.entities.len();
        Err(Refusal::of_field(Code::BadRequest, "entities", format!("{asked} are asked about")))
    }

    async fn ask_catalog(&self) -> Result<(), Refusal> {
        Err(Refusal::try_again("not the writer", 100))
    }
}

fn trust(secret: &str) -> Trust {
    Trust::new(Secret::new(secret).expect("plain text"), None)
}

#[tokio::test]
async fn a_shard_node_is_read_by_those_who_know_the_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let serving = trust("s");
    tokio::spawn(async move {
        let service = InspectServer::service(Arc::new(Node), &serving);
        let server = serving.server().expect("no certificates").add_service(service);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves");
    });

    let node = InspectLinks::new(trust("s")).open(&address);
    let survey = node.survey(SurveyRequest { from_slot: 5 }).await.expect("an answer");
    assert_eq!((survey.shard, survey.slots[0].slot, survey.next_slot), (7, 5, Some(9)));
    let place = Some(ScanPlace { after: 3, row: 2, seq: 1 });
    let scan = node.scan(ScanRequest { place, to: 11, deep: true }).await.expect("an answer");
    assert_eq!((scan.next, scan.rows_read), (place, 11));
    let refused = node.look(LookRequest { entities: vec![1, 2], ..LookRequest::default() }).await;
    let refused = refused.expect_err("too many");
    assert_eq!((refused.code(), refused.message.as_str()), (Code::BadRequest, "2 are asked about"));
    let later = node.ask_catalog().await.expect_err("not now");
    assert_eq!(later.code(), Code::TryAgain);

    let stranger = InspectLinks::new(trust("other")).open(&address);
    let refused = stranger.survey(SurveyRequest::default()).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let nowhere = InspectLinks::new(trust("s")).open("not an address");
    let refused = nowhere.ask_catalog().await.expect_err("nobody");
    assert_eq!(refused.code(), Code::Unavailable);
}
