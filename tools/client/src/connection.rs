//! One socket: frames out and in, ids matched. It neither reconnects nor repeats nor renews; tests use
//! it to misbehave.

use crate::codec::{CodecError, Encoding};
use crate::error::Refused;
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use crate::frames::{ClientFrame, Closing, Hello, ServerFrame, Welcome};
use futures::{Sink, Stream};
use shardline_domain::limits::SESSION_QUEUE_BYTES_MAX;
use shardline_wire::dial::{Dial, Tcp, Wire};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Thousands of connections live in one process; a longer message grows the buffer for its time.
/// From the refusal of a hello to the close that says what to do.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 8 * 1024;
/// What a server may queue for one session, and the largest page on top.
const MESSAGE_BYTES_MAX: usize = 4 * SESSION_QUEUE_BYTES_MAX;

pub struct Connection {
    stream: WebSocketStream<Wire>,
    encoding: Encoding,
    out: Vec<ClientFrame>,
    flushed: bool,
    /// Something came or went since `take_activity`, pings included.
    heard: bool,
    said: bool,
    /// What came while `request` waited for something else.
    kept: VecDeque<ServerFrame>,
    next_id: u64,
}

/// What came.
#[derive(Clone, PartialEq, Debug)]
pub enum Incoming {
    Frame(Box<ServerFrame>),
    /// Nothing comes after it. No code: the other side was just gone.
    Closed {
        code: Option<u16>,
        reason: String,
    },
}

/// What one message brought.
pub(crate) enum Turn {
    Frames(Vec<ServerFrame>),
    Closed { code: Option<u16>, reason: String },
}

#[derive(Debug, Error)]
pub enum ConnectionError {
    #[error("no connection to {address}: {why}")]
    Unreachable { address: String, why: String },
    /// The server answered the upgrade with this status.
    #[error("the upgrade was answered with {status}")]
    NotUpgraded { status: u16 },
    /// The server closed, perhaps after saying why.
    #[error("closed with {code:?} {reason}")]
    Closed { code: Option<u16>, reason: String, closing: Option<Closing> },
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("refused: {0}")]
    Refused(Refused),
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
}

impl Connection {
    /// Connects to `address` (`http://host:port`) and offers the encoding's subprotocol. No hello yet.
    pub async fn open(address: &str, encoding: Encoding) -> Result<Connection, ConnectionError> {
        Connection::open_over(&Tcp, address, encoding).await
    }

    /// The same over a connection that is made in this way.
    pub async fn open_over(
        dial: &dyn Dial,
        address: &str,
        encoding: Encoding,
    ) -> Result<Connection, ConnectionError> {
        Connection::offer(dial, address, encoding, Some(encoding.subprotocol())).await
    }

    /// The same with any offer, or none.
    pub async fn open_offering(
        address: &str,
        encoding: Encoding,
        subprotocol: Option<&str>,
    ) -> Result<Connection, ConnectionError> {
        Connection::offer(&Tcp, address, encoding, subprotocol).await
    }

