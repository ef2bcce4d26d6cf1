//! Reads of one entity: to its shard, and again when the map shows that it moved.

use super::{Asked, Requests, in_motion, needs, nowhere};
use crate::waits::{News, Wait};
use shardline_domain::limits::PARK_TIME_MAX;
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::{Done, Outcome};
use shardline_wire::internal::Call;
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use tokio::time::Instant;

/// A read on its way. The call is kept to be sent again.
struct Read {
    slot: Slot,
    call: Call,
    asked: Asked,
    /// Set with its first wait: it waits no longer than this in all.
    until: Option<Instant>,
}

impl Requests {
    pub(super) fn read(self: &Arc<Requests>, slot: Slot, call: Call, asked: Asked) {
        self.send_read(Read { slot, call, asked, until: None });
    }

    fn send_read(self: &Arc<Requests>, read: Read) {
        let Some(place) = self.map.place(read.slot) else {
            return self.answer(read.asked, Err(nowhere()));
        };
        let links = self.shards.load();
        let Some(link) = links.get(place.shard) else {
            return self.answer(read.asked, Err(nowhere()));
        };
        let call = Call { epoch: place.epoch.0, ..read.call.clone() };
        let requests = self.clone();
        link.submit(
            call,
            Done::new(move |outcome| requests.read_answered(read, place.epoch, outcome)),
        );
    }

    fn read_answered(self: &Arc<Requests>, mut read: Read, sent: Epoch, outcome: Outcome) {
        let refusal = match outcome {
            Err(refusal) if moved(&refusal, sent).is_some() => refusal,
            outcome => return self.answer(read.asked, outcome.map_err(in_motion)),
        };
        let until = *read.until.get_or_insert_with(|| Instant::now() + PARK_TIME_MAX);
        let ask = self.map.ask();
        let needs = moved(&refusal, sent).unwrap_or(sent);
        let slot = read.slot;
        // A shard that is behind may be the right one: wait for one look at the catalog only.
        let ask = (refusal.code() == Code::Behind).then_some(ask);
        let requests = self.clone();
        let then = Box::new(move |news| match news {
            News::Newer => requests.send_read(read),
            News::Late => requests.answer(read.asked, Err(in_motion(refusal))),
        });
        if let Err(wait) = self.wait_for_map(Wait { needs: vec![(slot, needs)], until, ask, then })
        {
            (wait.then)(News::Late);
        }
    }
}

/// As `needs`; a shard that is behind what the reader has seen may have given the slot away, too.
pub(super) fn moved(refusal: &Refusal, sent: Epoch) -> Option<Epoch> {
    match refusal.code() {
        Code::Behind => Some(Epoch(sent.0.saturating_add(1))),
        _ => needs(refusal, sent),
    }
}
