//! Frames to WebSocket messages and back, in both subprotocols.
//!
//! Several frames go as one message, within the server's limits. Server frames of a type that this
//! client does not know are skipped: the contract grows by adding them.

use crate::frames::{ClientFrame, ServerFrame, ServerFrames};
use prost::Message as _;
use shardline_domain::limits::{ARRAY_FRAMES_MAX, FRAME_BYTES_MAX};
use thiserror::Error;
use tokio_tungstenite::tungstenite::Message;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    Json,
    Proto,
}

#[derive(Debug, Error)]
pub enum CodecError {
    #[error("a frame that cannot be written: {0}")]
    Unwritable(String),
    #[error("a message that cannot be read: {0}")]
    Unreadable(String),
}

impl Encoding {
    pub fn subprotocol(self) -> &'static str {
        match self {
            Encoding::Json => "shardline.v1+json",
            Encoding::Proto => "shardline.v1+proto",
        }
    }

    /// As many of the first frames as fit into one message, at least one; says how many it took.
    pub fn encode(self, frames: &[ClientFrame]) -> Result<(Message, usize), CodecError> {
        let frames = &frames[..frames.len().min(ARRAY_FRAMES_MAX)];
        match self {
            Encoding::Json => encode_json(frames),
            Encoding::Proto => Ok(encode_proto(frames)),
        }
    }

    /// The frames of one message; none for control messages.
    pub fn decode(self, message: &Message) -> Result<Vec<ServerFrame>, CodecError> {
        match (self, message) {
            (Encoding::Json, Message::Text(text)) => decode_json(text.as_str()),
            (Encoding::Proto, Message::Binary(bytes)) => {
                let frames = ServerFrames::decode(bytes.clone())
                    .map_err(|e| CodecError::Unreadable(e.to_string()))?;
                Ok(frames.frames)
            }
            (_, Message::Text(_)) => Err(CodecError::Unreadable("text".to_owned())),
            (_, Message::Binary(_)) => Err(CodecError::Unreadable("binary".to_owned())),
            _ => Ok(Vec::new()),
        }
    }
}

fn encode_json(frames: &[ClientFrame]) -> Result<(Message, usize), CodecError> {
    let unwritable = |e: &dyn std::fmt::Display| CodecError::Unwritable(e.to_string());
    if let [frame] = frames {
        let text = serde_json::to_string(frame).map_err(|e| unwritable(&e))?;
        return Ok((Message::text(text), 1));
    }
    let mut bytes = Vec::with_capacity(256 * frames.len());
    bytes.push(b'[');
    let mut taken = 0;
    for frame in frames {
        let before = bytes.len();
        if 0 < taken {
            bytes.push(b',');
        }
        serde_json::to_writer(&mut bytes, frame).map_err(|e| unwritable(&e))?;
        if 0 < taken && FRAME_BYTES_MAX <= bytes.len() {
            bytes.truncate(before);
            break;
        }
        taken += 1;
    }
    bytes.push(b']');
    let text = String::from_utf8(bytes).map_err(|e| unwritable(&e))?;
    Ok((Message::text(text), taken))
}

/// The same bytes as an encoded `ClientFrames` that holds these frames: field 1, once per frame.
fn encode_proto(frames: &[ClientFrame]) -> (Message, usize) {
    let mut bytes = Vec::with_capacity(160 * frames.len());
    let mut taken = 0;
    for frame in frames {
        let size = frame.encoded_len() + prost::length_delimiter_len(frame.encoded_len()) + 1;
        if 0 < taken && FRAME_BYTES_MAX < bytes.len() + size {
            break;
        }
        prost::encoding::message::encode(1, frame, &mut bytes);
        taken += 1;
    }
    (Message::binary(bytes), taken)
}

