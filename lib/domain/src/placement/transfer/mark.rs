//! How far a shard's database had come when something was found true of it: what a flip rests on.

/// Of a shard's database, as its writer saw it.
///
/// What a move changes there (slot rows, imported rows) has no place in the journal, so the database
/// counts those transactions: a copy of it that lacks one of them has a lower tally.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mark {
    /// Of the shard's writer.
    pub term: u64,
    pub tally: u64,
}

/// What `settled` was found under. It holds as long as neither shard has another writer: a new one may
/// stand on a database that lacks what was compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Proof {
    /// Frozen by the attempt.
    pub source: Mark,
    /// With everything imported.
    pub target: Mark,
}

/// The newest writers' terms that are known of a move's shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Terms {
    pub source: u64,
    pub target: u64,
}

impl Proof {
    /// Whether nobody wrote either shard since, as far as is known.
    pub fn stands(&self, newest: &Terms) -> bool {
        newest.source <= self.source.term && newest.target <= self.target.term
    }
}
