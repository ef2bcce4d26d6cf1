//! How connections are made: TCP, or what a simulation has in its place.

use async_trait::async_trait;
use hyper_util::client::legacy::connect;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::Uri;
use tonic::transport::server;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

/// What goes both ways between two processes.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub type Wire = Box<dyn Duplex>;

#[async_trait]
pub trait Dial: fmt::Debug + Send + Sync {
    /// A connection to `address` ("host:port"), or why there is none. The caller gives it a deadline.
    async fn dial(&self, address: &str) -> io::Result<Wire>;
}

/// Small messages leave at once.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// Nothing is known of the other end.
impl server::Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl connect::Connection for Wire {
    fn connected(&self) -> connect::Connected {
        connect::Connected::new()
    }
}

/// The same for HTTP clients, which ask for a connection by the address's URI.
pub type Connector = BoxCloneSyncService<Uri, TokioIo<Wire>, io::Error>;

/// A connection that is not there `within` this time is given up.
pub fn connector(dial: Arc<dyn Dial>, within: Duration) -> Connector {
    BoxCloneSyncService::new(service_fn(move |uri: Uri| {
        let dial = dial.clone();
        async move {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            let dialled = timeout(within, dial.dial(&address)).await;
            Ok(TokioIo::new(dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
        }
    }))
}
