//! WebSocket messages to frames: the well-formed send by a short way, everything else carefully, so
//! that an error names its field and repeats its `id`.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use shardline_domain::body::{Body, BodyError};
use shardline_domain::id::EntityId;
use shardline_domain::limits::ARRAY_FRAMES_MAX;
use shardline_wire::client::client_frame::Call;
use shardline_wire::client::{self, ClientFrames};
use shardline_wire::refusal::{Code, Refusal};
use std::fmt;

/// One frame: what it asks, or why it cannot be.
#[derive(Debug, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) id: Option<u64>,
    pub(crate) call: Result<Call, Refusal>,
}

/// What came is not a message of this subprotocol.
#[derive(Debug, PartialEq)]
pub(crate) struct BadFraming;

impl Incoming {
    fn refused(id: Option<u64>, refusal: Refusal) -> Incoming {
        Incoming { id, call: Err(refusal) }
    }
}

fn bad(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::of_field(Code::BadRequest, field, message)
}

/// The frames of a text message, each read for itself.
pub(crate) fn decode_text(text: &str) -> Vec<Incoming> {
    let text = text.trim_matches(JSON_SPACE);
    if text.starts_with('[') {
        return decode_array(text);
    }
    vec![quick(text).unwrap_or_else(|| careful(text))]
}

const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn decode_array(text: &str) -> Vec<Incoming> {
    if let Ok(sends) = serde_json::from_str::<Vec<QuickSend>>(text)
        && sends.len() <= ARRAY_FRAMES_MAX
        && let Some(frames) = sends.into_iter().map(QuickSend::into_incoming).collect()
    {
        return frames;
    }
    match split(text) {
        Ok(frames) => {
            frames.into_iter().map(|frame| quick(frame).unwrap_or_else(|| careful(frame))).collect()
        }
        Err(refusal) => vec![Incoming::refused(None, refusal)],
    }
}

/// The elements of a JSON array, unread.
fn split(text: &str) -> Result<Vec<&str>, Refusal> {
    let malformed = || Refusal::new(Code::BadRequest, "the array is not well-formed JSON");
    let mut rest = text.strip_prefix('[').ok_or_else(malformed)?.trim_start_matches(JSON_SPACE);
    let mut frames = Vec::new();
    if let Some(tail) = rest.strip_prefix(']') {
        return if tail.is_empty() { Ok(frames) } else { Err(malformed()) };
    }
    loop {
        if ARRAY_FRAMES_MAX <= frames.len() {
            let message = format!("an array has at most {ARRAY_FRAMES_MAX} frames");
            return Err(Refusal::new(Code::BadRequest, message));
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        if !matches!(values.next(), Some(Ok(_))) {
            return Err(malformed());
        }
        let (frame, tail) = rest.split_at(values.byte_offset());
        frames.push(frame.trim_matches(JSON_SPACE));
        let tail = tail.trim_start_matches(JSON_SPACE);
        if let Some(tail) = tail.strip_prefix(']') {
            return if tail.is_empty() { Ok(frames) } else { Err(malformed()) };
        }
        rest = tail.strip_prefix(',').ok_or_else(malformed)?.trim_start_matches(JSON_SPACE);
    }
}

/// A send as well-behaved clients write it.
#[derive(Deserialize)]
struct QuickSend<'a> {
    #[serde(rename = "type")]
    #[allow(dead_code)]
    kind: SendKind,
    id: Option<u64>,
    chat: &'a str,
    client_msg_id: &'a str,
    body: client::Body,
    reply_to: Option<u64>,
    #[serde(default)]
    retry: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SendKind {
    Send,
}

impl QuickSend<'_> {
    fn into_incoming(self) -> Option<Incoming> {
        let chat = self.chat.parse::<EntityId>().ok()?.get();
        let client_msg_id = uuid::Uuid::try_parse(self.client_msg_id).ok()?;
        if self.client_msg_id.len() != 36 {
            return None;
        }
        let send = client::Send {
            chat,
            client_msg_id: client_msg_id.as_bytes().to_vec(),
            body: Some(self.body),
            reply_to: self.reply_to,
            retry: self.retry,
        };
        Some(Incoming { id: self.id, call: Ok(Call::Send(send)) })
    }
}

fn quick(text: &str) -> Option<Incoming> {
    serde_json::from_str::<QuickSend>(text).ok()?.into_incoming()
}

/// A frame's `id` and `type`, whatever the rest is.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    id: Lenient<u64>,
    #[serde(default, rename = "type")]
    kind: Lenient<String>,
}

fn careful(text: &str) -> Incoming {
    let mut from = serde_json::Deserializer::from_str(text);
    let envelope: Envelope = match serde_path_to_error::deserialize(&mut from) {
        Ok(envelope) => envelope,
        Err(error) => return no_envelope(text, error),
    };
    if from.end().is_err() {
        let message = "there is something after the frame";
        return Incoming::refused(None, Refusal::new(Code::BadRequest, message));
    }
    let id = match envelope.id {
        Lenient::Absent => None,
        Lenient::Good(id) => Some(id),
        Lenient::Bad => {
            let message = "an id is a whole number from 0 to 18446744073709551615";
            return Incoming::refused(None, bad("id", message));
        }
    };
    let Lenient::Good(kind) = envelope.kind else {
        return Incoming::refused(id, bad("type", "a frame has a type"));
    };
    let call = match kind.as_str() {
        "hello" => typed(text).map(Call::Hello),
        "auth" => typed(text).map(Call::Auth),
        "send" => typed(text).map(Call::Send),
        "edit" => typed(text).map(Call::Edit),
        "delete" => typed(text).map(Call::Delete),
        "open" => typed(text).map(Call::Open),
        "close_chat" => typed(text).map(Call::CloseChat),
        "history" => typed(text).map(Call::History),
        "chats" => typed(text).map(Call::Chats),
        "read" => typed(text).map(Call::Read),
        "ping" => Ok(Call::Ping(client::Ping {})),
        "react" | "hide" | "typing" => Err(not_yet()),
        _ => Err(bad("type", "no such frame type")),
    };
    Incoming { id, call }
}

