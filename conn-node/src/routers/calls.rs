//! What may be done with a call, by what it asks: who gets it, and whether it may be sent again.

use shardline_wire::internal::call::Op;

/// Everything about one chat goes to one router, so that order and batches are made there.
pub(super) fn goes_to_owner(op: &Op) -> bool {
    matches!(
        op,
        Op::Send(_)
            | Op::Edit(_)
            | Op::Delete(_)
            | Op::CreateChat(_)
            | Op::PatchChat(_)
            | Op::EndChat(_)
            | Op::AddMembers(_)
            | Op::SetRole(_)
            | Op::RemoveMember(_)
            | Op::GetChat(_)
            | Op::OpenChat(_)
            | Op::GetHistory(_)
            | Op::ListMembers(_)
            | Op::GetChanges(_)
    )
}

pub(super) fn is_read(op: &Op) -> bool {
    matches!(
        op,
        Op::GetChat(_)
            | Op::OpenChat(_)
            | Op::GetHistory(_)
            | Op::ListMembers(_)
            | Op::GetChanges(_)
            | Op::GetHeads(_)
            | Op::GetItems(_)
            | Op::GetUsers(_)
            | Op::GetCredentials(_)
            | Op::CheckSession(_)
            | Op::GetList(_)
            | Op::LookupName(_)
            | Op::SearchNames(_)
    )
}

/// Whether carrying it out twice is the same as once, also with others' calls in between.
pub(super) fn is_repeatable(op: &Op) -> bool {
    let is_idempotent = matches!(
        op,
        Op::Send(_)
            | Op::CreateChat(_)
            | Op::EndChat(_)
            | Op::MergeCursors(_)
            | Op::EndSession(_)
            | Op::ApplyFact(_)
            | Op::ClaimName(_)
    );
    is_idempotent || is_read(op)
}
