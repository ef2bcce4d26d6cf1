//! The operators' port: what a router serves to shardctl, on loopback and nothing else.

use anyhow::Context;
use shardline_daemon::config::Settings;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_router::server::{self, ForOperators};
use shardline_wire::link::Secret;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

const PORT_DEFAULT: u16 = 8082;

/// The settings `admin-listen` and `admin-secret`.
pub(crate) fn read(settings: &mut Settings) -> (SocketAddr, Option<Secret>) {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT));
    let listen = settings.or("admin-listen", default, "for operators (shardctl), on loopback");
    if settings.peek("admin-listen").is_some() && !listen.ip().is_loopback() {
        let problem = "it must be on loopback: what is said there is not encrypted";
        settings.problem("admin-listen", problem);
    }
    let text: Option<String> = settings
        .optional("admin-secret", "by which operators are known, if not by the file `secret`");
    let secret = text.map(|text| Secret::new(&text));
    if matches!(secret, Some(None)) {
        settings.problem("admin-secret", "it has characters other than visible ASCII");
    }
    (listen, secret.flatten())
}

/// The port, taken and not served yet.
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// # Errors
/// If the address cannot be bound.
pub(crate) async fn bind(listen: SocketAddr) -> anyhow::Result<Bound> {
    let listener = TcpListener::bind(listen).await;
    let listener =
        listener.with_context(|| format!("operators cannot connect at {listen} (admin-listen)"))?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Serves until the lifecycle stops. Where.
    pub(crate) fn serve(self, services: ForOperators, lifecycle: &Lifecycle) -> SocketAddr {
        let (failing, stop) = (lifecycle.clone(), lifecycle.token());
        lifecycle.run("operators", async move {
            if let Err(error) = server::serve_operators(self.listener, services, stop).await {
                failing.fail(format!("operators are no longer served: {error}"));
            }
        });
        self.address
    }
}
