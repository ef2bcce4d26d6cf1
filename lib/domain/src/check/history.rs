//! A chat's messages against its head: seqs are dense from the trim floor on, and nothing has a ver that
//! the head has not.

use std::fmt;

/// The messages of a range of seqs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub count: u64,
    /// 0 if there are none.
    pub first_seq: u64,
    pub last_seq: u64,
    /// The highest birth or change among them.
    pub last_ver: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// Fewer or more messages than seqs.
    Count { found: u64, expected: u64 },
    /// A message of a ver that the head does not know.
    Ver { found: u64, head: u64 },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::Count { found, expected } => {
                write!(f, "{found} messages where the head says {expected}")
            }
            Defect::Ver { found, head } => {
                write!(f, "a message of ver {found}, the head is at {head}")
            }
        }
    }
}

/// The messages with `after < seq <= to`, where everything above `after` is kept and `to` is at most the
/// head's seq. `head_ver` was read after them.
pub fn defect(span: &Span, after: u64, to: u64, head_ver: u64) -> Option<Defect> {
    let expected = to.saturating_sub(after);
    if span.count != expected {
        return Some(Defect::Count { found: span.count, expected });
    }
    (head_ver < span.last_ver).then_some(Defect::Ver { found: span.last_ver, head: head_ver })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(count: u64, last_ver: u64) -> Span {
        Span { count, first_seq: 4, last_seq: 9, last_ver }
    }

    #[test]
    fn seqs_are_dense_and_the_head_knows_every_ver() {
        assert_eq!(defect(&span(6, 12), 3, 9, 12), None);
        assert_eq!(defect(&Span::default(), 9, 9, 12), None);
        let count = |found| Some(Defect::Count { found, expected: 6 });
        assert_eq!(defect(&span(5, 12), 3, 9, 12), count(5));
        assert_eq!(defect(&span(7, 12), 3, 9, 12), count(7));
        assert_eq!(defect(&span(6, 13), 3, 9, 12), Some(Defect::Ver { found: 13, head: 12 }));
    }
}
