//! Links break as they are told to.

use super::*;
use std::io::ErrorKind;

const DETOUR: u16 = 1;

/// An echo behind a proxy.
async fn echo() -> (Proxy, u16, JoinSet<()>) {
    // The port above it may be taken: then another one.
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let Ok(proxy) = Proxy::open(&[port], DETOUR).await else { continue };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut echoes = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                echoes.spawn(async move {
                    let (mut from, mut to) = socket.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        return (proxy, port, tasks);
    }
    panic!("no two free ports beside each other");
}

async fn says(socket: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    socket.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    let read = timeout(Duration::from_millis(200), socket.read_exact(&mut answer)).await;
    read.map_err(|_| std::io::Error::from(ErrorKind::TimedOut))??;
    Ok(answer)
}

#[tokio::test]
async fn a_link_passes_is_cut_and_passes_again() {
    let (proxy, port, _tasks) = echo().await;
    let link = proxy.link(port).expect("a link");
    let open = || TcpStream::connect(("127.0.0.1", port + DETOUR));
    let mut socket = open().await.expect("a connection");
    assert_eq!(says(&mut socket, b"hello").await.expect("an answer"), b"hello");
    link.set(Mode::Cut);
    let cut = says(&mut socket, b"hello").await.expect_err("it is cut");
    assert_ne!(cut.kind(), ErrorKind::TimedOut);
    let mut refused = open().await.expect("it is accepted, and then reset");
    let cut = says(&mut refused, b"hello").await.expect_err("it is cut");
    assert_ne!(cut.kind(), ErrorKind::TimedOut);
    link.set(Mode::Pass);
    let mut socket = open().await.expect("a connection");
    assert_eq!(says(&mut socket, b"again").await.expect("an answer"), b"again");
}

#[tokio::test]
async fn what_was_held_comes_when_the_link_is_whole_again() {
    let (proxy, port, _tasks) = echo().await;
    let link = proxy.link(port).expect("a link");
    let mut socket = TcpStream::connect(("127.0.0.1", port + DETOUR)).await.expect("a connection");
    for mode in [Mode::Silent, Mode::SilentServer] {
        link.set(mode);
        let silent = says(&mut socket, b"hello").await.expect_err("nothing comes");
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
        link.set(Mode::Pass);
        let mut answer = [0; 5];
        socket.read_exact(&mut answer).await.expect("what was held");
        assert_eq!(&answer, b"hello");
    }
    link.set(Mode::Slow(Duration::from_millis(20)));
    assert_eq!(says(&mut socket, b"late").await.expect("an answer"), b"late");
}
