//! Who is talking: logs in, or registers a name that nobody has.

use crate::terminal::Terminal;
use anyhow::{Result, anyhow, bail};
use shardline_client::{Http, HttpError, Session};

pub(crate) struct Entered {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) session: Session,
}

/// None if the input ended.
pub(crate) async fn enter(
    http: &Http,
    terminal: &mut Terminal,
    name: Option<String>,
    password: Option<String>,
) -> Result<Option<Entered>> {
    let name = match name {
        Some(name) => name,
        None => match terminal.question("name: ").await {
            Some(name) => name.trim().to_owned(),
            None => return Ok(None),
        },
    };
    let password = match password {
        Some(password) => password,
        None => match terminal.secret("password: ").await {
            Some(password) => password,
            None => return Ok(None),
        },
    };
    let session = match http.log_in(&name, &password, "talk").await {
        Ok(session) => session,
        Err(HttpError::Refused { status: 401 | 404, refused }) => {
            // The server does not say whether there is such a name.
            if terminal.interactive {
                terminal.notice(&format!("{}: {}", name, refused.message));
                let question = format!("register {name} as a new user? [y/N] ");
                let sure = terminal.question(&question).await;
                if !sure.is_some_and(|answer| answer.trim().eq_ignore_ascii_case("y")) {
                    bail!("not logged in");
                }
            }
            match http.register(&name, &password, None).await {
                Ok(_) => terminal.notice(&format!("{name} is registered")),
                Err(HttpError::Refused { status: 409, .. }) => bail!("wrong password for {name}"),
                Err(error) => return Err(anyhow!("registering {name}: {error}")),
            }
            http.log_in(&name, &password, "talk").await?
        }
        Err(error) => return Err(anyhow!("logging in {name}: {error}")),
    };
    Ok(Some(Entered { name, password, session }))
}
