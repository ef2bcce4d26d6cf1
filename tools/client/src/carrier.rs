//! One HTTP call to one address, over connections that are kept for the next.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use shardline_wire::dial::{Connector, Dial, connector};
use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// From connecting to the whole answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Unused ones; servers end theirs later.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    client: Client<Connector, Full<Bytes>>,
    dial: Arc<dyn Dial>,
}

/// No answer.
pub(crate) struct NotCarried {
    /// No connection was made, so it had no effect.
    pub(crate) never_left: bool,
    pub(crate) why: String,
}

impl Carrier {
    pub(crate) fn new(dial: Arc<dyn Dial>) -> Carrier {
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX);
        Carrier { client: client.build(connector(dial.clone(), CONNECT_TIME_MAX)), dial }
    }

    pub(crate) fn dial(&self) -> Arc<dyn Dial> {
        self.dial.clone()
    }

    pub(crate) async fn carry(
        &self,
        method: &Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>), NotCarried> {
        let never_left = |why: &dyn Display| NotCarried { never_left: true, why: why.to_string() };
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| never_left(&error))?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| NotCarried {
                never_left: error.is_connect(),
                why: with_cause(&error),
            })?;
            let status = answer.status();
            let lost = |error| NotCarried { never_left: false, why: with_cause(&error) };
            let bytes = answer.into_body().collect().await.map_err(lost)?.to_bytes();
            Ok((status, bytes.to_vec()))
        };
        timeout(CALL_TIME_MAX, asking).await.unwrap_or_else(|_| {
            Err(NotCarried { never_left: false, why: "no answer in time".to_owned() })
        })
    }
}

/// What hyper says of an error is less than what caused it.
fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
