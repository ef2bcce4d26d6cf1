//! The HTTP half of the contract. Addresses are tried in turn: a call that reached no server goes to
//! the next one; a call that a server answered is not repeated here.

use crate::carrier::Carrier;
use crate::error::{HttpError, Problem};
use crate::frames::{Ack, ChatItem, ChatsPage, HistoryPage, Member, Message, User};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shardline_wire::dial::{Dial, Tcp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

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

/// Of changed members.
#[derive(Deserialize)]
struct Changed {
    ver: u64,
}

/// As the HTTP answer has it: the chat is in the path.
#[derive(Deserialize)]
struct History {
    messages: Vec<Message>,
    head_seq: u64,
    head_ver: u64,
    log: String,
    at_start: bool,
    at_end: bool,
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

    // ---- Accounts ----

    pub async fn register(
        &self,
        name: &str,
        password: &str,
        display_name: Option<&str>,
    ) -> Result<User, HttpError> {
        let mut body = json!({"name": name, "password": password});
        if let Some(display_name) = display_name {
            body["display_name"] = display_name.into();
        }
        self.answer(Method::POST, "/v1/users", None, Some(body)).await
    }

    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        device: &str,
    ) -> Result<Session, HttpError> {
        let body = json!({"name": name, "password": password, "device": device});
        self.answer(Method::POST, "/v1/sessions", None, Some(body)).await
    }

    /// The refresh token given stays good until the new one is first used.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, HttpError> {
        let body = json!({"refresh_token": refresh_token});
        self.answer(Method::POST, "/v1/sessions/refresh", None, Some(body)).await
    }

    /// Ends one session of the token's user, or the token's own.
    pub async fn log_out(&self, token: &str, session: Option<u64>) -> Result<(), HttpError> {
        let which = session.map_or("current".to_owned(), |session| session.to_string());
        let path = format!("/v1/sessions/{which}");
        self.call(Method::DELETE, &path, Some(token), None).await.map(|_| ())
    }

    pub async fn me(&self, token: &str) -> Result<User, HttpError> {
        self.answer(Method::GET, "/v1/me", Some(token), None).await
    }

    /// `change` has the fields of PATCH /v1/me.
    pub async fn change_me(&self, token: &str, change: Value) -> Result<User, HttpError> {
        self.answer(Method::PATCH, "/v1/me", Some(token), Some(change)).await
    }

    /// Users whose name begins with `prefix`.
    pub async fn users(
        &self,
        token: &str,
        prefix: &str,
        limit: u64,
    ) -> Result<Vec<User>, HttpError> {
        let path = format!("/v1/users?name={}&limit={limit}", escaped(prefix));
        let page: Page<User> = self.answer(Method::GET, &path, Some(token), None).await?;
        Ok(page.items)
    }

    pub async fn user(&self, token: &str, user: u64) -> Result<User, HttpError> {
        self.answer(Method::GET, &format!("/v1/users/{user}"), Some(token), None).await
    }

    // ---- Chats ----

    pub async fn create_direct(&self, token: &str, user: u64) -> Result<NewChat, HttpError> {
        self.create(token, json!({"kind": "direct", "user": user.to_string()})).await
    }

    /// `kind` is "group" or "channel". The same `client_chat_id` again answers the same chat, so a call
    /// whose answer was lost can be repeated.
    pub async fn create_group(
        &self,
        token: &str,
        kind: &str,
        title: &str,
        members: &[u64],
        client_chat_id: Uuid,
    ) -> Result<NewChat, HttpError> {
        let members: Vec<String> = members.iter().map(u64::to_string).collect();
        let id = client_chat_id.hyphenated().to_string();
        let body = json!({"kind": kind, "title": title, "members": members, "client_chat_id": id});
        self.create(token, body).await
    }

    async fn create(&self, token: &str, body: Value) -> Result<NewChat, HttpError> {
        let (status, bytes) = self.call(Method::POST, "/v1/chats", Some(token), Some(body)).await?;
        Ok(NewChat { item: read(&bytes)?, existed: status == StatusCode::OK })
    }

    pub async fn chats(
        &self,
        token: &str,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<ChatsPage, HttpError> {
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={}", escaped(cursor)));
        let path = format!("/v1/chats?limit={limit}{cursor}");
        self.answer(Method::GET, &path, Some(token), None).await
    }

    pub async fn chat(&self, token: &str, chat: u64) -> Result<ChatItem, HttpError> {
        self.answer(Method::GET, &format!("/v1/chats/{chat}"), Some(token), None).await
    }

    /// `change` has the fields of PATCH /v1/chats/{id}.
    pub async fn change_chat(
        &self,
        token: &str,
        chat: u64,
        change: Value,
    ) -> Result<ChatItem, HttpError> {
        self.answer(Method::PATCH, &format!("/v1/chats/{chat}"), Some(token), Some(change)).await
    }

    /// Ends the chat for all; the owner's right.
    pub async fn end_chat(&self, token: &str, chat: u64) -> Result<(), HttpError> {
        let path = format!("/v1/chats/{chat}");
        self.call(Method::DELETE, &path, Some(token), None).await.map(|_| ())
    }

    // ---- Members ----

    pub async fn members(
        &self,
        token: &str,
        chat: u64,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<Member>, HttpError> {
        let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={}", escaped(cursor)));
        let path = format!("/v1/chats/{chat}/members?limit={limit}{cursor}");
        self.answer(Method::GET, &path, Some(token), None).await
    }

    /// The ver of the last change.
    pub async fn add_members(
        &self,
        token: &str,
        chat: u64,
        users: &[u64],
        role: Option<&str>,
    ) -> Result<u64, HttpError> {
        let users: Vec<String> = users.iter().map(u64::to_string).collect();
        let mut body = json!({"users": users});
        if let Some(role) = role {
            body["role"] = role.into();
        }
        let path = format!("/v1/chats/{chat}/members");
        let changed: Changed = self.answer(Method::POST, &path, Some(token), Some(body)).await?;
        Ok(changed.ver)
    }

    pub async fn change_member(
        &self,
        token: &str,
        chat: u64,
        user: u64,
        role: &str,
    ) -> Result<(), HttpError> {
        let path = format!("/v1/chats/{chat}/members/{user}");
        let body = json!({"role": role});
        self.call(Method::PATCH, &path, Some(token), Some(body)).await.map(|_| ())
    }

    /// Removes a member; oneself: leaves. The ver of the change.
    pub async fn remove_member(&self, token: &str, chat: u64, user: u64) -> Result<u64, HttpError> {
        let path = format!("/v1/chats/{chat}/members/{user}");
        let changed: Changed = self.answer(Method::DELETE, &path, Some(token), None).await?;
        Ok(changed.ver)
    }

    // ---- Messages ----

    /// Neither bound given: the latest page. Bounds are exclusive.
    pub async fn history(
        &self,
        token: &str,
        chat: u64,
        before_seq: Option<u64>,
        after_seq: Option<u64>,
        limit: u64,
        min_ver: Option<u64>,
    ) -> Result<HistoryPage, HttpError> {
        let mut path = format!("/v1/chats/{chat}/messages?limit={limit}");
        for (name, value) in
            [("before_seq", before_seq), ("after_seq", after_seq), ("min_ver", min_ver)]
        {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={value}"));
            }
        }
        let page: History = self.answer(Method::GET, &path, Some(token), None).await?;
        Ok(HistoryPage {
            chat,
            messages: page.messages,
            head_seq: page.head_seq,
            head_ver: page.head_ver,
            log: page.log,
            at_start: page.at_start,
            at_end: page.at_end,
        })
    }

    /// Sends over HTTP. The same client id again gets the first answer.
    pub async fn send(
        &self,
        token: &str,
        chat: u64,
        client_msg_id: Uuid,
        text: &str,
    ) -> Result<Ack, HttpError> {
        let id = client_msg_id.hyphenated().to_string();
        let body = json!({"client_msg_id": id, "body": {"text": text}});
        let path = format!("/v1/chats/{chat}/messages");
        self.answer(Method::POST, &path, Some(token), Some(body)).await
    }

    /// Answers the cursor as it is now.
    pub async fn read(&self, token: &str, chat: u64, seq: u64) -> Result<u64, HttpError> {
        #[derive(Deserialize)]
        struct Read {
            read_seq: u64,
        }
        let path = format!("/v1/chats/{chat}/read");
        let read: Read =
            self.answer(Method::PUT, &path, Some(token), Some(json!({"seq": seq}))).await?;
        Ok(read.read_seq)
    }

    // ---- Calls ----

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
