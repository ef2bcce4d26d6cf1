//! What a process is told of the world that is not so: its wall clock and its disk, by the library that the
//! cluster loads into every process ([`Cluster::with_lies`]).

use crate::cluster::Cluster;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;

/// Longer than a token lives, and than anybody waits.
const JUMP_MS: i64 = 60 * 60 * 1_000;
/// An overloaded disk's.
const FSYNC_MS: i64 = 200;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    ClockAhead,
    ClockBehind,
    /// Nothing that is stored can grow.
    DiskFull,
    /// Every fsync takes longer.
    DiskSlow,
}

/// Holds until the next one, or until the process is started again.
pub(crate) fn tell(cluster: &Cluster, name: &str, lie: Option<Lie>) -> Result<()> {
    let [clock_ahead_ms, disk_is_full, fsync_slower_ms] = match lie {
        None => [0, 0, 0],
        Some(Lie::ClockAhead) => [JUMP_MS, 0, 0],
        Some(Lie::ClockBehind) => [-JUMP_MS, 0, 0],
        Some(Lie::DiskFull) => [0, 1, 0],
        Some(Lie::DiskSlow) => [0, 0, FSYNC_MS],
    };
    let numbers = [clock_ahead_ms, disk_is_full, fsync_slower_ms];
    let path = cluster.folder_of(name).join("interpose");
    // In place: the process has mapped it.
    let file = OpenOptions::new().write(true).open(&path);
    let mut file = file.with_context(|| format!("{} (no lies without it)", path.display()))?;
    file.write_all(&numbers.map(i64::to_ne_bytes).concat())?;
    Ok(())
}
