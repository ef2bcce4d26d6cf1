//! What a call does, for those who carry it without looking further.

use crate::internal::Call;
use crate::internal::call::Op;

impl Call {
    /// Whether it changes nothing: it may be refused after it was carried out, and be asked again.
    pub fn is_read(&self) -> bool {
        match &self.op {
            None => true,
            Some(op) => op.is_read(),
        }
    }
}

impl Op {
    /// As [`Call::is_read`].
    pub fn is_read(&self) -> bool {
        match self {
            Op::GetChat(_)
            | Op::OpenChat(_)
            | Op::GetHistory(_)
            | Op::ListMembers(_)
            | Op::GetChanges(_)
            | Op::ExplainMessage(_)
            | Op::GetHeads(_)
            | Op::GetItems(_)
            | Op::GetUsers(_)
            | Op::GetCredentials(_)
            | Op::CheckSession(_)
            | Op::GetList(_)
            | Op::LookupName(_)
            | Op::SearchNames(_) => true,
            // One by one, so that a new op must choose.
            Op::Send(_)
            | Op::Edit(_)
            | Op::Delete(_)
            | Op::CreateChat(_)
            | Op::PatchChat(_)
            | Op::EndChat(_)
            | Op::AddMembers(_)
            | Op::SetRole(_)
            | Op::RemoveMember(_)
            | Op::MergeCursors(_)
            | Op::CreateUser(_)
            | Op::PatchUser(_)
            | Op::CreateSession(_)
            | Op::RefreshSession(_)
            | Op::EndSession(_)
            | Op::ApplyFact(_)
            | Op::EmitFact(_)
            | Op::RemoveUser(_)
            | Op::ClaimName(_) => false,
        }
    }
}
