//! Reaching a router and asking it.

use crate::cli::Cli;
use shardline_wire::internal::admin_service_client::AdminServiceClient;
use shardline_wire::internal::check_service_client::CheckServiceClient;
use shardline_wire::internal::operations_service_client::OperationsServiceClient;
use shardline_wire::link::{Trust, TrustError};
use std::error::Error;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// A page of findings, each with its words.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(crate) type Questions = AdminServiceClient<Channel>;
pub(crate) type Operations = OperationsServiceClient<Channel>;
pub(crate) type Checks = CheckServiceClient<Channel>;

/// All say what to do next.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("refused: {message}{}", next(.hint))]
    Refused { code: Code, message: String, hint: String },
    #[error(
        "no router reached: {tried}; is it running, and is --router (or SHARDCTL_ROUTER) its address?"
    )]
    NotReached { tried: String },
    #[error("{0}")]
    Usage(String),
}

fn next(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

impl AskError {
    /// What to do about a refusal with this code, where the command knows it.
    pub(crate) fn hint(self, when: Code, what: impl FnOnce() -> String) -> AskError {
        match self {
            AskError::Refused { code, message, .. } if code == when => {
                AskError::Refused { code, message, hint: what() }
            }
            other => other,
        }
    }

    /// A later question may be answered.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            AskError::NotReached { .. } => true,
            AskError::Refused { code, .. } => matches!(
                code,
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            ),
            AskError::Usage(_) => false,
        }
    }
}

/// A router that can be asked.
pub(crate) struct Router {
    address: String,
    channel: Channel,
    trust: Trust,
    patience: Duration,
}

impl Router {
    /// The first of the routers that takes a connection.
    pub(crate) async fn reach(cli: &Cli) -> Result<Router, AskError> {
        let patience = Duration::from_secs(cli.timeout);
        let trust = trust(cli)?;
        let mut tried = Vec::new();
        for address in &cli.router {
            match timeout(patience, connect(&trust, address)?.connect()).await {
                Ok(Ok(channel)) => {
                    let address = address.clone();
                    return Ok(Router { address, channel, trust, patience });
                }
                Ok(Err(error)) => tried.push(format!("{address}: {}", innermost(&error))),
                Err(_) => tried.push(format!("{address}: no answer in {patience:?}")),
            }
        }
        Err(AskError::NotReached { tried: tried.join(", ") })
    }

    /// Changes nothing.
    pub(crate) async fn ask<Q, A>(
        &self,
        question: Q,
        call: impl AsyncFnOnce(Questions, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, AskError> {
        let client = Questions::new(self.channel.clone());
        self.answered(call(client, self.request(question))).await
    }

    pub(crate) async fn operate<Q, A>(
        &self,
        question: Q,
        call: impl AsyncFnOnce(Operations, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, AskError> {
        let client = Operations::new(self.channel.clone());
        self.answered(call(client, self.request(question))).await
    }

    pub(crate) async fn check<Q, A>(
        &self,
        question: Q,
        call: impl AsyncFnOnce(Checks, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, AskError> {
        let client = Checks::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        self.answered(call(client, self.request(question))).await
    }

    fn request<Q>(&self, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        request.set_timeout(self.patience);
        self.trust.put_on(&mut request);
        request
    }

    async fn answered<A>(
        &self,
        call: impl Future<Output = Result<Response<A>, Status>>,
    ) -> Result<A, AskError> {
        match timeout(self.patience, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.not_reached(&format!("no answer in {:?}", self.patience))),
        }
    }

    fn not_reached(&self, why: &str) -> AskError {
        AskError::NotReached { tried: format!("{}: {why}", self.address) }
    }

    fn failed(&self, status: &Status) -> AskError {
        // With a source it comes from our side of the connection: nobody answered.
        if let Some(source) = status.source() {
            return self.not_reached(&innermost(source));
        }
        let hint = match status.code() {
            Code::Unauthenticated => {
                "give the operators' secret with SHARDLINE_ADMIN_SECRET or --admin-secret, or the \
                 cluster's with SHARDLINE_SECRET or --secret if it has no other"
            }
            Code::Unimplemented => {
                "this router is of another version or listens for something else"
            }
            Code::Unavailable => {
                "try again in a moment (a change that comes twice does no harm); the router's /readyz \
                 says what it waits for"
            }
            Code::DeadlineExceeded | Code::Cancelled => "try again with a longer --timeout",
            _ => "",
        };
        let message = match status.message() {
            "" => format!("{:?}", status.code()).to_lowercase(),
            message => message.to_owned(),
        };
        AskError::Refused { code: status.code(), message, hint: hint.to_owned() }
    }
}

fn connect(trust: &Trust, address: &str) -> Result<Endpoint, AskError> {
    let usage =
        |_| AskError::Usage(format!("`{address}` is not a router's address like host:8111"));
    trust.endpoint(address).map_err(usage)
}

/// What we show to routers, and whom we believe.
fn trust(cli: &Cli) -> Result<Trust, AskError> {
    let files = [&cli.tls_ca, &cli.tls_cert, &cli.tls_key];
    let mut texts = Vec::new();
    for path in files.into_iter().flatten() {
        let text = std::fs::read_to_string(path);
        texts.push(text.map_err(|error| AskError::Usage(format!("{}: {error}", path.display())))?);
    }
    let tls = match texts.as_slice() {
        [] => None,
        [authority, certificate, key] => Some([&**authority, &**certificate, &**key]),
        _ => {
            let together = "--tls-ca, --tls-cert and --tls-key go together";
            return Err(AskError::Usage(together.to_owned()));
        }
    };
    // A cluster without operators' secret takes its own. Without any the router says what is missing.
    let (flag, secret) = match (&cli.admin_secret, &cli.secret) {
        (Some(secret), _) => ("admin-secret", secret.as_str()),
        (None, secret) => ("secret", secret.as_deref().unwrap_or_default()),
    };
    Trust::parse(secret, tls).map_err(|error| {
        let setting = if error == TrustError::Secret { flag } else { error.setting() };
        AskError::Usage(format!("--{setting}: {error}"))
    })
}

/// What really happened: transports wrap it several times.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
