//! Which schemas a program runs on. A schema changes by numbered steps; what counts for an upgrade without
//! a stop is not how many there are, but of which release they are: steps of one release only add, so
//! programs of the release before go on beside those of the new one.

/// Of this program. `migrations/releases` says which steps came with it; a test holds both together.
pub const RELEASE: u32 = 1;

/// A schema, or what a program needs: the release of its newest step, and that step's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schema {
    /// A database from before releases were noted counts as of the first.
    pub release: u32,
    pub step: u32,
}

/// What a program makes of a database's schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    Runs,
    /// Steps are missing that this program needs.
    TooOld,
    /// It may lack by now what this program needs.
    TooNew,
}

/// A program runs on the schema of its own release and of the next one.
pub fn fit(found: Schema, own: Schema) -> Fit {
    if found.step < own.step {
        Fit::TooOld
    } else if own.release + 1 < found.release {
        Fit::TooNew
    } else {
        Fit::Runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: (u32, u32), expected: Fit) {
        let own = Schema { release: 3, step: 20 };
        let (release, step) = found;
        assert_eq!(fit(Schema { release, step }, own), expected, "{found:?}");
    }

    #[test]
    fn a_program_runs_on_its_release_and_the_next_however_many_steps_that_is() {
        check((3, 20), Fit::Runs);
        check((3, 21), Fit::Runs);
        check((4, 21), Fit::Runs);
        check((4, 90), Fit::Runs);
        check((5, 91), Fit::TooNew);
        check((2, 19), Fit::TooOld);
        // The next release's steps come after all of this one's, so this cannot be; it needs the step.
        check((4, 19), Fit::TooOld);
    }
}
