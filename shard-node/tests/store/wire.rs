//! A wire between a store and its server that can be cut at a packet: the store's side is closed, the
//! server's side stays open, as when a network dies.

use crate::conformance::Cut;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const QUERY: u8 = 3;
const EXECUTE: u8 = 0x17;

pub(crate) struct CuttingWire {
    port: u16,
    armed: Arc<watch::Sender<Option<Cut>>>,
}

impl CuttingWire {
    pub(crate) async fn start(to: (String, u16)) -> CuttingWire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for a test");
        let port = listener.local_addr().expect("it is bound").port();
        let armed: Arc<watch::Sender<Option<Cut>>> = Arc::default();
        let arm = armed.clone();
        tokio::spawn(async move {
            while let Ok((store, _)) = listener.accept().await {
                let server = TcpStream::connect((to.0.as_str(), to.1)).await;
                let server = server.expect("the server answers");
                tokio::spawn(carry(store, server, arm.clone()));
            }
        });
        CuttingWire { port, armed }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn cut(&self, at: Cut) {
        self.armed.send_replace(Some(at));
    }

    pub(crate) async fn was_cut(&self) {
        let mut armed = self.armed.subscribe();
        armed.wait_for(Option::is_none).await.expect("the wire lives");
    }
}

async fn carry(store: TcpStream, server: TcpStream, armed: Arc<watch::Sender<Option<Cut>>>) {
    let _ = (store.set_nodelay(true), server.set_nodelay(true));
    let (mut from_store, to_store) = store.into_split();
    let (from_server, mut to_server) = server.into_split();
    // The server's packets pass through here one read at a time, so that a cut can hold them back.
    let (hold, held) = watch::channel(false);
    let back = tokio::spawn(carry_back(from_server, to_store, held));
    let (cut, packet) = loop {
        let Some(packet) = next_packet(&mut from_store).await else { return back.abort() };
        match take_if_due(&armed, &packet) {
            None => {}
            Some(Cut::CommitSlow(slow)) => tokio::time::sleep(slow).await,
            Some(cut) => break (cut, packet),
        }
        if to_server.write_all(&packet).await.is_err() {
            return back.abort();
        }
    };
    if cut == Cut::AnswerLost {
        hold.send_replace(true);
        to_server.write_all(&packet).await.expect("the server takes it");
        // Ends when an answer was read and not passed on.
        let _answered = back.await;
    } else {
        back.abort();
    }
    drop(from_store);
    if let Cut::CommitLate(late) = cut {
        tokio::time::sleep(late).await;
        // The server may have ended its side meanwhile.
        let _late = to_server.write_all(&packet).await;
    }
    // The server's side stays open until the test's runtime ends.
    std::future::pending::<()>().await;
}

async fn carry_back(
    mut server: OwnedReadHalf,
    mut store: OwnedWriteHalf,
    hold: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = server.read(&mut bytes).await {
        if *hold.borrow() || store.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A whole packet with its header; none of ours is split over several.
async fn next_packet(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await.ok()?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + usize::try_from(length).ok()?, 0);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}

fn take_if_due(armed: &watch::Sender<Option<Cut>>, packet: &[u8]) -> Option<Cut> {
    let is_commit = packet.get(4) == Some(&QUERY) && packet.get(5..) == Some(b"COMMIT");
    let is_statement = packet.get(4) == Some(&EXECUTE);
    let mut taken = None;
    armed.send_if_modified(|armed| {
        let due = match armed {
            None => false,
            Some(Cut::AtStatement) => is_statement,
            Some(_) => is_commit,
        };
        if due {
            taken = armed.take();
        }
        due
    });
    taken
}
