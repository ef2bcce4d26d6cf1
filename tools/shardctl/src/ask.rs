//! Reaching a router and asking it.

use crate::cli::Cli;
use shardline_wire::internal::admin_service_client::AdminServiceClient;
use shardline_wire::internal::{
    ListNodesAnswer, ListNodesRequest, ListShardsAnswer, ListShardsRequest, ListSlotsAnswer,
    ListSlotsRequest, WhereAnswer, WhereRequest,
};
use shardline_wire::link::Trust;
use std::error::Error;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

type Client = AdminServiceClient<Channel>;

/// All say what to do next.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("refused: {message}{}", next(.hint))]
    Refused { message: String, hint: &'static str },
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

/// A router that can be asked.
pub(crate) struct Router {
    address: String,
    client: Client,
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
                    let (address, client) = (address.clone(), Client::new(channel));
                    return Ok(Router { address, client, trust, patience });
                }
                Ok(Err(error)) => tried.push(format!("{address}: {}", innermost(&error))),
                Err(_) => tried.push(format!("{address}: no answer in {patience:?}")),
            }
        }
        Err(AskError::NotReached { tried: tried.join(", ") })
    }

    pub(crate) async fn ask<Q, A, F>(
        &self,
        question: Q,
        call: impl FnOnce(Client, Request<Q>) -> F,
    ) -> Result<A, AskError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(question);
        request.set_timeout(self.patience);
        self.trust.put_on(&mut request);
        match timeout(self.patience, call(self.client.clone(), request)).await {
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
            Code::Unauthenticated => "give the cluster's secret with SHARDLINE_SECRET or --secret",
            Code::Unimplemented => {
                "this router is of another version or listens for something else"
            }
            Code::Unavailable => {
                "try again in a moment; the router's /readyz says what it waits for"
            }
            Code::DeadlineExceeded | Code::Cancelled => "try again with a longer --timeout",
            _ => "",
        };
        let message = match status.message() {
            "" => format!("{:?}", status.code()).to_lowercase(),
            message => message.to_owned(),
        };
        AskError::Refused { message, hint }
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
    // Without a secret the router says what is missing.
    let trust = Trust::parse(cli.secret.as_deref().unwrap_or_default(), tls);
    trust.map_err(|error| AskError::Usage(format!("--{}: {error}", error.setting())))
}

/// What really happened: transports wrap it several times.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

pub(crate) async fn list_shards(
    mut client: Client,
    request: Request<ListShardsRequest>,
) -> Result<Response<ListShardsAnswer>, Status> {
    client.list_shards(request).await
}

pub(crate) async fn list_slots(
    mut client: Client,
    request: Request<ListSlotsRequest>,
) -> Result<Response<ListSlotsAnswer>, Status> {
    client.list_slots(request).await
}

pub(crate) async fn where_is(
    mut client: Client,
    request: Request<WhereRequest>,
) -> Result<Response<WhereAnswer>, Status> {
    client.r#where(request).await
}

pub(crate) async fn list_nodes(
    mut client: Client,
    request: Request<ListNodesRequest>,
) -> Result<Response<ListNodesAnswer>, Status> {
    client.list_nodes(request).await
}
