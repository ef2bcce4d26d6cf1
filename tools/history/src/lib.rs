//! What clients saw, written down, and the judge of it. Shares no rule with the servers it judges, and
//! depends on nothing of theirs.
//!
//! [`Writer`] records cheaply while clients run; [`Reader`] reads a recording back; [`History`] is one
//! or several recordings by chat, sender and receiver; [`invariants`] holds one file per claim.

pub mod history;
mod index;
pub mod invariants;
mod reader;
mod record;
mod verdict;
mod writer;

pub use history::History;
pub use reader::{ReadError, Reader};
pub use record::{Bounds, Header, Item, Line, MsgId, Page, Record, SeenMessage};
pub use verdict::{Finding, Verdict};
pub use writer::Writer;
