//! What is done to one process, server or link, and how it comes back.

use crate::cluster::{Cluster, signal};
use crate::lie::{self, Lie};
use crate::links::Links;
use crate::proxy::Mode;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::time::Duration;
use tokio::time::sleep;

/// A commit that is waited for comes within this, or not at all.
const COMMIT_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Nothing,
    /// kill -9; it is started again after so long.
    Kill {
        away: Duration,
    },
    Pause,
    Break(Mode),
    /// For a while it believes this.
    Lie(Lie),
    /// The next commit of a transaction with this statement is not answered.
    LoseAnswer(&'static str),
}

/// Ready to be dealt at once.
pub(crate) struct Blow {
    pub(crate) name: String,
    pub(crate) deed: Deed,
    pid: Pid,
}

/// What there is to say once it is over.
pub(crate) struct Mended {
    pub(crate) note: String,
    /// Where it shows only afterwards whether it hit.
    pub(crate) hit: Option<bool>,
}

impl Mended {
    pub(crate) fn with(note: String) -> Mended {
        Mended { note, hit: None }
    }
}

impl Blow {
    pub(crate) fn prepare(cluster: &Cluster, name: String, deed: Deed) -> Result<Blow> {
        let pids = cluster.pids()?;
        let pid = *pids.get(&name).with_context(|| format!("{name} does not run"))?;
        Ok(Blow { name, deed, pid })
    }

    pub(crate) fn strike(&self, cluster: &Cluster, links: &Links) -> Result<()> {
        match self.deed {
            Deed::Nothing => Ok(()),
            Deed::Kill { .. } => signal(self.pid, Signal::SIGKILL),
            Deed::Pause => signal(self.pid, Signal::SIGSTOP),
            Deed::Break(mode) => links.to(&self.name).map(|link| link.set(mode)),
            Deed::Lie(lie) => lie::tell(cluster, &self.name, Some(lie)),
            Deed::LoseAnswer(statement) => {
                links.to(&self.name).map(|link| link.lose_answer_to(statement))
            }
        }
    }

    /// A process that was stopped goes on.
    pub(crate) fn wake(&self) -> Result<()> {
        signal(self.pid, Signal::SIGCONT)
    }

    /// What was hit comes back, pauses and broken links after `pause`.
    pub(crate) async fn mend(
        &self,
        cluster: &Cluster,
        links: &Links,
        pause: Duration,
    ) -> Result<Mended> {
        let lasted = || Mended::with(format!("{:.1} s", pause.as_secs_f64()));
        match self.deed {
            Deed::Nothing => Ok(Mended::with(String::new())),
            Deed::Kill { away } => {
                sleep(away).await;
                cluster.bring_back(&[&self.name]).await?;
                Ok(Mended::with(String::new()))
            }
            Deed::Pause => {
                sleep(pause).await;
                self.wake()?;
                Ok(lasted())
            }
            Deed::Break(_) => {
                sleep(pause).await;
                links.to(&self.name)?.set(Mode::Pass);
                Ok(lasted())
            }
            Deed::Lie(_) => {
                sleep(pause).await;
                lie::tell(cluster, &self.name, None)?;
                // A server may have given up for it.
                cluster.bring_back(&[&self.name]).await?;
                Ok(lasted())
            }
            Deed::LoseAnswer(_) => {
                let hit = Some(links.to(&self.name)?.lost_it(COMMIT_MAX).await);
                Ok(Mended { note: String::new(), hit })
            }
        }
    }
}
