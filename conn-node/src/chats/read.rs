//! To have read a chat up to a message, over HTTP and over a socket alike: taken, remembered for what
//! is shown to the user, and shown to the others.

use super::number;
use crate::cursors;
use crate::node::Node;
use shardline_domain::id::{ChatId, UserId};
use shardline_domain::limits::DIRECT_PUSH_MEMBERS_MAX;
use shardline_wire::call::{Done, NodeOp};
use shardline_wire::client;
use shardline_wire::internal;
use shardline_wire::refusal::Refusal;

/// The cursor that is known afterwards.
///
/// # Errors
/// Those of [`cursors::read`].
pub(crate) async fn read(
    node: &Node,
    user: UserId,
    chat: ChatId,
    seq: u64,
) -> Result<u64, Refusal> {
    let taken = cursors::read(node, user, chat, number("seq", seq)?).await?;
    node.hub.note_read(user.get(), chat.get(), taken.read_seq);
    let is_small =
        usize::try_from(taken.members).is_ok_and(|members| members <= DIRECT_PUSH_MEMBERS_MAX);
    if taken.is_news && is_small {
        show(node, user, chat, taken.read_seq);
    }
    Ok(taken.read_seq)
}

/// Tells those who have the chat open. May be lost.
fn show(node: &Node, user: UserId, chat: ChatId, read_seq: u64) {
    let Some(link) = node.routers.connected_owner(chat.get()) else { return };
    let signal = client::Signal {
        kind: "read".to_owned(),
        chat: Some(chat.get()),
        user: Some(user.get()),
        seq: Some(read_seq),
    };
    let signal = internal::Signal { chat: chat.get(), users: Vec::new(), signal: Some(signal) };
    link.submit(NodeOp::Signal(signal), Done::new(|_| {}));
}
