//! Checks of a made-up cluster: two shards, a page each, with findings on the second.

use crate::cluster::cluster;
use async_trait::async_trait;
use serde_json::Value;
use shardline_wire::checks::Checks;
use shardline_wire::internal::{
    CatalogFinding, CheckCatalogAnswer, CheckCatalogRequest, FsckAnswer, FsckFinding, FsckPlace,
    FsckRequest, RebuildCatalogAnswer, RebuildCatalogRequest, RebuiltShard,
};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Default)]
pub(crate) struct Checking {
    /// So many pages fail first.
    failures: AtomicU32,
}

#[async_trait]
impl Checks for Checking {
    async fn fsck(&self, request: FsckRequest) -> Result<FsckAnswer, Refusal> {
        assert_eq!(request.by, "anna");
        if self.failures.load(Ordering::SeqCst) != 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return Err(Refusal::new(Code::Unavailable, "shard 0 has no writer"));
        }
        let half = FsckPlace { after: 9, row: 0, seq: 0 };
        let page = FsckAnswer {
            entities: 3,
            rows: 7,
            compared: 2,
            millionths: 500_000,
            ..FsckAnswer::default()
        };
        if request.place.is_none() {
            return Ok(FsckAnswer { next: Some(half), ..page });
        }
        assert_eq!(request.place, Some(half));
        let state = if request.repair { "repaired" } else { "found" };
        let finding = FsckFinding {
            kind: "list_missing".to_owned(),
            shard: request.shard,
            slot: request.slot.unwrap_or(4),
            entity: 77,
            other: 88,
            text: "the chat says joined at ver 2 (head at 5), the list nothing".to_owned(),
            state: state.to_owned(),
            why: String::new(),
        };
        let findings = if request.shard == 1 { vec![finding] } else { Vec::new() };
        Ok(FsckAnswer { findings, millionths: 1_000_000, ..page })
    }

    async fn check_catalog(&self, _: CheckCatalogRequest) -> Result<CheckCatalogAnswer, Refusal> {
        let finding = CatalogFinding {
            kind: "other_epoch".to_owned(),
            shard: Some(1),
            slot: Some(5),
            text: "the catalog has epoch 3, the row is owned at epoch 2".to_owned(),
        };
        Ok(CheckCatalogAnswer { findings: vec![finding], total: 3, shards: 2, slots: 16_384 })
    }

    async fn rebuild_catalog(
        &self,
        request: RebuildCatalogRequest,
    ) -> Result<RebuildCatalogAnswer, Refusal> {
        if request.addresses.len() < 2 {
            return Err(Refusal::new(Code::Conflict, "slot 5 has no owner"));
        }
        let shard = |(number, address): (u32, &String)| RebuiltShard {
            shard: number,
            address: address.clone(),
            slots: 8_192,
            writer_term: 7,
            lanes: 4,
        };
        Ok(RebuildCatalogAnswer {
            shards: (0..).zip(&request.addresses).map(shard).collect(),
            renewed_slots: 64,
            next_move: 13,
            leader_term: 103,
            written: !request.dry_run,
            ..RebuildCatalogAnswer::default()
        })
    }
}

#[tokio::test]
async fn findings_are_a_table_and_end_with_3() {
    let ended = cluster().await.ask(&["fsck"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines[0].starts_with("KIND "), "{}", ended.out);
    assert!(
        lines[1].starts_with("list_missing      1     4      77     88  found"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2]
            .starts_with("12 entities, 28 rows, 8 compared in 0 s: 1 found, 0 repaired, 1 left")
    );
}

#[tokio::test]
async fn what_is_repaired_is_no_longer_left() {
    let ended = cluster().await.ask(&["fsck", "--repair", "--shard", "1", "--slot", "9"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("1 found, 1 repaired, 0 left"), "{}", ended.out);
    let clean = cluster().await.ask(&["fsck", "--shard", "0"]).await;
    assert_eq!(clean.code, 0);
    assert_eq!(clean.out.lines().count(), 1, "{}", clean.out);
}

#[tokio::test]
async fn as_json_findings_come_before_the_summary() {
    let ended = cluster().await.ask(&["fsck", "--json"]).await;
    let lines = ended.out.lines().map(|line| serde_json::from_str(line).expect("it is JSON"));
    let lines: Vec<Value> = lines.collect();
    assert_eq!(lines.len(), 2, "{}", ended.out);
    assert_eq!((&lines[0]["event"], &lines[0]["entity"]), (&"finding".into(), &"77".into()));
    assert_eq!((&lines[1]["event"], &lines[1]["left"]), (&"summary".into(), &1.into()));
}

#[tokio::test]
async fn a_page_that_was_not_answered_is_asked_for_again() {
    let cluster = cluster().await;
    cluster.checking.failures.store(1, Ordering::SeqCst);
    let ended = cluster.ask(&["fsck", "--shard", "0"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[tokio::test]
async fn the_catalogs_disagreements_are_shown_and_counted() {
    let ended = cluster().await.ask(&["catalog", "check"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    assert!(
        ended.out.contains("other_epoch      1     5  the catalog has epoch 3"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("and 2 more\n2 shards, 16384 slots: 3 disagreements"));
}

#[tokio::test]
async fn a_catalog_is_rebuilt_from_all_nodes_or_not_at_all() {
    let cluster = cluster().await;
    let both = ["catalog", "rebuild", "--shards", "h:1,h:2"];
    let ended = cluster.ask(&[&both[..], &["--dry-run"]].concat()).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("64 slots get a new epoch, the next move is 13"), "{}", ended.out);
    assert!(ended.out.contains("nothing was changed"), "{}", ended.out);
    let ended = cluster.ask(&both).await;
    assert!(ended.out.contains("the catalog is written"), "{}", ended.out);
    let ended = cluster.ask(&["catalog", "rebuild", "--shards", "h:1"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("slot 5 has no owner; nothing was changed"), "{}", ended.err);
}
