//! What travels when a slot moves, and how far an import has come. Plain data, and the rule that keeps
//! an import's steps in order.

use crate::store::*;

/// Rows of one page of a transfer: a transaction of the target that takes well under 100 ms.
pub const TRANSFER_ROWS_MAX: usize = 1_000;
/// Bytes of one page, about; a page holds at least one row whatever its size.
pub const TRANSFER_BYTES_MAX: usize = 1024 * 1024;

/// The row that says what an entity is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntityRow {
    Chat(ChatRow),
    User(UserRow),
    Name(NameRow),
}

impl EntityRow {
    pub fn entity(&self) -> u64 {
        match self {
            EntityRow::Chat(row) => row.chat,
            EntityRow::User(row) => row.user,
            EntityRow::Name(row) => row.entity,
        }
    }

    /// Change rows are kept above this ver.
    pub fn trimmed_ver(&self) -> u64 {
        match self {
            EntityRow::Chat(row) => row.trimmed_ver,
            EntityRow::User(row) => row.trimmed_ver,
            EntityRow::Name(_) => 0,
        }
    }
}

/// Rows of one entity, some of what changed in it. All are as they were when they were read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntityPart {
    pub entity: u64,
    /// The head's ver, read before all of these rows: they are as they were then, or later.
    pub as_of_ver: u64,
    pub messages: Vec<MessageRow>,
    pub changes: Vec<ChangeRow>,
    pub members: Vec<MemberRow>,
    pub outbox: Vec<OutboxRow>,
    pub list: Vec<ListRow>,
    /// With the last part only.
    pub closing: Option<Closing>,
}

/// What ends an entity's parts: with its head, everything up to that head's ver is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Read before all the other rows.
    pub head: HeadRow,
    pub row: EntityRow,
    /// Of a user: all of them; those that are not here ended.
    pub sessions: Vec<SessionRow>,
}

impl EntityPart {
    pub fn of(entity: u64, as_of_ver: u64) -> EntityPart {
        EntityPart { entity, as_of_ver, ..EntityPart::default() }
    }

    pub fn rows(&self) -> usize {
        let closing = self.closing.as_ref().map_or(0, |closing| 2 + closing.sessions.len());
        self.messages.len()
            + self.changes.len()
            + self.members.len()
            + self.outbox.len()
            + self.list.len()
            + closing
    }

    /// About what it takes on its way.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.messages.iter().map(|row| row.text.len()).sum();
        texts + ROW_BYTES * self.rows()
    }
}

/// About what a row takes without its text.
pub(super) const ROW_BYTES: usize = 128;

/// One step of filling a slot. Those of several slots may share a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    pub fence: MoveFence,
    /// Dense from 1 per try of a move and slot. A step that was done is done again without effect.
    pub step: u64,
    pub parts: Vec<EntityPart>,
    /// Merged by maximum into members' read_seq.
    pub cursors: Vec<CursorRow>,
    /// Where the next step goes on, in the words of whoever imports: an entity, and what it wants to
    /// know of its place there (at most `CONTINUATION_BYTES_MAX`).
    pub entity: u64,
    pub continuation: Vec<u8>,
}

pub const CONTINUATION_BYTES_MAX: usize = 255;

/// How far an import has come; changes with the rows of each step, in the same transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgressRow {
    pub fence: MoveFence,
    pub step: u64,
    pub entity: u64,
    pub continuation: Vec<u8>,
    /// Of all steps together.
    pub rows: u64,
    pub bytes: u64,
}

/// What is to be done with steps of different slots that go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StepVerdict {
    /// Then this is the progress.
    Apply(Vec<ProgressRow>),
    DoneBefore,
    OutOfOrder {
        stands: u64,
    },
}

/// `stand`: progress rows of these slots, of those that have one. Steps that go together are done
/// together: one that was done says so of all of them.
pub(super) fn judge_steps(imports: &[Import], stand: &[ProgressRow]) -> StepVerdict {
    let mut next = Vec::with_capacity(imports.len());
    let mut done = 0;
    for import in imports {
        let stands = stand.iter().find(|row| row.fence.slot == import.fence.slot);
        match import.judge(stands) {
            Ok(Some(row)) => next.push(row),
            Ok(None) => done += 1,
            Err(stands) => return StepVerdict::OutOfOrder { stands },
        }
    }
    match done {
        0 => StepVerdict::Apply(next),
        done if done == imports.len() => StepVerdict::DoneBefore,
        _ => StepVerdict::OutOfOrder { stands: next.first().map_or(0, |row| row.step - 1) },
    }
}