fn decode_json(text: &str) -> Result<Vec<ServerFrame>, CodecError> {
    if !text.trim_start().starts_with('[') {
        return Ok(decode_json_frame(text)?.into_iter().collect());
    }
    if let Ok(frames) = serde_json::from_str::<Vec<ServerFrame>>(text) {
        return Ok(frames);
    }
    // Perhaps one of them is of a type not known here: one by one.
    let values: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|e| CodecError::Unreadable(e.to_string()))?;
    let frames = values.iter().map(|value| decode_json_frame(&value.to_string()));
    Ok(frames.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// None if the frame is of a type this client does not know.
fn decode_json_frame(text: &str) -> Result<Option<ServerFrame>, CodecError> {
    const KNOWN: [&str; 12] = [
        "welcome", "ack", "opened", "history", "chats", "pong", "error", "event", "list", "signal",
        "heads", "closing",
    ];
    #[derive(serde::Deserialize)]
    struct Kind {
        r#type: String,
    }
    match serde_json::from_str(text) {
        Ok(frame) => Ok(Some(frame)),
        Err(error) => match serde_json::from_str::<Kind>(text) {
            Ok(kind) if !KNOWN.contains(&kind.r#type.as_str()) => Ok(None),
            _ => Err(CodecError::Unreadable(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Body, ClientFrames, Head, Heads, Ping, Send, client_frame, server_frame};

    fn send(id: u64, text: &str) -> ClientFrame {
        let send = Send {
            chat: 7,
            client_msg_id: vec![0xab; 16],
            body: Some(Body { text: text.to_owned() }),
            reply_to: None,
            retry: false,
        };
        ClientFrame { id: Some(id), call: Some(client_frame::Call::Send(send)) }
    }

    fn ping() -> ClientFrame {
        ClientFrame { id: None, call: Some(client_frame::Call::Ping(Ping {})) }
    }

    fn read_back(encoding: Encoding, message: &Message) -> Vec<ClientFrame> {
        match (encoding, message) {
            (Encoding::Json, Message::Text(text)) if text.starts_with('[') => {
                serde_json::from_str(text).expect("an array of frames")
            }
            (Encoding::Json, Message::Text(text)) => {
                vec![serde_json::from_str(text).expect("one frame")]
            }
            (Encoding::Proto, Message::Binary(bytes)) => {
                ClientFrames::decode(bytes.clone()).expect("frames").frames
            }
            other => panic!("not a message of {encoding:?}: {other:?}"),
        }
    }

    #[test]
    fn one_frame_and_many_come_back_as_they_were() {
        for encoding in [Encoding::Json, Encoding::Proto] {
            for frames in [vec![ping()], vec![send(1, "a"), send(2, "\"}]"), ping()]] {
                let (message, taken) = encoding.encode(&frames).expect("encodes");
                assert_eq!(taken, frames.len());
                assert_eq!(read_back(encoding, &message), frames);
            }
        }
    }

    #[test]
    fn a_message_stays_within_the_servers_limits() {
        let small: Vec<ClientFrame> = (0..300).map(|id| send(id, "x")).collect();
        // Each of these characters takes six bytes in JSON.
        let large: Vec<ClientFrame> = (0..40).map(|id| send(id, &"\u{1}".repeat(16_000))).collect();
        for encoding in [Encoding::Json, Encoding::Proto] {
            assert_eq!(encoding.encode(&small).expect("encodes").1, ARRAY_FRAMES_MAX);
            let mut rest = &large[..];
            while !rest.is_empty() {
                let (message, taken) = encoding.encode(rest).expect("encodes");
                assert!(message.len() <= FRAME_BYTES_MAX, "{encoding:?}: {}", message.len());
                assert_eq!(read_back(encoding, &message), rest[..taken]);
                rest = &rest[taken..];
            }
        }
    }

    #[test]
    fn a_client_id_of_the_wrong_size_is_an_error_and_not_a_panic() {
        let mut frame = send(1, "x");
        if let Some(client_frame::Call::Send(send)) = &mut frame.call {
            send.client_msg_id.pop();
        }
        assert!(Encoding::Json.encode(&[frame]).is_err());
    }

    #[test]
    fn server_frames_are_read_alone_and_in_arrays() {
        let heads = r#"{"type":"heads","chats":[["12",3,4,2,"9"]],"list_ver":5}"#;
        let expected = ServerFrame {
            id: None,
            frame: Some(server_frame::Frame::Heads(Heads {
                chats: vec![Head {
                    chat: 12,
                    head_seq: 3,
                    head_ver: 4,
                    read_seq: 2,
                    log: "9".to_owned(),
                }],
                list_ver: 5,
            })),
        };
        let alone = Encoding::Json.decode(&Message::text(heads)).expect("a frame");
        assert_eq!(alone, std::slice::from_ref(&expected));
        let array = Message::text(format!("[{heads},{heads}]"));
        assert_eq!(Encoding::Json.decode(&array).expect("frames"), [expected.clone(), expected]);
    }

    #[test]
    fn frames_of_an_unknown_type_are_skipped_and_broken_ones_are_not() {
        let message = Message::text(r#"[{"type":"pong","id":1},{"type":"fireworks"}]"#);
        assert_eq!(Encoding::Json.decode(&message).expect("one frame").len(), 1);
        let broken = Message::text(r#"[{"type":"pong","id":1},{"type":"heads"}]"#);
        assert!(Encoding::Json.decode(&broken).is_err());
        assert!(Encoding::Proto.decode(&Message::text("{}")).is_err());
    }
}
