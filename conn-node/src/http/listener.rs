//! Client connections, bounded in number and in silence: a permit is taken before a connection is
//! accepted, and one that says nothing for too long is given up, whatever it had begun.

use axum::serve::Listener;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

pub(super) struct BoundedListener<L> {
    listener: L,
    permits: Arc<Semaphore>,
    silence_max: Duration,
}

impl<L> BoundedListener<L> {
    /// Beyond `connections_max`, clients wait in the kernel's queue.
    pub(super) fn new(
        listener: L,
        connections_max: usize,
        silence_max: Duration,
    ) -> BoundedListener<L> {
        let permits = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        BoundedListener { listener, permits, silence_max }
    }
}

impl<L: Listener<Addr = SocketAddr>> Listener for BoundedListener<L> {
    type Io = Connection<L::Io>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<L::Io>, SocketAddr) {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            silence_max: self.silence_max,
            heard_at: Instant::now(),
            wake: Box::pin(sleep(self.silence_max)),
            _permit: permit,
        };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its permit.
pub(super) struct Connection<S> {
    stream: S,
    silence_max: Duration,
    /// When it last carried anything, either way.
    heard_at: Instant,
    /// Set again only when it fires, not for every read.
    wake: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.heard_at = Instant::now();
            return Poll::Ready(read);
        }
        loop {
            ready!(self.wake.as_mut().poll(cx));
            let until = self.heard_at + self.silence_max;
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.wake.as_mut().reset(until);
        }
    }
}

impl<S> Connection<S> {
    fn heard(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(_)) = written {
            self.heard_at = Instant::now();
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.heard(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.heard(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    const SILENCE: Duration = Duration::from_millis(150);

    async fn listener(connections_max: usize) -> (BoundedListener<TcpListener>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (BoundedListener::new(listener, connections_max, SILENCE), address)
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_given_up() {
        let (mut listener, address) = listener(2).await;
        let mut client = TcpStream::connect(address).await.expect("listens");
        let (mut server, _) = listener.accept().await;
        let started = Instant::now();
        let mut byte = [0];
        // What comes now and then keeps it.
        for _ in 0..3 {
            tokio::time::sleep(SILENCE / 2).await;
            client.write_all(b"x").await.expect("is open");
            server.read_exact(&mut byte).await.expect("is heard");
        }
        let error = server.read_exact(&mut byte).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(SILENCE * 5 / 2 <= started.elapsed() + Duration::from_millis(5));
    }

    #[tokio::test]
    async fn one_more_than_allowed_waits_until_another_ends() {
        let (mut listener, address) = listener(1).await;
        let _one = TcpStream::connect(address).await.expect("listens");
        let _other = TcpStream::connect(address).await.expect("is queued");
        let (held, _) = listener.accept().await;
        assert!(timeout(Duration::from_millis(50), listener.accept()).await.is_err());
        drop(held);
        timeout(Duration::from_secs(5), listener.accept()).await.expect("there is room now");
    }
}
