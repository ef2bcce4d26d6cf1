//! Frames on their way out: each encoded at most once per encoding, however many sessions get it.

use crate::problem::Problem;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use shardline_wire::client::server_frame::Frame;
use shardline_wire::client::{self, ServerFrame};
use shardline_wire::refusal::Refusal;
use std::sync::OnceLock;
use tracing::error;

/// The subprotocol of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Json,
    Proto,
}

/// Field of `ServerFrame` that holds an event, and of `ServerFrames` that holds a frame.
const EVENT_FIELD: u32 = 9;
const FRAMES_FIELD: u32 = 1;
/// An error's text is for people; a longer one repeats their own input.
const ERROR_CHARS_MAX: usize = 240;

/// A pushed frame that several sessions may get.
#[derive(Debug)]
pub(crate) struct Shared {
    source: Source,
    json: OnceLock<Bytes>,
    proto: OnceLock<Bytes>,
}

#[derive(Debug)]
enum Source {
    Frame(Box<ServerFrame>),
    /// An encoded `shardline.v1.Event`, as it came over the bus.
    Event(Bytes),
}

impl Shared {
    pub(crate) fn frame(frame: Frame) -> Shared {
        Shared::from(Source::Frame(Box::new(ServerFrame { id: None, frame: Some(frame) })))
    }

    pub(crate) fn event(payload: Bytes) -> Shared {
        Shared::from(Source::Event(payload))
    }

    fn from(source: Source) -> Shared {
        Shared { source, json: OnceLock::new(), proto: OnceLock::new() }
    }

    /// The frame's bytes; empty if an event's payload cannot be read.
    pub(crate) fn bytes(&self, encoding: Encoding) -> Bytes {
        let once = match encoding {
            Encoding::Json => &self.json,
            Encoding::Proto => &self.proto,
        };
        once.get_or_init(|| match (&self.source, encoding) {
            (Source::Frame(frame), _) => encode(frame, encoding),
            (Source::Event(payload), Encoding::Proto) => wrap_event(payload),
            (Source::Event(payload), Encoding::Json) => match client::Event::decode(&payload[..]) {
                Ok(event) => {
                    encode_json(&ServerFrame { id: None, frame: Some(Frame::Event(event)) })
                }
                Err(reason) => {
                    error!(%reason, "an event's payload cannot be read");
                    Bytes::new()
                }
            },
        })
        .clone()
    }
}

/// One frame. The protobuf form carries the key and length it has within `ServerFrames`, so that
/// frames put one after another are a message.
pub(crate) fn encode(frame: &ServerFrame, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => encode_json(frame),
        Encoding::Proto => {
            let mut bytes = BytesMut::with_capacity(frame.encoded_len() + 8);
            prost::encoding::message::encode(FRAMES_FIELD, frame, &mut bytes);
            bytes.freeze()
        }
    }
}

fn encode_json(frame: &ServerFrame) -> Bytes {
    match serde_json::to_vec(frame) {
        Ok(bytes) => bytes.into(),
        Err(reason) => {
            // Only an id that is no UUID can do this: it did not come from a client.
            error!(%reason, "a frame cannot be written as JSON");
            Bytes::new()
        }
    }
}

fn wrap_event(payload: &Bytes) -> Bytes {
    let length = payload.len() as u64;
    let inner = key_len(EVENT_FIELD) + encoded_len_varint(length) + payload.len();
    let mut bytes = BytesMut::with_capacity(inner + 8);
    encode_key(FRAMES_FIELD, WireType::LengthDelimited, &mut bytes);
    encode_varint(inner as u64, &mut bytes);
    encode_key(EVENT_FIELD, WireType::LengthDelimited, &mut bytes);
    encode_varint(length, &mut bytes);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Frames as one WebSocket message: alone, or as an array.
pub(crate) fn join(frames: &[Bytes], encoding: Encoding) -> Bytes {
    if let [frame] = frames {
        return frame.clone();
    }
    let size: usize = frames.iter().map(Bytes::len).sum();
    let mut bytes = BytesMut::with_capacity(size + frames.len() + 2);
    if encoding == Encoding::Json {
        bytes.put_u8(b'[');
    }
    for (index, frame) in frames.iter().enumerate() {
        if encoding == Encoding::Json && 0 < index {
            bytes.put_u8(b',');
        }
        bytes.put_slice(frame);
    }
    if encoding == Encoding::Json {
        bytes.put_u8(b']');
    }
    bytes.freeze()
}

pub(crate) fn error_frame(id: Option<u64>, refusal: &Refusal) -> ServerFrame {
    let mut error = client::Error::from(Problem::from(refusal.clone()));
    if let Some((end, _)) = error.message.char_indices().nth(ERROR_CHARS_MAX) {
        error.message.truncate(end);
    }
    ServerFrame { id, frame: Some(Frame::Error(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::client::ServerFrames;

    fn event() -> client::Event {
        client::Event {
            chat: 7,
            ver: 3,
            log: "9".into(),
            kind: "message".into(),
            ..Default::default()
        }
    }

    fn pong(id: u64) -> ServerFrame {
        ServerFrame { id: Some(id), frame: Some(Frame::Pong(client::Pong {})) }
    }

    #[test]
    fn an_event_wrapped_undecoded_is_the_same_frame() {
        let payload = Bytes::from(event().encode_to_vec());
        let expected = ServerFrame { id: None, frame: Some(Frame::Event(event())) };
        let shared = Shared::event(payload);
        assert_eq!(shared.bytes(Encoding::Proto), encode(&expected, Encoding::Proto));
        assert_eq!(shared.bytes(Encoding::Json), encode(&expected, Encoding::Json));
    }

    #[test]
    fn joined_frames_are_one_message_in_order() {
        let frames: Vec<Bytes> = (1..4).map(|id| encode(&pong(id), Encoding::Proto)).collect();
        let joined = ServerFrames::decode(join(&frames, Encoding::Proto)).expect("decodes");
        assert_eq!(joined.frames, [pong(1), pong(2), pong(3)]);

        let frames: Vec<Bytes> = (1..4).map(|id| encode(&pong(id), Encoding::Json)).collect();
        let joined: Vec<ServerFrame> =
            serde_json::from_slice(&join(&frames, Encoding::Json)).expect("parses");
        assert_eq!(joined, [pong(1), pong(2), pong(3)]);
    }

    #[test]
    fn a_frame_alone_is_no_array() {
        let frame = encode(&pong(1), Encoding::Json);
        assert_eq!(&join(&[frame], Encoding::Json)[..], br#"{"id":1,"type":"pong"}"#);
    }

    #[test]
    fn a_defect_does_not_show_its_text() {
        let frame = error_frame(Some(1), &Refusal::internal("table messages is broken"));
        let json = encode(&frame, Encoding::Json);
        assert!(!String::from_utf8_lossy(&json).contains("table"));
    }

    #[test]
    fn a_payload_that_is_no_event_becomes_no_frame() {
        let shared = Shared::event(Bytes::from_static(b"\xff\xff\xff"));
        assert!(shared.bytes(Encoding::Json).is_empty());
    }
}
