//! What a check found, and how a person reads it.

use std::fmt;

/// The judgement of one invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub invariant: &'static str,
    pub claim: &'static str,
    /// How many things the claim was tried on. None: it was not tried at all.
    pub checked: u64,
    pub violations: u64,
    /// The violation with the fewest records, the earliest of those.
    pub smallest: Option<Example>,
}

/// A violation: what is wrong, and the records that show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Example {
    pub what: String,
    pub records: Vec<String>,
    weight: u64,
}

impl Finding {
    pub(crate) fn new(invariant: &'static str, claim: &'static str) -> Finding {
        Finding { invariant, claim, checked: 0, violations: 0, smallest: None }
    }

    /// Notes a violation; `weight` orders them (how far apart its records are, or when it happened),
    /// the text is made only for the smallest so far.
    pub(crate) fn violated(&mut self, weight: u64, text: impl FnOnce() -> (String, Vec<String>)) {
        self.violations += 1;
        if self.smallest.as_ref().is_none_or(|smallest| weight < smallest.weight) {
            let (what, records) = text();
            self.smallest = Some(Example { what, records, weight });
        }
    }
}

/// The judgement of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    /// Why the recordings do not tell everything.
    pub holes: Vec<String>,
}

impl Verdict {
    pub fn violated(&self) -> bool {
        self.findings.iter().any(|finding| 0 < finding.violations)
    }

    /// No violation was found, and everything needed to find one was there.
    pub fn holds(&self) -> bool {
        !self.violated() && self.holes.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOLES_SHOWN: usize = 5;
        for finding in &self.findings {
            let Finding { invariant, claim, checked, violations, smallest } = finding;
            match smallest {
                None if *checked == 0 => writeln!(f, "untried   {invariant:<4} {claim}")?,
                None => writeln!(f, "ok        {invariant:<4} {claim} ({checked} checked)")?,
                Some(example) => {
                    writeln!(f, "VIOLATED  {invariant:<4} {claim}")?;
                    writeln!(f, "          {violations} times in {checked}; the smallest:")?;
                    writeln!(f, "          {}", example.what)?;
                    for record in &example.records {
                        writeln!(f, "            {record}")?;
                    }
                }
            }
        }
        for hole in self.holes.iter().take(HOLES_SHOWN) {
            writeln!(f, "HOLE      {hole}")?;
        }
        if HOLES_SHOWN < self.holes.len() {
            writeln!(f, "HOLE      and {} more", self.holes.len() - HOLES_SHOWN)?;
        }
        let verdict = match (self.violated(), self.holes.is_empty()) {
            (true, _) => "the history is WRONG",
            (false, true) => "the history is right",
            (false, false) => "nothing wrong was found, but the recordings do not tell everything",
        };
        writeln!(f, "{verdict}")
    }
}
