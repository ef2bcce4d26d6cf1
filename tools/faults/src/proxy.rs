//! TCP links between processes that break when they are told to. A process is given a port of ours in
//! place of the one it wants; what passes here is neither read nor changed, save that a database's link
//! can lose the answer to a commit.

mod mysql;

use anyhow::{Context, Result};
use mysql::Tap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CHUNK: usize = 64 * 1024;

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Pass,
    /// Connections are reset, new ones at once.
    Cut,
    /// Nothing passes and nobody is told: half-open.
    Silent,
    /// The server hears, and is not heard.
    SilentServer,
    /// Each read is held for so long.
    Slow(Duration),
}

/// The answer that is to be lost: to the COMMIT of a transaction with a certain statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trap {
    Unset,
    Set(&'static str),
    Sprung,
}

/// The way to one port.
pub(crate) struct Link {
    mode: watch::Sender<Mode>,
    trap: watch::Sender<Trap>,
}

impl Link {
    fn new() -> Link {
        Link { mode: watch::Sender::new(Mode::Pass), trap: watch::Sender::new(Trap::Unset) }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The next transaction that has a statement with this text commits, and its connection is reset
    /// before the answer.
    pub(crate) fn lose_answer_to(&self, statement: &'static str) {
        self.trap.send_replace(Trap::Set(statement));
    }

    /// Whether that happened within the time; afterwards it does not happen any more.
    pub(crate) async fn lost_it(&self, within: Duration) -> bool {
        let mut trap = self.trap.subscribe();
        // Too late: it is looked up below.
        drop(timeout(within, trap.wait_for(|trap| *trap == Trap::Sprung)).await);
        self.trap.send_replace(Trap::Unset) == Trap::Sprung
    }
}

/// Ends with all its connections when it is dropped.
pub(crate) struct Proxy {
    links: BTreeMap<u16, Arc<Link>>,
    _listeners: JoinSet<()>,
}

impl Proxy {
    /// Listens, for each of these ports of 127.0.0.1, at the port `detour` above it.
    pub(crate) async fn open(ports: &[u16], detour: u16) -> Result<Proxy> {
        let mut links = BTreeMap::new();
        let mut listeners = JoinSet::new();
        for port in ports {
            let at = port.checked_add(detour).context("a port beyond the last one")?;
            let listener = TcpListener::bind(("127.0.0.1", at)).await;
            let listener = listener.with_context(|| format!("127.0.0.1:{at}"))?;
            let link = Arc::new(Link::new());
            listeners.spawn(accept(listener, *port, link.clone()));
            links.insert(*port, link);
        }
        Ok(Proxy { links, _listeners: listeners })
    }

    /// Everything passes again, and no answer is lost any more.
    pub(crate) fn heal(&self) {
        for link in self.links.values() {
            link.set(Mode::Pass);
            link.trap.send_replace(Trap::Unset);
        }
    }

    /// The way to this port.
    pub(crate) fn link(&self, port: u16) -> Result<&Link> {
        let link = self.links.get(&port).with_context(|| format!("no link to port {port}"))?;
        Ok(link)
    }
}

async fn accept(listener: TcpListener, port: u16, link: Arc<Link>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection(client, port, link.clone()));
                }
                // Out of descriptors, or the peer is gone again.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, port: u16, link: Arc<Link>) {
    let mut mode = link.mode.subscribe();
    if *mode.borrow_and_update() == Mode::Cut {
        reset(&client);
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        reset(&client);
        return;
    };
    // Without it small packets come a little later.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let tap = Mutex::new(Tap::default());
    let broken = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let requests = pump(from_client, to_server, mode.clone(), Way::ToServer, |bytes| {
            tap.lock().request(bytes);
            true
        });
        let answers = pump(from_server, to_client, mode.clone(), Way::ToClient, |bytes| {
            let wanted = match *link.trap.borrow() {
                Trap::Set(statement) => Some(statement),
                Trap::Unset | Trap::Sprung => None,
            };
            // Of two connections that fell into it, one is let go.
            let springs = |trap: &mut Trap| {
                let is_set = matches!(trap, Trap::Set(_));
                if is_set {
                    *trap = Trap::Sprung;
                }
                is_set
            };
            !(tap.lock().answer(bytes, wanted) && link.trap.send_if_modified(springs))
        });
        tokio::select! {
            ended = async { tokio::try_join!(requests, answers) } => ended.is_err(),
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => true,
        }
    };
    if broken {
        reset(&client);
        reset(&server);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// The connection is to be reset.
struct Broken;

/// Until one side has nothing more to say, which the other is told; broken if `look` wants no more.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut mode: watch::Receiver<Mode>,
    way: Way,
    mut look: impl FnMut(&[u8]) -> bool,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK];
    let holds = move |mode: &Mode| match mode {
        Mode::Silent => true,
        Mode::SilentServer => way == Way::ToClient,
        Mode::Pass | Mode::Cut | Mode::Slow(_) => false,
    };
    loop {
        let count = from.read(&mut buffer).await.map_err(|_| Broken)?;
        let now = *mode.wait_for(|mode| !holds(mode)).await.map_err(|_| Broken)?;
        if let Mode::Slow(delay) = now {
            sleep(delay).await;
        }
        if count == 0 {
            return to.shutdown().await.map_err(|_| Broken);
        }
        if !look(&buffer[..count]) {
            return Err(Broken);
        }
        to.write_all(&buffer[..count]).await.map_err(|_| Broken)?;
    }
}

/// When it is dropped after this, the other side is told of a reset.
fn reset(socket: &TcpStream) {
    // Otherwise it is told of an orderly end.
    let _ = socket.set_zero_linger();
}

#[cfg(test)]
mod tests;