    async fn offer(
        dial: &dyn Dial,
        address: &str,
        encoding: Encoding,
        subprotocol: Option<&str>,
    ) -> Result<Connection, ConnectionError> {
        let unreachable =
            |why: String| ConnectionError::Unreachable { address: address.into(), why };
        let host = address.trim_end_matches('/');
        let host = host.strip_prefix("http://").unwrap_or(host);
        let mut request = format!("ws://{host}/v1/ws")
            .into_client_request()
            .map_err(|e| unreachable(e.to_string()))?;
        if let Some(subprotocol) = subprotocol {
            let value =
                HeaderValue::from_str(subprotocol).map_err(|e| unreachable(e.to_string()))?;
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let wire = dial.dial(host).await.map_err(|e| unreachable(e.to_string()))?;
        let upgrading = client_async_with_config(request, wire, Some(config));
        let (stream, _) = upgrading.await.map_err(|error| match error {
            tungstenite::Error::Http(response) => {
                ConnectionError::NotUpgraded { status: response.status().as_u16() }
            }
            other => unreachable(other.to_string()),
        })?;
        Ok(Connection {
            stream,
            encoding,
            out: Vec::new(),
            flushed: true,
            heard: true,
            said: true,
            kept: VecDeque::new(),
            next_id: 1,
        })
    }

    /// The first frame of every connection; frames that come before `welcome` are kept for `next`.
    pub async fn hello(
        &mut self,
        token: &str,
        device: &str,
        deadline: Duration,
    ) -> Result<Welcome, ConnectionError> {
        let hello = Hello {
            token: token.to_owned(),
            device: device.to_owned(),
            client: concat!("shardline-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        match self.request(Call::Hello(hello), deadline).await {
            Ok(Frame::Welcome(welcome)) => Ok(welcome),
            Err(ConnectionError::Refused(refused)) => Err(self.turned_away(refused).await),
            Err(error) => Err(error),
            Ok(other) => Err(ConnectionError::Codec(CodecError::Unreadable(format!(
                "a hello was answered with {other:?}"
            )))),
        }
    }

    /// What follows the refusal of a hello says what to do: the close, and the frame before it.
    async fn turned_away(&mut self, refused: Refused) -> ConnectionError {
        let ending = async {
            loop {
                match self.turn(true).await {
                    Ok(Turn::Frames(frames)) => self.kept.extend(frames),
                    Ok(Turn::Closed { code, reason }) => {
                        let closing = self.closing_frame();
                        return ConnectionError::Closed { code, reason, closing };
                    }
                    Err(error) => return error,
                }
            }
        };
        let ended = tokio::time::timeout(CLOSE_TIME_MAX, ending).await;
        ended.unwrap_or(ConnectionError::Refused(refused))
    }

    /// Sends a call with a fresh id and waits for the frame with that id; whatever else comes is kept
    /// for `next`. An error frame is `Refused`.
    pub async fn request(
        &mut self,
        call: Call,
        deadline: Duration,
    ) -> Result<Frame, ConnectionError> {
        let id = self.fresh_id();
        self.queue(ClientFrame { id: Some(id), call: Some(call) });
        let answer = tokio::time::timeout(deadline, self.answer_to(id)).await;
        match answer.map_err(|_| ConnectionError::NoAnswer(deadline))?? {
            Some(Frame::Error(error)) => Err(ConnectionError::Refused(error.into())),
            Some(frame) => Ok(frame),
            None => Err(CodecError::Unreadable("an empty frame".to_owned()).into()),
        }
    }

    async fn answer_to(&mut self, id: u64) -> Result<Option<Frame>, ConnectionError> {
        loop {
            let mut answer = None;
            match self.turn(true).await? {
                Turn::Closed { code, reason } => {
                    let closing = self.closing_frame();
                    return Err(ConnectionError::Closed { code, reason, closing });
                }
                Turn::Frames(frames) => {
                    for frame in frames {
                        if frame.id == Some(id) && answer.is_none() {
                            answer = Some(frame.frame);
                        } else {
                            self.kept.push_back(frame);
                        }
                    }
                }
            }
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    fn closing_frame(&self) -> Option<Closing> {
        self.kept.iter().rev().find_map(|frame| match &frame.frame {
            Some(Frame::Closing(closing)) => Some(closing.clone()),
            _ => None,
        })
    }

    /// The next frame that no `request` took, or how the connection ended.
    pub async fn next(&mut self, deadline: Duration) -> Result<Incoming, ConnectionError> {
        let next = async {
            loop {
                if let Some(frame) = self.kept.pop_front() {
                    return Ok(Incoming::Frame(Box::new(frame)));
                }
                match self.turn(true).await? {
                    Turn::Frames(frames) => self.kept.extend(frames),
                    Turn::Closed { code, reason } => return Ok(Incoming::Closed { code, reason }),
                }
            }
        };
        let next = tokio::time::timeout(deadline, next).await;
        next.map_err(|_| ConnectionError::NoAnswer(deadline))?
    }

    /// Sends these frames as they are, as few messages as the limits allow, and waits until written.
    pub async fn send_frames(&mut self, frames: Vec<ClientFrame>) -> Result<(), ConnectionError> {
        self.out.extend(frames);
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Sends any WebSocket message: what a client of this contract would never send.
    pub async fn send_message(&mut self, message: Message) -> Result<(), ConnectionError> {
        use futures::SinkExt as _;
        poll_fn(|cx| self.poll_write(cx)).await?;
        self.stream.send(message).await.map_err(lost)
    }

    /// Says goodbye and waits until it is written, not for the answer.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }

    pub fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// To be written with the next turn.
    pub(crate) fn queue(&mut self, frame: ClientFrame) {
        self.out.push(frame);
    }

    /// Whether anything was (heard, said) since the last call.
    pub(crate) fn take_activity(&mut self) -> (bool, bool) {
        (std::mem::take(&mut self.heard), std::mem::take(&mut self.said))
    }

    /// What came while `request` waited for something else.
    pub(crate) fn take_kept(&mut self) -> VecDeque<ServerFrame> {
        std::mem::take(&mut self.kept)
    }

    /// Writes what is queued and reads the next message (unless `reading` is false: then it never
    /// ends but by an error). Safe to drop and call again: all state is in the connection.
    pub(crate) async fn turn(&mut self, reading: bool) -> Result<Turn, ConnectionError> {
        poll_fn(|cx| self.poll_turn(cx, reading)).await
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        reading: bool,
    ) -> Poll<Result<Turn, ConnectionError>> {
        loop {
            // An error while writing is not the end yet: a close frame may wait to be read.
            let written = self.poll_write(cx);
            if let Poll::Ready(Err(error @ ConnectionError::Codec(_))) = written {
                return Poll::Ready(Err(error));
            }
            if !reading {
                return match written {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Pending,
                };
            }
            let message = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => {
                    return match written {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                        _ => Poll::Pending,
                    };
                }
                Poll::Ready(message) => message,
            };
            self.heard = true;
            match message {
                None => return Poll::Ready(Ok(closed(None))),
                Some(Err(error)) => {
                    let reason = error.to_string();
                    return Poll::Ready(Ok(Turn::Closed { code: None, reason }));
                }
                Some(Ok(Message::Close(frame))) => return Poll::Ready(Ok(closed(frame))),
                // The answer to a ping is written by the next flush.
                Some(Ok(Message::Ping(_))) => self.flushed = false,
                Some(Ok(message)) => {
                    return Poll::Ready(Ok(Turn::Frames(self.encoding.decode(&message)?)));
                }
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready.map_err(lost)?,
            }
            let (message, taken) = self.encoding.encode(&self.out)?;
            self.out.drain(..taken);
            Pin::new(&mut self.stream).start_send(message).map_err(lost)?;
            self.flushed = false;
            self.said = true;
        }
        if !self.flushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(flushed) => flushed.map_err(lost)?,
            }
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

fn lost(error: tungstenite::Error) -> ConnectionError {
    ConnectionError::Closed { code: None, reason: error.to_string(), closing: None }
}

fn closed(frame: Option<CloseFrame>) -> Turn {
    match frame {
        Some(frame) => {
            Turn::Closed { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() }
        }
        None => Turn::Closed { code: None, reason: "the connection ended".to_owned() },
    }
}
