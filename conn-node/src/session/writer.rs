//! Writes a connection's queue: what gathered while the last message was written is the next one.

use super::outgoing::{Encoding, encode, join};
use super::queue::{Batch, Closing, Queue};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use bytes::Bytes;
use futures::{Sink, SinkExt};
use shardline_wire::client::{self, ServerFrame, server_frame::Frame};
use std::time::Duration;
use tokio::time::timeout;
use tracing::error;

/// A message that is not taken for this long: nobody reads there any more.
const WRITE_TIME_MAX: Duration = Duration::from_secs(20);
/// For the last words, behind what is on its way already, to one that reads slowly if at all.
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);

/// Until the connection is closed, by us or by an error.
pub(super) async fn write<S>(mut sink: S, queue: &Queue)
where
    S: Sink<Message> + Unpin,
{
    while let Some(batch) = queue.take().await {
        let message = match batch {
            Batch::Frames(frames) => {
                match message(join(&frames, queue.encoding()), queue.encoding()) {
                    Some(message) => message,
                    None => continue,
                }
            }
            Batch::Ping => Message::Ping(Bytes::new()),
            Batch::Close(closing) => {
                // The other side may be gone: then the end of the connection is all it gets.
                drop(
                    timeout(CLOSE_TIME_MAX, say_goodbye(&mut sink, queue.encoding(), closing))
                        .await,
                );
                return;
            }
        };
        tokio::select! {
            biased;
            // Dropped in the middle of a message, the sink keeps the rest of it and writes it first.
            () = queue.cut() => {}
            written = timeout(WRITE_TIME_MAX, sink.send(message)) => match written {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            },
        }
    }
}

fn message(bytes: Bytes, encoding: Encoding) -> Option<Message> {
    match encoding {
        Encoding::Proto => Some(Message::Binary(bytes)),
        Encoding::Json => match Utf8Bytes::try_from(bytes) {
            Ok(text) => Some(Message::Text(text)),
            Err(_) => {
                error!("a JSON frame is not UTF-8");
                None
            }
        },
    }
}

async fn say_goodbye<S>(sink: &mut S, encoding: Encoding, closing: Closing) -> Result<(), S::Error>
where
    S: Sink<Message> + Unpin,
{
    let Closing { close, retry_after_ms } = closing;
    let frame = client::Closing {
        code: u32::from(close.code()),
        reason: close.reason().to_owned(),
        retry: close.retry().to_owned(),
        retry_after_ms,
    };
    let frame = ServerFrame { id: None, frame: Some(Frame::Closing(frame)) };
    if let Some(message) = message(encode(&frame, encoding), encoding) {
        sink.feed(message).await?;
    }
    let close = CloseFrame { code: close.code(), reason: close.reason().into() };
    sink.send(Message::Close(Some(close))).await
}