impl Import {
    /// The progress when it is done; None: it was done before. An error: it does not follow this step.
    /// `stands`: the slot's progress row. That of another move or try says nothing about this one.
    fn judge(&self, stands: Option<&ProgressRow>) -> Result<Option<ProgressRow>, u64> {
        let stands = stands.filter(|row| row.fence == self.fence);
        let (step, rows, bytes) = stands.map_or((0, 0, 0), |row| (row.step, row.rows, row.bytes));
        if self.step == step && 0 < step {
            return Ok(None);
        }
        if self.step != step + 1 {
            return Err(step);
        }
        let count = |numbers: usize| u64::try_from(numbers).unwrap_or(u64::MAX);
        Ok(Some(ProgressRow {
            fence: self.fence,
            step: self.step,
            entity: self.entity,
            continuation: self.continuation.clone(),
            rows: rows + count(self.parts.iter().map(EntityPart::rows).sum()),
            bytes: bytes + count(self.parts.iter().map(EntityPart::bytes).sum()),
        }))
    }
}

/// After any of these nothing of the call is stored, except where `Store` is `Unavailable`: then it may
/// be, now or as long as the call's connection lives. Ask again; the next call of a move on this store
/// ends such connections first.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The slot's row does not allow it for this try of this move.
    #[error("the slot is not in the hands of this try of the move")]
    Refused { stands: Option<SlotRow> },
    /// Another step was expected.
    #[error("the step does not follow step {stands}")]
    OutOfOrder { stands: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: MoveFence = MoveFence { slot: 7, move_id: 9, attempt: 2 };

    fn import(step: u64) -> Import {
        let parts = vec![EntityPart {
            changes: vec![ChangeRow {
                entity: 5,
                ver: 1,
                kind: ChangeKind::Chat,
                subject: 0,
                at_ms: 0,
            }],
            ..EntityPart::of(5, 1)
        }];
        let (cursors, continuation) = (Vec::new(), vec![1, 2]);
        Import { fence: FENCE, step, parts, cursors, entity: 5, continuation }
    }

    fn stands(step: u64, fence: MoveFence) -> ProgressRow {
        ProgressRow { fence, step, entity: 1, continuation: Vec::new(), rows: 10, bytes: 100 }
    }

    #[test]
    fn steps_are_taken_once_and_in_order() {
        let first = import(1).judge(None).expect("it is the first").expect("it is new");
        assert_eq!((first.step, first.rows, first.entity), (1, 1, 5));
        let known = stands(4, FENCE);
        assert_eq!(import(4).judge(Some(&known)), Ok(None));
        let next = import(5).judge(Some(&known)).expect("it follows").expect("it is new");
        assert_eq!((next.step, next.rows, next.bytes), (5, 11, 100 + 128));
        for step in [0, 1, 3, 6] {
            assert_eq!(import(step).judge(Some(&known)), Err(4));
        }
        assert_eq!(import(0).judge(None), Err(0));
        assert_eq!(import(2).judge(None), Err(0));
    }

    #[test]
    fn another_try_begins_again() {
        let other = stands(4, MoveFence { attempt: 1, ..FENCE });
        let first = import(1).judge(Some(&other)).expect("a new try").expect("it is new");
        assert_eq!((first.fence, first.rows), (FENCE, 1));
        assert_eq!(import(5).judge(Some(&other)), Err(0));
    }

    #[test]
    fn steps_that_go_together_are_done_together() {
        let beside = MoveFence { slot: 8, ..FENCE };
        let both = |one, other| [import(one), Import { fence: beside, ..import(other) }];
        let known = [stands(4, FENCE), stands(2, beside)];
        let StepVerdict::Apply(next) = judge_steps(&both(5, 3), &known) else { panic!("both") };
        assert_eq!(next.iter().map(|row| row.step).collect::<Vec<_>>(), [5, 3]);
        assert_eq!(judge_steps(&both(4, 2), &known), StepVerdict::DoneBefore);
        assert_eq!(judge_steps(&both(4, 3), &known), StepVerdict::OutOfOrder { stands: 2 });
        assert_eq!(judge_steps(&both(5, 4), &known), StepVerdict::OutOfOrder { stands: 2 });
        assert_eq!(
            judge_steps(&both(5, 1), &known[..1]),
            StepVerdict::Apply(vec![
                import(5).judge(Some(&known[0])).expect("it follows").expect("it is new"),
                both(5, 1)[1].judge(None).expect("it is the first").expect("it is new"),
            ])
        );
    }
}
