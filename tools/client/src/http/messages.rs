//! Messages, and how far they were read.

use super::Http;
use crate::error::HttpError;
use crate::frames::{Ack, HistoryPage, Message};
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

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
}
