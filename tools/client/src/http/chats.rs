//! Chats and their members.

use super::{Http, NewChat, Page, escaped, read};
use crate::error::HttpError;
use crate::frames::{ChatItem, ChatsPage, Member};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Of changed members.
#[derive(Deserialize)]
struct Changed {
    ver: u64,
}

impl Http {
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
}
