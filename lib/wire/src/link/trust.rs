//! By what our processes know each other: the cluster's secret on every stream and call, and outside of
//! loopback certificates under it.

use super::secret::Secret;
use super::tls::{Tls, TlsError, causes};
use super::{CONNECT_TIME_MAX, endpoint, server};
use crate::dial::{Dial, connector};
use std::sync::Arc;
use thiserror::Error;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint, Error, Server};
use tonic::{Request, Status};

#[derive(Clone, Debug)]
pub struct Trust {
    secret: Secret,
    tls: Option<Tls>,
    /// None: by TCP.
    dial: Option<Arc<dyn Dial>>,
}

/// Why the settings make no trust.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    #[error("it has characters other than visible ASCII")]
    Secret,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl TrustError {
    /// The setting that is wrong, as every process calls it.
    pub fn setting(&self) -> &'static str {
        match self {
            TrustError::Secret => "secret",
            TrustError::Tls(TlsError::Authority) => "tls-ca",
            TrustError::Tls(TlsError::Certificate | TlsError::Pair(_)) => "tls-cert",
            TrustError::Tls(TlsError::Key) => "tls-key",
        }
    }
}

impl Trust {
    /// From what was written: the secret, and the contents of the authority's, the certificate's and
    /// the key's file.
    ///
    /// # Errors
    /// As [`TrustError`] says.
    pub fn parse(secret: &str, tls: Option<[&str; 3]>) -> Result<Trust, TrustError> {
        let secret = Secret::new(secret).ok_or(TrustError::Secret)?;
        let tls = tls.map(|[authority, certificate, key]| Tls::parse(authority, certificate, key));
        Ok(Trust { secret, tls: tls.transpose()?, dial: None })
    }

    /// Without `tls` nothing is encrypted: for loopback, and networks that nobody else is on.
    pub fn new(secret: Secret, tls: Option<Tls>) -> Trust {
        Trust { secret, tls, dial: None }
    }

    /// The same over connections that are made in this way.
    pub fn over(self, dial: Arc<dyn Dial>) -> Trust {
        Trust { dial: Some(dial), ..self }
    }

    /// A server for our services, with the same keepalive as the clients.
    ///
    /// # Errors
    /// If the certificates cannot be used; those that `Tls` was made of can.
    pub fn server(&self) -> Result<Server, Error> {
        match &self.tls {
            Some(tls) => tls.on_server(server()),
            None => Ok(server()),
        }
    }

    /// The secret alone.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn guard(&self) -> impl Interceptor + Clone + use<> {
        self.secret.guard()
    }

    /// Shows the secret with a call.
    pub fn put_on<T>(&self, request: &mut Request<T>) {
        self.secret.put_on(request);
    }

    /// How to reach `address` ("host:port").
    ///
    /// # Errors
    /// If that is no address.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, Error> {
        match &self.tls {
            Some(tls) => tls.on(endpoint("https", address)?),
            None => endpoint("http", address),
        }
    }

    /// A connection of its own: a stream shares it with nobody.
    pub(super) async fn connect(&self, address: &str) -> Result<Channel, Status> {
        let endpoint = self.endpoint(address);
        let endpoint = endpoint.map_err(|error| Status::invalid_argument(causes(&error)))?;
        let connected = match &self.dial {
            Some(dial) => {
                endpoint.connect_with_connector(connector(dial.clone(), CONNECT_TIME_MAX)).await
            }
            None => endpoint.connect().await,
        };
        connected.map_err(|error| Status::unavailable(causes(&error)))
    }

    /// A connection that is made when it is first used, and again when it was lost.
    ///
    /// # Errors
    /// If that is no address.
    pub fn connect_lazily(&self, address: &str) -> Result<Channel, Error> {
        let endpoint = self.endpoint(address)?;
        Ok(match &self.dial {
            Some(dial) => {
                endpoint.connect_with_connector_lazy(connector(dial.clone(), CONNECT_TIME_MAX))
            }
            None => endpoint.connect_lazy(),
        })
    }
}
