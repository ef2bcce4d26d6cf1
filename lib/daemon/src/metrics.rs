//! How a crate names and describes its metrics; this crate's own, and what the operating system says
//! about the process.

use metrics::{counter, gauge};
use std::fs;

/// Constants with the names of a crate's metrics, and `describe_all()`, which gives the recorder each
/// one's comment as its help text. Call it once, after the recorder is installed.
#[macro_export]
macro_rules! metric_names {
    ($($(#[doc = $help:literal])+ $name:ident = $text:literal;)*) => {
        $($(#[doc = $help])+ pub(crate) const $name: &str = $text;)*

        pub(crate) fn describe_all() {
            $($crate::metrics::describe($text, concat!($($help),+));)*
        }
    };
}

/// The help text of one metric. The recorder keeps it by name, whatever the metric's kind.
pub fn describe(name: &'static str, help: &'static str) {
    metrics::describe_gauge!(name, help.trim());
}

metric_names! {
    /// Running tasks, by name.
    TASKS = "shardline_daemon_tasks";
    /// 1, with the version as a label.
    BUILD = "shardline_daemon_build_info";
    /// CPU time of this process in user and kernel mode, in seconds.
    CPU = "process_cpu_seconds_total";
    /// Resident memory of this process, in bytes.
    MEMORY = "process_resident_memory_bytes";
    /// Open file descriptors of this process.
    FILES = "process_open_fds";
}

/// The kernel reports CPU time to user space in hundredths of a second on every architecture.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

/// Reads /proc once; where there is none, nothing is reported.
pub(crate) fn sample_process() {
    if let Some(usage) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat)) {
        counter!(CPU).absolute(usage.cpu_ticks / TICKS_PER_SECOND);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; 2^53 bytes are enough"
        )]
        gauge!(MEMORY).set((usage.resident_pages * PAGE_BYTES) as f64);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!(FILES).set(entries.count() as f64);
    }
}

#[derive(PartialEq, Debug)]
struct Usage {
    cpu_ticks: u64,
    resident_pages: u64,
}

/// Fields of proc(5) stat, counted after the command's closing parenthesis, the only sure anchor.
fn parse(stat: &str) -> Option<Usage> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| fields.get(index)?.trim().parse::<u64>().ok();
    Some(Usage { cpu_ticks: number(11)? + number(12)?, resident_pages: number(21)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_whatever_the_command_is_called() {
        let stat = "7 (a) (b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 99 1000000 321 9";
        assert_eq!(parse(stat), Some(Usage { cpu_ticks: 300, resident_pages: 321 }));
        assert_eq!(parse("nonsense"), None);
    }
}
