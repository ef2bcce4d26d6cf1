//! Checks of a whole cluster in one process: a busy one gives no false alarm, what was broken by hand is
//! found and repaired, and a catalog that was thrown away is made anew.

mod fsck;
mod rebuild;
mod world;
