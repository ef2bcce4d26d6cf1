//! Mutual TLS between our processes: both ends of every connection show a certificate of the cluster's
//! own authority.

use std::error::Error;
use std::sync::Arc;
use thiserror::Error;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

/// The DNS name that every certificate of our processes must carry, and that whoever connects checks.
/// Not the host's: addresses come from the catalog and change, and what must be known is that the
/// other end belongs to this cluster.
pub const TLS_NAME: &str = "shardline";

/// What one process shows and whom it believes. Not shown by `Debug`: it holds a private key.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerTlsConfig>,
    client: Arc<ClientTlsConfig>,
}

/// What is wrong with which of the three files.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TlsError {
    #[error("the authority's file has no PEM certificate")]
    Authority,
    #[error("the certificate's file has no PEM certificate")]
    Certificate,
    #[error("the key's file has no PEM private key")]
    Key,
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(String),
}

impl Tls {
    /// From PEM: the authority that signed all certificates, this process's certificate (with what
    /// leads to the authority), and its private key.
    ///
    /// # Errors
    /// If one of them is none, or the key is another certificate's. Names and dates are judged by the
    /// other end of a connection.
    pub fn parse(authority: &str, certificate: &str, key: &str) -> Result<Tls, TlsError> {
        for (text, label, error) in [
            (authority, "CERTIFICATE-----", TlsError::Authority),
            (certificate, "CERTIFICATE-----", TlsError::Certificate),
            (key, "PRIVATE KEY-----", TlsError::Key),
        ] {
            if !text.contains("-----BEGIN ") || !text.contains(label) {
                return Err(error);
            }
        }
        let authority = Certificate::from_pem(authority);
        let identity = Identity::from_pem(certificate, key);
        let server =
            ServerTlsConfig::new().identity(identity.clone()).client_ca_root(authority.clone());
        let client = ClientTlsConfig::new()
            .ca_certificate(authority)
            .identity(identity)
            .domain_name(TLS_NAME);
        let tls = Tls { server: Arc::new(server), client: Arc::new(client) };
        // Made once here, so that a mistake is known at the start and not at the first connection.
        let usable = tls.on_server(Server::builder()).map(drop);
        let usable =
            usable.and_then(|()| tls.on(Endpoint::from_static("https://[::1]:1")).map(drop));
        usable.map_err(|error| TlsError::Pair(causes(&error)))?;
        Ok(tls)
    }

    /// A connection that is made only to a process of this cluster.
    pub(super) fn on(&self, endpoint: Endpoint) -> Result<Endpoint, tonic::transport::Error> {
        endpoint.tls_config((*self.client).clone())
    }

    pub(super) fn on_server(&self, server: Server) -> Result<Server, tonic::transport::Error> {
        server.tls_config((*self.server).clone())
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// An error with what caused it: transports wrap what really happened several times.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
