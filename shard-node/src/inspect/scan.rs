//! A walk over everything in this database, in the order of ids, a page at a time. What is wrong with an
//! entity's rows by themselves is found here, and looked at again before it is told.

use super::{Ground, Holdings, age_ms, ended, entity_facts, of_chat, of_user};
use crate::store::{EntityRow, HeadRow, SlotRow, Store, StoreError};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::check::history::{Defect, defect};
use shardline_domain::check::tables::{Holding, Kind, Misfit, Table, Tables, kind};
use shardline_domain::id::EntityId;
use shardline_domain::limits::{CHECKED_ROWS_MAX, FACT_TIME_MAX};
use shardline_domain::slot::Slot;
use shardline_wire::internal::{
    FactAbout, LocalFinding, ScanAnswer, ScanPlace, ScanRequest, ScannedEntity,
};
use std::time::Duration;

/// A page ends after this long, however little it has: its asker waits.
const PAGE_TIME_MAX: Duration = Duration::from_millis(500);
/// Entities of a page: each is some statements.
const ENTITIES_MAX: u64 = 200;
/// Messages counted by one statement.
const COUNTED: u64 = 2_000;
/// Facts of one chat that are told as left behind.
const LEFT_BEHIND_MAX: usize = 100;

pub(crate) async fn scan(
    ground: &Ground<'_>,
    request: &ScanRequest,
) -> Result<ScanAnswer, StoreError> {
    let holdings = ground.holdings().await?;
    let mut scan = Scan {
        ground,
        store: ground.store,
        holdings,
        place: request.place.unwrap_or_default(),
        deep: request.deep,
        answer: ScanAnswer::default(),
        suspects: Vec::new(),
    };
    let clock = Stopwatch::start();
    while scan.has_room() && clock.elapsed() < PAGE_TIME_MAX {
        if !scan.step(request.to).await? {
            scan.tell().await?;
            return Ok(scan.answer);
        }
    }
    scan.tell().await?;
    scan.answer.next = Some(scan.place);
    Ok(scan.answer)
}

struct Scan<'a> {
    ground: &'a Ground<'a>,
    store: &'a dyn Store,
    /// Read before everything else.
    holdings: Holdings,
    place: ScanPlace,
    deep: bool,
    answer: ScanAnswer,
    suspects: Vec<Suspect>,
}

struct Suspect {
    entity: u64,
    slot: Slot,
    what: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Rows of a slot that is not here, under this row.
    Foreign {
        row: SlotRow,
        tables: Tables,
    },
    Misfit(Misfit),
    /// Messages with `after < seq <= to`.
    History {
        after: u64,
        to: u64,
        defect: Defect,
    },
}

/// The lowest id above `after` that has rows, and where.
async fn next(store: &dyn Store, after: u64) -> Result<Option<(u64, Tables)>, StoreError> {
    let ids = store.next_ids(after).await?;
    let Some(lowest) = ids.iter().flatten().min().copied() else { return Ok(None) };
    let here = Table::ALL.iter().zip(&ids).filter(|(_, id)| **id == Some(lowest));
    let tables = here.fold(Tables::default(), |all, (table, _)| all.with(*table));
    Ok(Some((lowest, tables)))
}

