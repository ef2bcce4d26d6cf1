//! Read cursors: merged by maximum, at most the head.

use crate::lanes::staging::Staging;
use shardline_daemon::sabotage::is_planted;
use shardline_domain::cursor::merge;
use shardline_wire::internal::CursorMark;

/// What each mark is after the merge. A mark whose chat could not be loaded is missing; one of a user
/// who is no member is answered as asked, since there is nothing to keep and nothing to repeat.
pub(crate) fn merge_marks(staging: &mut Staging, marks: &[CursorMark]) -> Vec<CursorMark> {
    marks.iter().filter_map(|mark| merge_mark(staging, mark)).collect()
}

fn merge_mark(staging: &mut Staging, mark: &CursorMark) -> Option<CursorMark> {
    let chat = staging.find_chat(mark.chat);
    let Ok(Some(chat)) = chat else {
        // No chat at all is final, a failed load is not.
        return chat.is_ok().then_some(*mark);
    };
    let Some(member) = chat.members.get(mark.user) else {
        return Some(CursorMark { seq: mark.seq.min(chat.head.seq), ..*mark });
    };
    let known = chat.read_seq(member).max(staging.cursor(mark.chat, mark.user));
    let seq = merge(known, mark.seq, chat.head.seq);
    if is_planted("the-last-cursor-wins") {
        staging.put_cursor(mark.chat, mark.user, mark.seq);
        return Some(*mark);
    }
    if known < seq {
        staging.put_cursor(mark.chat, mark.user, seq);
    }
    Some(CursorMark { seq, ..*mark })
}
