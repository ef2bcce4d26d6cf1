//! How far a move is, and which phase may follow which.

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Phase {
    /// The slots are held by this move. Nothing else happened; checks run.
    Planned = 1,
    /// Source and target are told.
    Preparing = 2,
    /// The target reads everything once.
    Copying = 3,
    /// The target reads what changed meanwhile, until little is left.
    CatchingUp = 4,
    /// Both sides are compared.
    Verifying = 5,
    /// Waits for its turn to freeze.
    Ready = 6,
    /// The source is to stop writing. Writes wait from here on.
    Freezing = 7,
    /// The source has durably stopped. The target reads the last difference and compares it.
    Frozen = 8,
    /// The target is the owner, at the next epoch. From here a move only goes forward.
    Flipped = 9,
    /// The target serves; the source follows it, so that the move can be reversed.
    Following = 10,
    /// The source deletes its copy.
    Cleaning = 11,
    /// Nothing holds the slots any more.
    Done = 12,
    /// The source is the owner, at the next epoch; both sides let go of the attempt.
    Aborting = 13,
    /// Nothing holds the slots any more.
    Aborted = 14,
}

impl Phase {
    pub const ALL: [Phase; 14] = [
        Phase::Planned,
        Phase::Preparing,
        Phase::Copying,
        Phase::CatchingUp,
        Phase::Verifying,
        Phase::Ready,
        Phase::Freezing,
        Phase::Frozen,
        Phase::Flipped,
        Phase::Following,
        Phase::Cleaning,
        Phase::Done,
        Phase::Aborting,
        Phase::Aborted,
    ];

    pub fn from_number(number: u8) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| *phase as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Phase::Planned => "planned",
            Phase::Preparing => "preparing",
            Phase::Copying => "copying",
            Phase::CatchingUp => "catching_up",
            Phase::Verifying => "verifying",
            Phase::Ready => "ready",
            Phase::Freezing => "freezing",
            Phase::Frozen => "frozen",
            Phase::Flipped => "flipped",
            Phase::Following => "following",
            Phase::Cleaning => "cleaning",
            Phase::Done => "done",
            Phase::Aborting => "aborting",
            Phase::Aborted => "aborted",
        }
    }

    /// Every legal arrow. Following -> Done is the one in which a reverse takes the slots over;
    /// Aborting -> Planned begins the next attempt.
    pub fn may_become(self, next: Phase) -> bool {
        use Phase::{
            Aborted, Aborting, CatchingUp, Cleaning, Copying, Done, Flipped, Following, Freezing,
            Frozen, Planned, Preparing, Ready, Verifying,
        };
        match self {
            Planned => matches!(next, Preparing | Aborting),
            Preparing => matches!(next, Copying | Aborting),
            Copying => matches!(next, CatchingUp | Aborting),
            CatchingUp => matches!(next, Verifying | Aborting),
            Verifying => matches!(next, Ready | Aborting),
            Ready => matches!(next, Freezing | Aborting),
            Freezing => matches!(next, Frozen | Aborting),
            Frozen => matches!(next, Flipped | Aborting),
            Flipped => next == Following,
            Following => matches!(next, Cleaning | Done),
            Cleaning => next == Done,
            Aborting => matches!(next, Planned | Aborted),
            Done | Aborted => false,
        }
    }

    pub fn is_end(self) -> bool {
        matches!(self, Phase::Done | Phase::Aborted)
    }

    /// Whether the slots belong to the target.
    pub fn has_flipped(self) -> bool {
        matches!(self, Phase::Flipped | Phase::Following | Phase::Cleaning | Phase::Done)
    }
}
