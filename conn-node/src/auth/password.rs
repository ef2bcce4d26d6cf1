//! Passwords: argon2id, off the runtime's threads, a few at a time. A full queue is an answer, so that
//! a flood of log-ins takes neither all memory nor the time of those who are connected.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

/// Waiting for a turn; at some 30 ms each, the last one waits a second or two.
const WAITING_MAX: usize = 64;
const RETRY_AFTER_MS: u64 = 2_000;

/// What one hash costs: parameters that argon2 takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// The least that OWASP recommends for argon2id: memory in KiB, passes, lanes.
    pub const RECOMMENDED: (u32, u32, u32) = (19_456, 2, 1);

    /// # Errors
    /// If argon2 cannot work with these.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Cost, argon2::Error> {
        let cost = Cost { memory_kib, passes, lanes };
        cost.params().map(|_| cost)
    }

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.passes, self.lanes, None)
    }
}

impl Default for Cost {
    fn default() -> Cost {
        let (memory_kib, passes, lanes) = Cost::RECOMMENDED;
        Cost::new(memory_kib, passes, lanes).expect("what is recommended is allowed")
    }
}

pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// A hash of nobody's password, at the same cost: an unknown name takes the time of a known one.
    decoy: String,
    /// On threads of their own.
    aside: bool,
    /// Hashes under way.
    running: Arc<Semaphore>,
    /// Under way or waiting.
    admitted: Arc<Semaphore>,
}

impl Passwords {
    /// Takes the time of one hash.
    ///
    /// # Errors
    /// If there is no memory for even one.
    pub(crate) fn new(
        cost: Cost,
        at_a_time: usize,
        aside: bool,
    ) -> Result<Passwords, argon2::Error> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
        let nobodys: [u8; 16] = rand::random();
        let decoy = hash_now(&argon2, &nobodys).map_err(|_| argon2::Error::OutOfMemory)?;
        let at_a_time = at_a_time.max(1);
        Ok(Passwords {
            argon2,
            decoy,
            aside,
            running: Arc::new(Semaphore::new(at_a_time)),
            admitted: Arc::new(Semaphore::new(at_a_time + WAITING_MAX)),
        })
    }

    /// The hash as a PHC string. Refused with TRY_AGAIN when too many wait.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Refusal> {
        let argon2 = self.argon2.clone();
        self.run(move || hash_now(&argon2, password.as_bytes())).await?.map_err(|problem| {
            error!(%problem, "a password could not be hashed");
            Refusal::internal("the password could not be hashed")
        })
    }

    /// Whether `hash` is of this password. Without a hash it takes the same time and says no.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Refusal> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let argon2 = self.argon2.clone();
        let is_right = self.run(move || {
            let hash = PasswordHash::new(&hash)?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(problem) => Err(problem),
            }
        });
        let is_right = is_right.await?.map_err(|problem: argon2::password_hash::Error| {
            error!(%problem, "a stored password hash cannot be used");
            Refusal::internal("the password could not be checked")
        })?;
        Ok(is_known && is_right)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let full = || Refusal::try_again("too many log-ins at once", RETRY_AFTER_MS);
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| full())?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| full())?;
        if !self.aside {
            return Ok(work());
        }
        // The work goes on when the asker went away, so the permits go with it.
        let permits: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (admitted, running);
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permits);
            result
        });
        task.await.map_err(|_| Refusal::internal("hashing a password failed"))
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &[u8]) -> argon2::password_hash::Result<String> {
    Ok(argon2.hash_password(password)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::refusal::Code;

    fn cheap() -> Passwords {
        Passwords::new(Cost::new(64, 1, 1).expect("allowed"), 1, true).expect("there is memory")
    }

    #[tokio::test]
    async fn only_the_same_password_fits_its_hash() {
        let passwords = cheap();
        let hash = passwords.hash("correct horse".to_owned()).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        let again = passwords.hash("correct horse".to_owned()).await.expect("hashes");
        assert_ne!(hash, again, "each has its own salt");
        for (password, fits) in [("correct horse", true), ("correct horsf", false), ("", false)] {
            let verdict = passwords.verify(password.to_owned(), Some(hash.clone())).await;
            assert_eq!(verdict.expect("checks"), fits, "{password}");
        }
    }

    #[tokio::test]
    async fn without_a_hash_the_answer_is_no() {
        assert!(!cheap().verify("anything".to_owned(), None).await.expect("checks"));
    }

    #[tokio::test]
    async fn a_broken_hash_is_a_defect_not_a_wrong_password() {
        let verdict = cheap().verify("x".to_owned(), Some("not a hash".to_owned())).await;
        assert_eq!(verdict.map_err(|refusal| refusal.code()), Err(Code::Internal));
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer() {
        let passwords = cheap();
        let _taken = passwords.admitted.clone().try_acquire_many_owned(65).expect("all free");
        let refusal = passwords.hash("x".to_owned()).await.expect_err("is full");
        assert_eq!(refusal.code(), Code::TryAgain);
        assert_eq!(refusal.retry_after_ms, Some(RETRY_AFTER_MS));
    }
}
