//! Users for a run: from a file if it has them, else registered. Hashing passwords is the servers'
//! dearest work, so it is done a few at a time, and sessions are used again by the next run.

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use shardline_client::{Encoding, Http, HttpError, Options, Session};
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Registrations and log-ins at once.
const AT_ONCE: usize = 8;
/// How long a server may say "later".
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub password: String,
    #[serde(default)]
    pub session: Option<Session>,
}

impl Account {
    /// How it connects: to this address first.
    pub fn options(&self, encoding: Encoding, first_address: usize) -> Options {
        Options {
            encoding,
            device: "load".to_owned(),
            first_address,
            password: Some((self.name.clone(), self.password.clone())),
            ..Options::default()
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Users {
    users: Vec<Account>,
}

/// `count` accounts with good sessions.
pub async fn gather(http: &Http, count: usize, file: Option<&Path>) -> Result<Vec<Account>> {
    let mut accounts = match file {
        Some(file) if file.exists() => {
            let text = std::fs::read(file).with_context(|| file.display().to_string())?;
            let users: Users =
                serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
            users.users
        }
        _ => Vec::new(),
    };
    let run: u32 = rand::random();
    for index in accounts.len()..count {
        let password = format!("{:032x}", rand::random::<u128>());
        accounts.push(Account { name: format!("load-{run:08x}-{index}"), password, session: None });
    }
    // Those beyond the count stay in the file as they are.
    let rest = accounts.split_off(count);
    let mut accounts: Vec<Account> = stream::iter(accounts)
        .map(|account| admit(http, account))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    if let Some(file) = file {
        let users = Users { users: accounts.iter().cloned().chain(rest).collect() };
        save(file, &users)?;
    }
    accounts.truncate(count);
    Ok(accounts)
}

/// Sessions as they are at the end of a run: refresh tokens change while it lasts.
pub fn keep_sessions(file: &Path, sessions: &[Session]) -> Result<()> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    let mut users: Users = serde_json::from_slice(&text)?;
    for account in &mut users.users {
        let user = account.session.as_ref().map(|session| session.user);
        if let Some(session) = sessions.iter().find(|session| Some(session.user) == user) {
            account.session = Some(session.clone());
        }
    }
    save(file, &users)
}

/// Through another name, so that a kill leaves the old file or the new one.
fn save(file: &Path, users: &Users) -> Result<()> {
    let whole = serde_json::to_vec_pretty(users)?;
    let next = file.with_extension("next");
    std::fs::write(&next, whole).with_context(|| next.display().to_string())?;
    std::fs::rename(&next, file).with_context(|| file.display().to_string())
}

/// Renews the session, or logs in, or registers and logs in.
async fn admit(http: &Http, mut account: Account) -> Result<Account> {
    if let Some(session) = &account.session {
        match patiently(|| http.refresh(&session.refresh_token)).await {
            Ok(session) => {
                account.session = Some(session);
                return Ok(account);
            }
            Err(HttpError::Refused { status: 401 | 404, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (name, password) = (account.name.clone(), account.password.clone());
    let log_in = || http.log_in(&name, &password, "load");
    let known = account.session.is_some();
    let session = match if known { patiently(log_in).await.ok() } else { None } {
        Some(session) => session,
        None => {
            let registered = patiently(|| http.register(&name, &password, None)).await;
            match registered {
                // Taken: by an earlier attempt whose answer was lost; the password will tell.
                Ok(_) | Err(HttpError::Refused { status: 409, .. }) => {}
                Err(error) => return Err(anyhow!("registering {name}: {error}")),
            }
            patiently(log_in).await.with_context(|| format!("logging in {name}"))?
        }
    };
    account.session = Some(session);
    Ok(account)
}

/// Repeats what was answered "later", or not at all.
pub async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, HttpError>
where
    F: Future<Output = Result<T, HttpError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let pause = match &error {
            HttpError::Refused { status: 429 | 503, refused } => {
                refused.retry_after.unwrap_or(PAUSE)
            }
            HttpError::Unreachable(_) => PAUSE,
            _ => return Err(error),
        };
        if until < Instant::now() + pause {
            return Err(error);
        }
        sleep(pause).await;
    }
}
