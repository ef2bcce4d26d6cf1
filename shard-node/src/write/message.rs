//! Changes of a message that is there: edit and delete. Doing one twice is doing it once.

use super::{Decided, LookedUp, Verdict};
use crate::entity::{Chat, Member};
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{ChangeKind, MessageRow};
use shardline_domain::chat::{history_floor, may_delete, may_edit};
use shardline_wire::call::Answer;
use shardline_wire::internal::{Changed, Delete, Edit};
use shardline_wire::refusal::{Code, Refusal};

pub(crate) fn edit(
    staging: &mut Staging,
    looked_up: &LookedUp<'_>,
    id: u64,
    edit: &Edit,
) -> Decided {
    let body = super::send::parse_body(edit.body.as_ref())?;
    let at_ms = staging.at_ms();
    let (chat, member) = chat_and_member(staging, id, edit.actor)?;
    let row = visible(staging, looked_up, chat, member, edit.seq)?;
    may_edit(member.role, row.sender == edit.actor).map_err(refusals::denied)?;
    if row.deleted {
        return Err(refusals::no_message(edit.seq));
    }
    let log = chat.head.log;
    if row.text == body.text() {
        return Ok(changed(row.seq, row.changed_ver, log));
    }
    unchanged_since(row, edit.if_ver)?;
    let edited_at_ms = Some(at_ms.max(row.sent_at_ms));
    let row = MessageRow { text: body.into_text(), edited_at_ms, ..row.clone() };
    let seq = row.seq;
    let ver = staging.change_message(row, ChangeKind::Edit);
    Ok(changed(seq, ver, log))
}

pub(crate) fn delete(
    staging: &mut Staging,
    looked_up: &LookedUp<'_>,
    id: u64,
    delete: &Delete,
) -> Decided {
    let (chat, member) = chat_and_member(staging, id, delete.actor)?;
    let row = visible(staging, looked_up, chat, member, delete.seq)?;
    let own = row.sender == delete.actor;
    may_delete(chat.kind, member.role, own).map_err(refusals::denied)?;
    let log = chat.head.log;
    if row.deleted {
        return Ok(changed(row.seq, row.changed_ver, log));
    }
    unchanged_since(row, delete.if_ver)?;
    let row = MessageRow { text: String::new(), deleted: true, ..row.clone() };
    let seq = row.seq;
    let ver = staging.change_message(row, ChangeKind::Delete);
    Ok(changed(seq, ver, log))
}

/// A chat that goes on, and the member of it that acts.
pub(super) fn chat_and_member(
    staging: &Staging,
    id: u64,
    actor: u64,
) -> Result<(&Chat, &Member), Refusal> {
    let chat = staging.chat(id)?;
    if chat.row.ended {
        return Err(refusals::no_chat());
    }
    let member = chat.members.get(actor).ok_or_else(refusals::not_member)?;
    Ok((chat, member))
}

fn visible<'a>(
    staging: &'a Staging,
    looked_up: &'a LookedUp<'_>,
    chat: &Chat,
    member: &Member,
    seq: u64,
) -> Result<&'a MessageRow, Refusal> {
    let floor = history_floor(chat.history, member.joined_seq, chat.row.trimmed_seq);
    if seq <= floor {
        return Err(refusals::no_message(seq));
    }
    looked_up.message(staging, chat.head.entity, seq)
}

fn unchanged_since(row: &MessageRow, if_ver: Option<u64>) -> Result<(), Refusal> {
    match if_ver {
        Some(seen) if seen < row.changed_ver => {
            let message = format!("the message changed at ver {}", row.changed_ver);
            Err(Refusal::of_field(Code::Conflict, "if_ver", message))
        }
        _ => Ok(()),
    }
}

fn changed(seq: u64, ver: u64, log: u64) -> Verdict {
    Verdict::Answer(Answer::Changed(Changed { seq, ver, log }))
}
