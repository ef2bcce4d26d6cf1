//! Where a provider's keys are read: a file, or an address, over TLS unless it is on this machine.

use axum::http::header::HOST;
use axum::http::uri::Scheme;
use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// From the name's look-up to the last byte.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// A set of a few keys with their certificates has some ten kilobytes.
const SET_BYTES_MAX: usize = 256 * 1024;

/// Where the provider's JWK set is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    File(PathBuf),
    Url(KeyUrl),
}

/// `https://…`, or `http://…` of a loopback address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUrl(Uri);

#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("it is not an address like https://id.example/keys; without TLS only loopback is allowed")]
pub struct NotAKeyUrl;

impl KeyUrl {
    /// # Errors
    /// If it is no URL, has no host, or keys would cross a network unprotected.
    pub fn parse(text: &str) -> Result<KeyUrl, NotAKeyUrl> {
        let uri: Uri = text.parse().map_err(|_| NotAKeyUrl)?;
        let url = KeyUrl(uri);
        let has_user = url.0.authority().is_some_and(|part| part.as_str().contains('@'));
        if url.host().is_empty() || has_user {
            return Err(NotAKeyUrl);
        }
        let is_here = url.host() == "localhost"
            || url.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_fit = url.0.scheme() == Some(&Scheme::HTTPS)
            || (url.0.scheme() == Some(&Scheme::HTTP) && is_here);
        if is_fit { Ok(url) } else { Err(NotAKeyUrl) }
    }

    /// Without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn is_tls(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => path.display().fmt(f),
            KeySource::Url(url) => url.0.fmt(f),
        }
    }
}

/// The set as it is there now.
///
/// # Errors
/// What went wrong, for the operator.
pub(super) async fn read(source: &KeySource) -> Result<Vec<u8>, String> {
    let reading = async {
        match source {
            KeySource::File(path) => read_file(path).await,
            KeySource::Url(url) => fetch(url).await,
        }
    };
    timeout(READ_TIME_MAX, reading).await.map_err(|_| "no answer in time".to_owned())?
}

async fn read_file(path: &PathBuf) -> Result<Vec<u8>, String> {
    let size = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if (SET_BYTES_MAX as u64) < size {
        return Err(format!("it has {size} bytes, {SET_BYTES_MAX} are allowed"));
    }
    tokio::fs::read(path).await.map_err(|error| error.to_string())
}

async fn fetch(url: &KeyUrl) -> Result<Vec<u8>, String> {
    let port = url.0.port_u16().unwrap_or(if url.is_tls() { 443 } else { 80 });
    let stream = TcpStream::connect((url.host(), port)).await;
    let stream = stream.map_err(|error| format!("no connection: {error}"))?;
    if !url.is_tls() {
        return ask(url, stream).await;
    }
    let name = ServerName::try_from(url.host().to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(tls()?)).connect(name, stream).await;
    ask(url, stream.map_err(|error| format!("no TLS: {error}"))?).await
}

fn tls() -> Result<ClientConfig, String> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// One request on a connection of its own. A redirection is not followed: it is an answer like any
/// other that is not the set.
async fn ask<S>(url: &KeyUrl, stream: S) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let authority = url.0.authority().map(ToString::to_string).unwrap_or_default();
    let path = url.0.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header("accept", "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(text)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        whole(response.into_body()).await
    });
    let mut connection = pin!(connection);
    let mut is_open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            // What it brought before its end is still read.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

async fn whole(body: Incoming) -> Result<Vec<u8>, String> {
    let bytes = Limited::new(body, SET_BYTES_MAX).collect().await;
    Ok(bytes.map_err(|error| error.to_string())?.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cross_no_network_unprotected() {
        for good in [
            "https://id.example/keys",
            "https://id.example:8443/realms/a/certs?x=1",
            "http://127.0.0.1:9000/keys",
            "http://[::1]:9000/keys",
            "http://localhost/keys",
        ] {
            assert!(KeyUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/keys",
            "id.example",
            "http://id.example/keys",
            "http://127.0.0.1.example/keys",
            "http://10.0.0.1/keys",
            "ftp://127.0.0.1/keys",
            "https://",
            "https://user@id.example/keys",
            "http://localhost@id.example/keys",
        ] {
            assert_eq!(KeyUrl::parse(bad), Err(NotAKeyUrl), "{bad}");
        }
    }
}
