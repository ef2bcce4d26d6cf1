//! What the cluster survives: a few faults of every kind, a few at phases of moves, and the death of a
//! shard's writer. The whole lists are played by `make faults` and `make faults-moves`.

#![expect(clippy::print_stdout, reason = "seeds and figures of this run")]

use crate::cluster::Processes;
use shardline_faults::course::Field;
use shardline_faults::storm::Storm;
use shardline_faults::{cell, failover, storm};
use std::time::Duration;

/// Tries of a cell until it hits its phase.
const TRIES: u32 = 2;
const KILLS: u32 = 3;
/// A lease of the length it once had would not pass; what is promised is measured by
/// `make faults-failover`.
const FAILOVER_MAX: Duration = Duration::from_secs(4);

/// Each move ends by itself, and everybody saw every acknowledged message once and in order: else an
/// error.
pub(crate) async fn moves_survive_the_faults_that_matter_most(processes: &Processes) {
    let seed = rand::random();
    println!("seed {seed}");
    let recordings = processes.folder.join("faults");
    let (cluster, links) = (processes.cluster.clone(), processes.links.clone());
    let field = Field::enter(cluster, links, recordings, seed).await;
    let mut field = field.expect("people who talk");
    let (cells, mut hits) = (cell::short(), 0);
    for cell in &cells {
        let outcome = field.play(*cell, TRIES).await.unwrap_or_else(|error| panic!("{error:?}"));
        println!("{outcome}");
        hits += outcome.hits;
    }
    // A phase may be over before the fault; that nearly all are means that nothing is tested.
    let hits = usize::try_from(hits).expect("a few");
    assert!(cells.len() / 2 < hits, "{hits} of {} faults hit their phase", cells.len());
}

/// Every acknowledged message is there once and in order, whatever was hit: else an error.
pub(crate) async fn people_survive_the_faults_that_matter_most(processes: &Processes) {
    let seed = rand::random();
    println!("seed {seed}");
    let recordings = processes.folder.join("faults");
    let (cluster, links) = (processes.cluster.clone(), processes.links.clone());
    let storm = Storm::enter(cluster, links, recordings, seed, Duration::ZERO).await;
    let mut storm = storm.expect("people who talk");
    for fault in storm::short() {
        let outcome = storm.play(fault).await.unwrap_or_else(|error| panic!("{error:?}"));
        println!("{outcome}");
    }
}

/// And a writer that was paused and replaced commits nothing when it wakes: else an error.
pub(crate) async fn a_standby_goes_on(processes: &Processes) {
    let recordings = processes.folder.join("faults");
    let figures = failover::play(&processes.cluster, &recordings, KILLS).await;
    let figures = figures.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{figures}");
    let fastest = figures.killed.iter().map(|took| took.ready).min();
    assert!(fastest.is_some_and(|time| time < FAILOVER_MAX), "{figures}");
}