/// What is wrong is the `type`, the `id`, or the JSON as such.
fn no_envelope(text: &str, error: serde_path_to_error::Error<serde_json::Error>) -> Incoming {
    #[derive(Deserialize)]
    struct OnlyId {
        #[serde(default)]
        id: Lenient<u64>,
    }
    let id = match serde_json::from_str(text) {
        Ok(OnlyId { id: Lenient::Good(id) }) => Some(id),
        _ => None,
    };
    // A number that no machine can hold is well-formed JSON all the same.
    let is_well_formed =
        error.inner().is_data() || error.inner().to_string().starts_with("number out of range");
    if is_well_formed {
        return Incoming::refused(id, bad_field(error));
    }
    Incoming::refused(id, Refusal::new(Code::BadRequest, "the frame is not well-formed JSON"))
}

fn not_yet() -> Refusal {
    bad("type", "this server does not have this frame type yet")
}

fn typed<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    let mut from = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut from).map_err(bad_field)
}

/// Names the field: where the error is, and what is missing there.
fn bad_field(error: serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let path = error.path().to_string();
    let message = error.inner().to_string();
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let field = match (path.as_str(), missing) {
        ("." | "?" | "", Some(name)) => name.to_owned(),
        ("." | "?" | "", None) => return Refusal::new(Code::BadRequest, message),
        (path, Some(name)) => format!("{path}.{name}"),
        (path, None) => path.to_owned(),
    };
    // The position within the text helps nobody.
    let message = message.split(" at line ").next().unwrap_or_default();
    bad(&field, message)
}

/// A value of the wished type, another one, or none: reading it never fails.
#[derive(Default)]
enum Lenient<T> {
    #[default]
    Absent,
    Good(T),
    Bad,
}

struct LenientVisitor<T>(std::marker::PhantomData<T>);

trait Wished: Sized {
    fn from_number(_: u64) -> Lenient<Self> {
        Lenient::Bad
    }
    fn from_text(_: &str) -> Lenient<Self> {
        Lenient::Bad
    }
}

impl Wished for u64 {
    fn from_number(number: u64) -> Lenient<u64> {
        Lenient::Good(number)
    }
}

impl Wished for String {
    fn from_text(text: &str) -> Lenient<String> {
        Lenient::Good(text.to_owned())
    }
}

impl<'de, T: Wished> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LenientVisitor(std::marker::PhantomData))
    }
}

impl<'de, T: Wished> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lenient<T>, E> {
        Ok(Lenient::Bad)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Lenient<T>, E> {
        Ok(Lenient::Bad)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Lenient<T>, E> {
        Ok(T::from_number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lenient<T>, E> {
        Ok(Lenient::Bad)
    }

    fn visit_str<E>(self, text: &str) -> Result<Lenient<T>, E> {
        Ok(T::from_text(text))
    }

    fn visit_unit<E>(self) -> Result<Lenient<T>, E> {
        Ok(Lenient::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Lenient<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lenient::Bad)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Lenient<T>, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Lenient::Bad)
    }
}

/// The frames of a binary message.
pub(crate) fn decode_binary(bytes: &[u8]) -> Result<Vec<Incoming>, BadFraming> {
    let ClientFrames { frames } = prost::Message::decode(bytes).map_err(|_| BadFraming)?;
    if ARRAY_FRAMES_MAX < frames.len() {
        let message = format!("a message has at most {ARRAY_FRAMES_MAX} frames");
        return Ok(vec![Incoming::refused(None, Refusal::new(Code::BadRequest, message))]);
    }
    let frames = frames.into_iter().map(|frame| {
        let call = match frame.call {
            Some(Call::React(_) | Call::Hide(_) | Call::Typing(_)) => Err(not_yet()),
            Some(call) => Ok(call),
            None => Err(bad("type", "no such frame type")),
        };
        Incoming { id: frame.id, call }
    });
    Ok(frames.collect())
}

/// A body as clients may send it.
pub(crate) fn check_body(body: Option<client::Body>) -> Result<client::Body, Refusal> {
    let body = body.ok_or_else(|| bad("body", "a message has a body"))?;
    let text = Body::parse(body.text).map_err(|error| {
        let code = match error {
            BodyError::TooLong { .. } => Code::TooLarge,
            BodyError::Empty | BodyError::Nul => Code::BadRequest,
        };
        Refusal::of_field(code, "body.text", error.to_string())
    })?;
    Ok(client::Body { text: text.into_text() })
}

pub(crate) fn check_chat(chat: u64) -> Result<u64, Refusal> {
    EntityId::new(chat).map(EntityId::get).map_err(|error| bad("chat", error.to_string()))
}

pub(crate) fn check_client_msg_id(bytes: &[u8]) -> Result<[u8; 16], Refusal> {
    bytes.try_into().map_err(|_| bad("client_msg_id", "a client_msg_id is a UUID"))
}

#[cfg(test)]
mod tests;
