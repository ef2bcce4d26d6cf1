//! How much a copy may take beside people's writes. It is told what commits take and how far replicas are
//! behind; where either says that the database has too much to do, copying takes a smaller share of the
//! time, and more again once it does not. Times are given.

mod commits;
mod lag;
mod share;

pub(crate) use commits::CommitTimes;

use commits::Commits;
use lag::Lag;
use parking_lot::Mutex;
use share::Share;
use std::collections::BTreeMap;
use std::time::Duration;

/// A replica that is further behind makes copying stop until it is not.
const LAG_MAX: Duration = Duration::from_secs(1);

/// Of a shard's database, as its one writer sees it.
#[derive(Default)]
pub(crate) struct Pressure {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    commits: Commits,
    share: Share,
    replicas: BTreeMap<String, Lag>,
}

/// What a copy gives way to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Strain {
    None,
    /// Commits take clearly longer than usual, here or on the other side.
    Commits,
    /// This replica is behind.
    Replica(String),
}

impl Pressure {
    /// A commit of people's writes took so long.
    pub(crate) fn committed(&self, took: Duration, now: Duration) {
        self.inner.lock().commits.take(took, now);
    }

    /// A copy reads or writes here: what commits take now is not what they usually do.
    pub(crate) fn disturb(&self, now: Duration) {
        self.inner.lock().commits.disturb(now);
    }

    pub(crate) fn commit_times(&self, now: Duration) -> CommitTimes {
        self.inner.lock().commits.times(now)
    }

    /// Copying takes as little as it ever does: it is hardly felt.
    pub(crate) fn is_gentle(&self) -> bool {
        self.inner.lock().share.is_least()
    }

    /// Looks at both sides, and takes a smaller or larger share from here on.
    pub(crate) fn look(&self, now: Duration, other_side: CommitTimes) -> Strain {
        let mut inner = self.inner.lock();
        let Inner { commits, share, replicas } = &mut *inner;
        let own = commits.times(now);
        // A shard that is new has no usual time; the other side's is the best guess.
        let own = CommitTimes { usual: own.usual.or(other_side.usual), ..own };
        let slow = own.are_slow() || other_side.are_slow();
        share.adapt(slow, now);
        let behind = replicas.iter().find(|(_, lag)| LAG_MAX < lag.at(now));
        match behind {
            Some((name, _)) => Strain::Replica(name.clone()),
            None if slow => Strain::Commits,
            None => Strain::None,
        }
    }

    /// For how long to leave the database alone after a page that took so long.
    pub(crate) fn rest_after(&self, took: Duration) -> Duration {
        self.inner.lock().share.rest_after(took)
    }

    /// Of the time, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.inner.lock().share.fraction()
    }

    /// From now on it is known whether this replica has what its primary has now.
    pub(crate) fn replica_asked(&self, name: &str, now: Duration) {
        self.inner.lock().replicas.entry(name.to_owned()).or_default().ask(now);
    }

    /// It has what was asked for. Returns how far it was behind.
    pub(crate) fn replica_answered(&self, name: &str, now: Duration) -> Duration {
        self.inner.lock().replicas.entry(name.to_owned()).or_default().answer(now)
    }

    /// How far it is behind, as far as that is known by now.
    pub(crate) fn replica_lag(&self, name: &str, now: Duration) -> Duration {
        self.inner.lock().replicas.get(name).map_or(Duration::ZERO, |lag| lag.at(now))
    }

    /// It cannot be asked; nothing waits for it.
    pub(crate) fn replica_unseen(&self, name: &str) {
        self.inner.lock().replicas.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Commits every 10 ms for so long, each of which takes `took`.
    fn commits(pressure: &Pressure, from: Duration, seconds: u32, took: Duration) -> Duration {
        for step in 0..seconds * 100 {
            pressure.committed(took, from + MILLI * 10 * step);
        }
        from + Duration::from_secs(seconds.into())
    }

    #[test]
    fn copying_gives_way_to_slow_commits_and_comes_back() {
        let pressure = Pressure::default();
        let none = CommitTimes::default();
        let mut now = commits(&pressure, Duration::ZERO, 60, MILLI * 5);
        assert_eq!(pressure.look(now, none), Strain::None);
        assert_eq!(pressure.rest_after(MILLI * 20), MILLI * 20);
        for _ in 0..10 {
            pressure.disturb(now);
            now = commits(&pressure, now, 1, MILLI * 20);
            assert_eq!(pressure.look(now, none), Strain::Commits);
        }
        assert!(pressure.is_gentle());
        assert!(MILLI * 200 < pressure.rest_after(MILLI * 20));
        for _ in 0..40 {
            pressure.disturb(now);
            now = commits(&pressure, now, 1, MILLI * 5);
            pressure.look(now, none);
        }
        assert_eq!(pressure.look(now, none), Strain::None);
        assert_eq!(pressure.rest_after(MILLI * 20), MILLI * 20);
    }

    #[test]
    fn what_is_slow_without_any_copying_is_usual() {
        let pressure = Pressure::default();
        let mut now = commits(&pressure, Duration::ZERO, 60, MILLI * 5);
        // While copying takes its least, people's load grows: that is not the copy's doing.
        let mut strained = 0;
        for _ in 0..600 {
            if !pressure.is_gentle() {
                pressure.disturb(now);
            }
            now = commits(&pressure, now, 1, MILLI * 20);
            strained += u32::from(pressure.look(now, CommitTimes::default()) != Strain::None);
        }
        assert!((3..150).contains(&strained), "{strained}");
        assert_eq!(pressure.rest_after(MILLI * 20), MILLI * 20);
    }

    #[test]
    fn a_new_shard_compares_with_the_other_side() {
        let pressure = Pressure::default();
        pressure.disturb(Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..10 {
            now = commits(&pressure, now, 1, MILLI * 30);
            pressure.disturb(now);
        }
        assert_eq!(pressure.look(now, CommitTimes::default()), Strain::None);
        let other = CommitTimes { recent: Some(MILLI * 5), usual: Some(MILLI * 5) };
        assert_eq!(pressure.look(now, other), Strain::Commits);
        let slow = CommitTimes { recent: Some(MILLI * 50), usual: Some(MILLI * 30) };
        assert_eq!(Pressure::default().look(now, slow), Strain::Commits);
    }

    #[test]
    fn a_replica_that_is_behind_is_waited_for_and_one_that_is_away_is_not() {
        let pressure = Pressure::default();
        let second = Duration::from_secs(1);
        let look = |now| pressure.look(now, CommitTimes::default());
        pressure.replica_asked("db-2", second);
        assert_eq!(look(second * 2), Strain::None);
        assert_eq!(look(second * 3), Strain::Replica("db-2".to_owned()));
        assert_eq!(pressure.replica_answered("db-2", second * 9), second * 8);
        assert_eq!(look(second * 9), Strain::Replica("db-2".to_owned()));
        pressure.replica_asked("db-2", second * 10);
        pressure.replica_answered("db-2", second * 10);
        assert_eq!(look(second * 11), Strain::None);
        pressure.replica_asked("db-2", second * 12);
        pressure.replica_unseen("db-2");
        assert_eq!(look(second * 99), Strain::None);
    }
}