impl Scan<'_> {
    fn has_room(&self) -> bool {
        self.answer.rows_read < CHECKED_ROWS_MAX as u64
            && self.answer.entities_read < ENTITIES_MAX
            && self.suspects.len() + self.answer.findings.len() < CHECKED_ROWS_MAX
    }

    /// One entity, or a part of one. False: nothing is left.
    async fn step(&mut self, to: u64) -> Result<bool, StoreError> {
        let found = next(self.store, self.place.after).await?;
        let Some((entity, tables)) = found.filter(|(entity, _)| *entity <= to) else {
            return Ok(false);
        };
        // Other rows than ids cannot be: they would be of no slot at all.
        let id = EntityId::new(entity)
            .map_err(|_| StoreError::Corrupt(format!("there are rows of the id {entity}")))?;
        let slot = Slot::of(id);
        self.answer.rows_read += 1;
        match self.holdings.of(slot) {
            Holding::Ours => self.look(entity, slot, tables).await?,
            Holding::Copy => self.pass(*slot.ids().end()),
            Holding::Nothing => {
                let row = self.holdings.row(slot);
                self.suspects.push(Suspect { entity, slot, what: Fault::Foreign { row, tables } });
                self.pass(*slot.ids().end());
            }
        }
        Ok(true)
    }

    /// Done with all ids up to this one.
    fn pass(&mut self, id: u64) {
        self.place = ScanPlace { after: id, ..ScanPlace::default() };
    }

    async fn look(&mut self, entity: u64, slot: Slot, tables: Tables) -> Result<(), StoreError> {
        let kind = match kind(tables) {
            Ok(kind) => kind,
            Err(misfit) => {
                self.suspects.push(Suspect { entity, slot, what: Fault::Misfit(misfit) });
                self.pass(entity);
                return Ok(());
            }
        };
        let row = self.store.entity_rows(&[entity]).await?.into_iter().next();
        let head = self.store.heads(&[entity]).await?.into_iter().next();
        let (Some(row), Some(head)) = (row, head) else {
            // It left meanwhile.
            self.pass(entity);
            return Ok(());
        };
        let is_first = self.place.row == 0 && self.place.seq == 0;
        if is_first {
            self.answer.entities_read += 1;
        }
        if self.place.seq == 0 {
            let is_whole = self.facts(entity, kind, &row, &head).await?;
            if !is_whole {
                return Ok(());
            }
            if tables.has(Table::Outbox) {
                self.left_behind(entity, slot).await?;
            }
        }
        if let (EntityRow::Chat(chat), true) = (&row, self.deep) {
            let floor = chat.trimmed_seq.max(self.place.seq);
            if !self.messages(entity, slot, floor, &head).await? {
                return Ok(());
            }
        }
        self.pass(entity);
        Ok(())
    }

    /// A page of a chat's members or a user's list. False: there is more.
    async fn facts(
        &mut self,
        entity: u64,
        kind: Kind,
        row: &EntityRow,
        head: &HeadRow,
    ) -> Result<bool, StoreError> {
        let limit = CHECKED_ROWS_MAX as u64;
        let about: Vec<FactAbout> = match kind {
            Kind::Chat => {
                let members = self.store.members(entity, self.place.row, limit).await?;
                members.iter().map(|member| of_chat(member, ended(row))).collect()
            }
            Kind::User => {
                let list = self.store.list(entity, self.place.row, limit).await?;
                list.iter().map(of_user).collect()
            }
            Kind::Name => Vec::new(),
        };
        let rest = about.last().filter(|_| limit <= about.len() as u64).map(|last| last.other);
        self.answer.rows_read += about.len() as u64;
        let facts = Some(entity_facts(row, head));
        self.answer.entities.push(ScannedEntity { entity, facts, about });
        if let Some(last) = rest {
            // The same entity again, behind this row.
            self.place.row = last;
        }
        Ok(rest.is_none())
    }

    async fn left_behind(&mut self, chat: u64, slot: Slot) -> Result<(), StoreError> {
        let limit = CHECKED_ROWS_MAX as u64;
        let facts = self.store.outbox_in(chat..=chat, (0, 0, 0), limit).await?;
        let is_old = |at_ms: i64| FACT_TIME_MAX <= Duration::from_millis(age_ms(at_ms));
        let old = facts.iter().filter(|fact| is_old(fact.created_at_ms));
        for fact in old.take(LEFT_BEHIND_MAX) {
            let word = if fact.joined { "joined" } else { "left" };
            let seconds = age_ms(fact.created_at_ms) / 1_000;
            self.answer.findings.push(LocalFinding {
                kind: "undelivered".to_owned(),
                slot: slot.get().into(),
                entity: chat,
                other: fact.user,
                text: format!(
                    "that the user {word} at ver {} has not been delivered for {seconds} s",
                    fact.ver
                ),
            });
        }
        Ok(())
    }

    /// One range of a chat's messages. False: there is more.
    async fn messages(
        &mut self,
        chat: u64,
        slot: Slot,
        after: u64,
        head: &HeadRow,
    ) -> Result<bool, StoreError> {
        let to = head.seq.min(after + COUNTED);
        if after < to {
            self.answer.rows_read += (to - after) / 8;
            if let Some(defect) = counted(self.store, chat, after, to).await? {
                let what = Fault::History { after, to, defect };
                self.suspects.push(Suspect { entity: chat, slot, what });
            }
        }
        if to < head.seq {
            self.place.seq = to;
        }
        Ok(head.seq <= to)
    }

    /// Looks again at what seemed wrong; what still does is told.
    async fn tell(&mut self) -> Result<(), StoreError> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        let mut confirmed = Vec::new();
        for suspect in std::mem::take(&mut self.suspects) {
            if self.is_still(&suspect).await? {
                confirmed.push(suspect);
            }
        }
        // Read after everything else: a slot that came or went explains what was seen.
        let holdings = self.ground.holdings().await?;
        for suspect in confirmed {
            let slot = suspect.slot;
            if holdings.row(slot) == self.holdings.row(slot) {
                self.answer.findings.push(suspect.finding());
            }
        }
        Ok(())
    }

    async fn is_still(&self, suspect: &Suspect) -> Result<bool, StoreError> {
        let entity = suspect.entity;
        match suspect.what {
            Fault::Foreign { .. } => {
                let found = next(self.store, entity - 1).await?;
                Ok(found.is_some_and(|(id, _)| id <= *suspect.slot.ids().end()))
            }
            Fault::Misfit(misfit) => {
                let found = next(self.store, entity - 1).await?;
                let same = |(id, tables)| id == entity && kind(tables) == Err(misfit);
                Ok(found.is_some_and(same))
            }
            Fault::History { after, to, .. } => {
                // Its trim floor may have risen.
                let rows = self.store.entity_rows(&[entity]).await?;
                let floor = rows.iter().find_map(|row| match row {
                    EntityRow::Chat(chat) => Some(chat.trimmed_seq),
                    _ => None,
                });
                let Some(floor) = floor.filter(|floor| *floor <= after) else { return Ok(false) };
                Ok(counted(self.store, entity, after.max(floor), to).await?.is_some())
            }
        }
    }
}

/// The head is read afterwards: it knows every ver of the messages.
async fn counted(
    store: &dyn Store,
    chat: u64,
    after: u64,
    to: u64,
) -> Result<Option<Defect>, StoreError> {
    let span = store.span(chat, after, to).await?;
    let head = store.heads(&[chat]).await?.into_iter().next();
    Ok(head.and_then(|head| defect(&span, after, to, head.ver)))
}

impl Suspect {
    fn finding(&self) -> LocalFinding {
        let (kind, text) = match &self.what {
            Fault::Foreign { row, tables } if row.epoch == 0 => {
                ("foreign_rows", format!("rows of a slot that was never here, in {tables}"))
            }
            Fault::Foreign { row, tables } => {
                let epoch = row.epoch;
                let text = format!("rows of a slot that is empty since epoch {epoch}, in {tables}");
                ("foreign_rows", text)
            }
            Fault::Misfit(misfit) => ("misfit", misfit.to_string()),
            Fault::History { after, to, defect } => {
                ("history", format!("above seq {after}, up to {to}: {defect}"))
            }
        };
        LocalFinding {
            kind: kind.to_owned(),
            slot: self.slot.get().into(),
            entity: self.entity,
            other: 0,
            text,
        }
    }
}
