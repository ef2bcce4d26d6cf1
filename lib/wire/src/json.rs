//! How the client contract's types look in JSON: ids as decimal strings, client ids as UUIDs, head
//! and read marks as short arrays, and one object per frame with its `type`.

use crate::client::{ClientFrame, Head, ReadMark, ServerFrame, client_frame, server_frame};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shardline_domain::id::EntityId;
use std::borrow::Cow;

fn parse_id<E: serde::de::Error>(text: &str) -> Result<u64, E> {
    text.parse::<EntityId>().map(EntityId::get).map_err(E::custom)
}

pub mod id {
    use super::*;

    pub fn serialize<S: Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        parse_id(&Cow::<str>::deserialize(from)?)
    }
}

pub mod optional_id {
    use super::*;

    pub fn serialize<S: Serializer>(id: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => to.collect_str(id),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        Option::<Cow<'_, str>>::deserialize(from)?.map(|text| parse_id(&text)).transpose()
    }
}

pub mod ids {
    use super::*;

    pub fn serialize<S: Serializer>(ids: &[u64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ids.iter().map(u64::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
        let texts = Vec::<Cow<'_, str>>::deserialize(from)?;
        texts.iter().map(|text| parse_id(text)).collect()
    }
}

pub mod uuid {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let uuid = ::uuid::Uuid::from_slice(bytes).map_err(serde::ser::Error::custom)?;
        to.collect_str(&uuid.hyphenated())
    }

    /// The hyphenated form only, in any case.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let uuid = ::uuid::Uuid::try_parse(&text).ok().filter(|_| text.len() == 36);
        let uuid = uuid.ok_or_else(|| D::Error::custom("not a UUID"))?;
        Ok(uuid.as_bytes().to_vec())
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.chat.to_string(), self.head_seq, self.head_ver, self.read_seq, &self.log)
            .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (chat, head_seq, head_ver, read_seq, log): (Cow<'_, str>, u64, u64, u64, String) =
            Deserialize::deserialize(from)?;
        Ok(Head { chat: parse_id(&chat)?, head_seq, head_ver, read_seq, log })
    }
}

impl Serialize for ReadMark {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.user.to_string(), self.seq).serialize(to)
    }
}

impl<'de> Deserialize<'de> for ReadMark {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (user, seq): (Cow<'_, str>, u64) = Deserialize::deserialize(from)?;
        Ok(ReadMark { user: parse_id(&user)?, seq })
    }
}

/// `{"id":…,"type":…, …}`: the two forms of a frame share this shape.
#[derive(Serialize, Deserialize)]
struct Tagged<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(flatten)]
    inner: T,
}

impl Serialize for ServerFrame {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Tagged { id: self.id, inner: self.frame.as_ref() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for ServerFrame {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Tagged { id, inner } = Tagged::<server_frame::Frame>::deserialize(from)?;
        Ok(ServerFrame { id, frame: Some(inner) })
    }
}

impl Serialize for ClientFrame {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Tagged { id: self.id, inner: self.call.as_ref() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for ClientFrame {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Tagged { id, inner } = Tagged::<client_frame::Call>::deserialize(from)?;
        Ok(ClientFrame { id, call: Some(inner) })
    }
}
