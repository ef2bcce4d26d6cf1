//! Every limit of the system, each with its reason. Beyond a limit there is a clear error that names it.

use std::time::Duration;

/// Text of one message, in bytes: sixteen of the largest fill a page of history.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// One WebSocket message, in bytes: an array of 256 sends of ordinary size, or sixteen of the largest.
pub const FRAME_BYTES_MAX: usize = 512 * 1024;
/// Frames in one array: as many as one commit takes of sends.
pub const ARRAY_FRAMES_MAX: usize = 256;

/// Sends in one commit: past this a larger batch no longer gets cheaper, only later.
pub const BATCH_SENDS_MAX: usize = 256;
/// Bytes in one commit: well under any packet limit of a database.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Messages in one page of history.
pub const PAGE_MESSAGES_MAX: u64 = 200;
pub const PAGE_MESSAGES_DEFAULT: u64 = 50;
/// Bytes of one encoded page; a page holds at least one message whatever its size.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Members of one chat: their rows and ids stay in memory while the chat is written to.
pub const MEMBERS_MAX: usize = 100_000;
/// Members in one page of a member list.
pub const MEMBERS_PAGE_MAX: u64 = 200;
/// Users added by one call: each takes a ver and an event of one commit.
pub const MEMBERS_ADDED_MAX: usize = 200;
/// Up to this many members an event carries its receivers; above, nodes say what they follow.
pub const DIRECT_PUSH_MEMBERS_MAX: usize = 256;

/// Bytes waiting to be written to one session; a slower reader is closed and resumes.
pub const SESSION_QUEUE_BYTES_MAX: usize = 1024 * 1024;
pub const SESSIONS_PER_USER: usize = 10;
pub const CHATS_PER_USER: usize = 2_000;

/// Characters (not bytes) of a user's name, as claimed: lower-case letters, digits, `_`, `-` and `.`.
pub const NAME_CHARS_MAX: usize = 32;
pub const DISPLAY_NAME_CHARS_MAX: usize = 64;
pub const ABOUT_CHARS_MAX: usize = 512;
pub const TITLE_CHARS_MAX: usize = 128;
pub const DEVICE_CHARS_MAX: usize = 64;
/// A password's length in bytes; the upper end bounds the work of hashing.
pub const PASSWORD_BYTES_MIN: usize = 8;
pub const PASSWORD_BYTES_MAX: usize = 256;

/// A changed chat's small rows kept for resuming clients; an older ver is answered with "resynced".
pub const CHANGES_KEPT_MAX: u64 = 10_000;
/// Changes in one answer to `open` or a gap repair.
pub const CHANGES_PAGE_MAX: u64 = 200;

/// How long a write waits for a frozen slot before it is refused.
pub const PARK_TIME_MAX: Duration = Duration::from_secs(2);
pub const PARKED_SENDS_PER_SLOT_MAX: usize = 1_000;
pub const PARKED_BYTES_PER_ROUTER_MAX: usize = 64 * 1024 * 1024;

/// From a connection to its `hello`.
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(5);
/// An access token's life: a revoked session is useless after this wherever it was forgotten.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// Requests of one connection that wait for an answer.
pub const IN_FLIGHT_PER_SESSION_MAX: usize = 1_024;
/// Calls waiting on one stream between two of our processes.
pub const IN_FLIGHT_PER_LINK_MAX: usize = 65_536;
/// Bytes of the calls waiting on one such stream, written or not, and as many of answers on their way
/// back: as much as a router parks. A process that does not answer costs each of its callers no more.
pub const IN_FLIGHT_BYTES_PER_LINK_MAX: usize = 64 * 1024 * 1024;
/// Bytes of events and signals waiting for one conn-node: some 20,000 events of ordinary size, about
/// what a second brings. A hundred stuck conn-nodes cost a router less than a gigabyte.
pub const PUSH_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one batch on such a stream, before it is cut.
pub const LINK_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How long a caller inside the system waits for an answer before it counts as unknown.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a router waits for a shard-node's answer: with the time a write may be parked before, its
/// caller hears of it within `CALL_TIME_MAX`.
pub const SHARD_ANSWER_TIME_MAX: Duration = Duration::from_secs(6);
/// How long a call waits for its caller's own list to show its effect.
pub const OWN_FACT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Events of one chat held back by a reader until the gap before them is repaired; more are asked for
/// with the gap.
pub const HELD_EVENTS_MAX: usize = 64;

