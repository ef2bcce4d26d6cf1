//! The driver's connection in all its states, and the renewal of its token, as one thing to wait for.

use crate::client::Options;
use crate::connection::{Connection, ConnectionError, Turn};
use crate::error::HttpError;
use crate::frames::Welcome;
use crate::http::{Http, Session};
use futures::future::BoxFuture;
use shardline_domain::error::Code;
use shardline_wire::dial::Dial;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const GOODBYE_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Link {
    stage: Stage,
    renewal: Option<BoxFuture<'static, Result<Session, HttpError>>>,
}

enum Stage {
    Down {
        until: Instant,
    },
    /// Down until the token is renewed.
    Idle,
    Connecting(BoxFuture<'static, Result<(Box<Connection>, Welcome), ConnectionError>>),
    Up(Box<Connection>),
}

pub(crate) enum LinkEvent {
    Connected(Result<(Box<Connection>, Welcome), ConnectionError>),
    Turn(Result<Turn, ConnectionError>),
    Renewed(Result<Session, HttpError>),
}

impl Link {
    pub(crate) fn down(until: Instant) -> Link {
        Link { stage: Stage::Down { until }, renewal: None }
    }

    /// The next thing that happens; safe to drop and call again.
    pub(crate) async fn event(&mut self, reading: bool) -> LinkEvent {
        let renewal = async {
            match &mut self.renewal {
                Some(renewal) => renewal.await,
                None => std::future::pending().await,
            }
        };
        let stage = async {
            match &mut self.stage {
                Stage::Down { .. } | Stage::Idle => std::future::pending().await,
                Stage::Connecting(connecting) => LinkEvent::Connected(connecting.await),
                Stage::Up(connection) => LinkEvent::Turn(connection.turn(reading).await),
            }
        };
        let renewed = tokio::select! {
            event = stage => return event,
            renewed = renewal => renewed,
        };
        self.renewal = None;
        LinkEvent::Renewed(renewed)
    }

    pub(crate) fn up(&mut self) -> Option<&mut Connection> {
        match &mut self.stage {
            Stage::Up(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
    }

    /// When to connect.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Down { until } => Some(until),
            _ => None,
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    pub(crate) fn set_up(&mut self, connection: Box<Connection>) {
        self.stage = Stage::Up(connection);
    }

    pub(crate) fn set_down(&mut self, until: Instant) {
        self.stage = Stage::Down { until };
    }

    pub(crate) fn idle(&mut self) {
        self.stage = Stage::Idle;
    }

    pub(crate) fn connect(
        &mut self,
        dial: Arc<dyn Dial>,
        address: String,
        token: String,
        options: &Options,
    ) {
        let (encoding, device) = (options.encoding, options.device.clone());
        let deadline = options.timing.connect_deadline;
        let connecting = async move {
            let mut connection = Connection::open_over(&*dial, &address, encoding).await?;
            let welcome = connection.hello(&token, &device, deadline).await?;
            Ok((Box::new(connection), welcome))
        };
        self.stage = Stage::Connecting(Box::pin(async move {
            let connected = timeout(deadline, connecting).await;
            connected.unwrap_or(Err(ConnectionError::NoAnswer(deadline)))
        }));
    }

    /// Begins to renew the token, unless that is going on.
    pub(crate) fn renew(&mut self, http: Http, refresh_token: String, options: &Options) {
        let (password, device) = (options.password.clone(), options.device.clone());
        self.renewal.get_or_insert_with(|| {
            Box::pin(async move {
                match (http.refresh(&refresh_token).await, password) {
                    (Err(error), Some((name, password)))
                        if error.code() == Some(Code::Unauthenticated) =>
                    {
                        http.log_in(&name, &password, &device).await
                    }
                    (result, _) => result,
                }
            })
        });
    }

    /// Says goodbye, if there is anybody.
    pub(crate) async fn close(self) {
        if let Stage::Up(connection) = self.stage {
            let _ = timeout(GOODBYE_MAX, connection.close()).await;
        }
    }
}
