//! turmoil's network in place of TCP.

use async_trait::async_trait;
use axum::serve::Listener;
use futures::{Stream, stream};
use shardline_wire::dial::{Dial, Wire};
use std::io;
use std::net::SocketAddr;
use turmoil::net::{TcpListener, TcpStream};

/// What every process listens on, on its own host.
pub(crate) const PORT: u16 = 7_000;

pub(crate) fn address(host: &str) -> String {
    format!("{host}:{PORT}")
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network;

#[async_trait]
impl Dial for Network {
    async fn dial(&self, address: &str) -> io::Result<Wire> {
        let (host, _) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Box::new(TcpStream::connect((host, PORT)).await?))
    }
}

pub(crate) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", PORT)).await
}

pub(crate) fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<Wire>> + Send {
    stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Box::new(stream) as Wire), listener))
    })
}

/// Where clients come in.
pub(crate) struct Clients(pub(crate) TcpListener);

impl Listener for Clients {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
