//! Who is in a chat.

use super::Reader;
use crate::events;
use shardline_domain::limits::MEMBERS_PAGE_MAX;
use shardline_wire::internal::{ListMembers, MembersPage};
use shardline_wire::refusal::Refusal;

impl Reader {
    /// Present members by user id, behind `after`.
    pub(super) async fn list_members(
        &self,
        id: u64,
        list: &ListMembers,
    ) -> Result<MembersPage, Refusal> {
        let (chat, _) = self.chat_of(id, list.user, list.min_ver).await?;
        let limit = if list.limit == 0 { MEMBERS_PAGE_MAX } else { list.limit };
        let limit = usize::try_from(limit.min(MEMBERS_PAGE_MAX)).unwrap_or(1);
        let mut rest = chat.members.iter().filter(|member| list.after < member.user);
        let members: Vec<_> =
            rest.by_ref().take(limit).map(|member| events::member(member, None)).collect();
        Ok(MembersPage { members, more: rest.next().is_some() })
    }
}
