//! The HTTP half of the contract. Addresses are tried in turn: a call that reached no server goes to
//! the next one; a call that a server answered is not repeated here.

mod accounts;
mod chats;
mod messages;

use crate::carrier::Carrier;
use crate::error::{HttpError, Problem};
use crate::frames::ChatItem;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shardline_wire::dial::{Dial, Tcp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Http {
    carrier: Carrier,
    addresses: Arc<[String]>,
    /// The address that worked last.
    current: Arc<AtomicUsize>,
}

/// What log-in and refresh answer: whoever has it acts as the user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub token: String,
    pub expires_at_ms: i64,
    pub refresh_token: String,
    #[serde(with = "shardline_wire::json::id")]
    pub user: u64,
    #[serde(with = "shardline_wire::json::id")]
    pub session: u64,
}

impl std::fmt::Debug for Session {
    /// Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} of user {})", self.session, self.user)
    }
}

/// A chat that was made, or was there already.
#[derive(Clone, PartialEq, Debug)]
pub struct NewChat {
    pub item: ChatItem,
    pub existed: bool,
}

/// One page of a list.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl Http {
    /// `addresses` are of the form `http://host:port`, or `http://host` for port 80; at least one.
    pub fn new(addresses: Vec<String>) -> Result<Http, HttpError> {
        Http::over(Arc::new(Tcp), addresses)
    }

    /// The same over connections that are made in this way, sockets included.
    pub fn over(dial: Arc<dyn Dial>, addresses: Vec<String>) -> Result<Http, HttpError> {
        if addresses.is_empty() {
            return Err(HttpError::Unreachable("no address was given".to_owned()));
        }
        let addresses = addresses.iter().map(|address| whole(address)).collect::<Result<_, _>>()?;
        Ok(Http { carrier: Carrier::new(dial), addresses, current: Arc::default() })
    }

    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn dial(&self) -> Arc<dyn Dial> {
        self.carrier.dial()
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<T, HttpError> {
        let (_, bytes) = self.call(method, path, token, body).await?;
        read(&bytes)
    }

    /// Any call; the answer's status and bytes if it is a success.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<(StatusCode, Vec<u8>), HttpError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut why = String::new();
        for offset in 0..self.addresses.len() {
            let index = (first + offset) % self.addresses.len();
            let url = format!("{}{path}", self.addresses[index]);
            match self.carrier.carry(&method, &url, token, body.as_ref()).await {
                Ok((status, bytes)) => {
                    self.current.store(index, Ordering::Relaxed);
                    return settle(status, bytes);
                }
                // Only a connection that was never made is surely without effect.
                Err(error) if error.never_left => why = error.why,
                Err(error) => return Err(HttpError::Unreachable(error.why)),
            }
        }
        Err(HttpError::Unreachable(why))
    }
}

fn settle(status: StatusCode, bytes: Vec<u8>) -> Result<(StatusCode, Vec<u8>), HttpError> {
    if status.is_success() {
        return Ok((status, bytes));
    }
    let problem: Problem = serde_json::from_slice(&bytes)
        .map_err(|_| HttpError::Unreadable(format!("{status} without a problem+json body")))?;
    Err(HttpError::Refused { status: status.as_u16(), refused: problem.into() })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    serde_json::from_slice(bytes).map_err(|e| HttpError::Unreadable(e.to_string()))
}

/// The address with its port. Nothing is sent in the clear to whoever asks for more.
fn whole(address: &str) -> Result<String, HttpError> {
    let Some(host) = address.trim_end_matches('/').strip_prefix("http://") else {
        let why = format!("{address} is no address of the form http://host:port");
        return Err(HttpError::Unreachable(why));
    };
    // The colons of an IPv6 address stand in brackets.
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    Ok(if has_port { format!("http://{host}") } else { format!("http://{host}:80") })
}

/// Percent-encodes everything but unreserved characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_nothing_is_promised_that_is_not_kept() {
        for (given, meant) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://chat.example", "http://chat.example:80"),
            ("http://[::1]", "http://[::1]:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(whole(given).ok().as_deref(), Some(meant));
        }
        for wrong in ["https://chat.example", "chat.example:8080", ""] {
            assert!(whole(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_a_query_is_escaped() {
        assert_eq!(escaped("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(escaped("a b&c=é+/"), "a%20b%26c%3D%C3%A9%2B%2F");
    }

    #[test]
    fn a_session_is_never_printed_with_its_tokens() {
        let session = Session {
            token: "secret".to_owned(),
            expires_at_ms: 1,
            refresh_token: "secret".to_owned(),
            user: 5,
            session: 6,
        };
        assert!(!format!("{session:?}").contains("secret"));
    }
}
