//! Accounts, sessions and profiles.

use super::{Http, Page, Session, escaped};
use crate::error::HttpError;
use crate::frames::User;
use hyper::Method;
use serde_json::{Value, json};

impl Http {
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
}
