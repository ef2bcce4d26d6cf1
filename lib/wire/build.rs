//! Generates the types of the proto files. The JSON form of the client contract is the same types
//! with the serde attributes below: ids as decimal strings, absent fields left out.

use std::error::Error;

/// Ids: decimal strings in JSON.
const IDS: &[&str] = &[
    "User.user",
    "Message.chat",
    "Message.sender",
    "Member.user",
    "ChatItem.chat",
    "Send.chat",
    "Edit.chat",
    "Delete.chat",
    "React.chat",
    "Open.chat",
    "CloseChat.chat",
    "History.chat",
    "Read.chat",
    "Hide.chat",
    "Typing.chat",
    "Welcome.user",
    "Welcome.session",
    "HistoryPage.chat",
    "Event.chat",
];
const OPTIONAL_IDS: &[&str] = &["Ack.chat", "ListChange.chat", "Signal.chat", "Signal.user"];
const ID_LISTS: &[&str] = &["ChatsPage.gone"];
const UUIDS: &[&str] = &["Message.client_msg_id", "Send.client_msg_id"];
/// A UUID, or nothing.
const OPTIONAL_UUIDS: &[&str] = &["Ack.client_msg_id"];

/// Left out of JSON when absent, and absent when left out.
const OPTIONAL: &[&str] = &[
    "Message.body",
    "Message.edited_at_ms",
    "Message.reply_to",
    "Member.left_ver",
    "Member.name",
    "Member.display_name",
    "ChatItem.peer",
    "ChatItem.read_seq",
    "ChatItem.unread",
    "ChatItem.pinned",
    "ChatItem.muted",
    "ChatItem.role",
    "Send.reply_to",
    "Edit.if_ver",
    "Delete.if_ver",
    "Open.since_ver",
    "Open.log",
    "Open.limit",
    "History.before_seq",
    "History.after_seq",
    "History.limit",
    "History.min_ver",
    "Chats.limit",
    "Chats.cursor",
    "Chats.since_list_ver",
    "Ack.seq",
    "Ack.ver",
    "Ack.log",
    "Ack.sent_at_ms",
    "Ack.duplicate",
    "Ack.expires_at_ms",
    "Ack.read_seq",
    "Ack.list_ver",
    "ChatsPage.state",
    "Error.field",
    "Error.retry_after_ms",
    "Event.message",
    "Event.member",
    "Event.chat_item",
    "ListChange.user",
    "Signal.seq",
];
const FALSE_LEFT_OUT: &[&str] = &["Message.deleted", "ChatItem.ended"];
const EMPTY_LEFT_OUT: &[&str] = &["Opened.read", "Opened.members"];
/// May be missing in a client's JSON.
const DEFAULTED: &[&str] = &["Hello.client", "Hello.device", "Send.retry", "User.about"];
/// Written as JSON arrays by hand.
const TUPLES: &[&str] = &["Head", "ReadMark"];
const FRAMES: &[&str] = &["ClientFrame", "ServerFrame", "ClientFrames", "ServerFrames"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "client.proto",
            "explain.proto",
            "internal.proto",
            "moves.proto",
            "inspect.proto",
            "admin.proto",
        ],
        ["proto"],
    )?;

    let package = ".shardline.v1";
    let mut config = tonic_prost_build::configure().bytes(".shardline.internal.v1.Event.payload");
    for file in &descriptors.file {
        if file.package() != "shardline.v1" {
            continue;
        }
        for message in &file.message_type {
            let name = message.name();
            if TUPLES.contains(&name) || FRAMES.contains(&name) {
                continue;
            }
            config = config.type_attribute(
                format!("{package}.{name}"),
                "#[derive(serde::Serialize, serde::Deserialize)]",
            );
        }
    }
    for (fields, attribute) in [
        (IDS, r#"#[serde(with = "crate::json::id")]"#),
        (
            OPTIONAL_IDS,
            r#"#[serde(default, skip_serializing_if = "Option::is_none", with = "crate::json::optional_id")]"#,
        ),
        (
            ID_LISTS,
            r#"#[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::json::ids")]"#,
        ),
        (UUIDS, r#"#[serde(with = "crate::json::uuid")]"#),
        (
            OPTIONAL_UUIDS,
            r#"#[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::json::uuid")]"#,
        ),
        (OPTIONAL, r#"#[serde(default, skip_serializing_if = "Option::is_none")]"#),
        (FALSE_LEFT_OUT, r#"#[serde(default, skip_serializing_if = "std::ops::Not::not")]"#),
        (EMPTY_LEFT_OUT, r#"#[serde(default, skip_serializing_if = "Vec::is_empty")]"#),
        (DEFAULTED, "#[serde(default)]"),
    ] {
        for field in fields {
            config = config.field_attribute(format!("{package}.{field}"), attribute);
        }
    }
    for oneof in ["ClientFrame.call", "ServerFrame.frame"] {
        config = config.type_attribute(
            format!("{package}.{oneof}"),
            r#"#[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type", rename_all = "snake_case")]"#,
        );
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