/// How long writes may wait for a move: past this it is aborted and tried again.
pub const FREEZE_TIME_MAX: Duration = Duration::from_millis(1_500);
/// Attempts of one move before it is given up: what fails so often has a reason.
pub const MOVE_ATTEMPTS_MAX: u32 = 5;
/// Between two attempts, so that whoever waited for the first is served.
pub const MOVE_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Entities that differ, and the time that copying them takes, when a slot may freeze: the last
/// difference must fit into a pause nobody notices.
pub const MOVE_CLOSE_ENTITIES_MAX: u64 = 100;
pub const MOVE_ROUND_TIME_MAX: Duration = Duration::from_millis(200);
/// For how long the old shard follows, so that a move can be reversed.
pub const MOVE_WINDOW_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Entities of one move: both sides' heads are compared once more while writes wait.
pub const MOVE_ENTITIES_MAX: u64 = 10_000;
/// Bytes of one move: what an abort throws away, and how long until its result shows.
pub const MOVE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Slots of one move that hold anything: all of them wait as long as the slowest.
pub const MOVE_SLOTS_MAX: usize = 64;
/// Slots of one move that hold nothing: each is still looked at on both sides while writes wait.
pub const MOVE_EMPTY_SLOTS_MAX: usize = 512;
/// Moves that copy from or to one shard at a time: two only share what its disk can do.
pub const MOVES_PER_SHARD_MAX: usize = 1;
/// Moves whose writes may wait at a time, in the whole cluster: they share the catalog.
pub const FREEZES_AT_ONCE_MAX: usize = 4;
/// Moves that one coordinator has in hand; the rest waits in the catalog.
pub const MOVES_IN_HAND_MAX: usize = 256;

/// How long a fact may take from a chat to its user's list before that counts as a fault.
pub const FACT_TIME_MAX: Duration = Duration::from_secs(60);
/// A user whose name was not claimed by then is left over from a registration that died.
pub const NAMELESS_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// Rows in one page of a check of the whole cluster: a few milliseconds of a shard's database.
pub const CHECKED_ROWS_MAX: usize = 500;
/// Findings in one answer; what is beyond is only counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Moves that have ended and are kept, with their journals: more than a rebalance of every slot makes, so
/// that one is never cut while it runs.
pub const MOVES_KEPT_MAX: u32 = 20_000;
/// Rebalances that have ended and are kept: one an hour for six weeks.
pub const REBALANCES_KEPT_MAX: u32 = 1_000;
/// Operators' changes that are kept: a hundred megabytes at their longest.
pub const OPERATOR_CHANGES_KEPT_MAX: u32 = 100_000;
/// For how long moves and rebalances are kept: as long as clients can resume.
pub const MOVES_KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// For how long operators' changes are kept: who audits, looks back a year.
pub const OPERATOR_CHANGES_KEPT_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Moves deleted by one transaction of the catalog, each with its slots and journal, and as many
/// rebalances and changes: others wait for it some milliseconds.
pub const TRIMMED_AT_ONCE_MAX: u32 = 50;

/// Moves by which a plan's pace is measured: the latest, for machines and loads change.
pub const PACE_MOVES_MAX: usize = 64;
/// Fewer measurements than this are luck.
pub const PACE_MOVES_MIN: usize = 3;
/// How far a measured pace may be from the assumed one: past this a clock was wrong.
pub const PACE_FACTOR_MAX: u64 = 50;
