//! What the router must know of an op to route it: who decides, and whether it writes. Nothing else
//! of a call is looked at.

use shardline_wire::internal::call::Op;

/// How a call finds its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// To the entity's shard, in order per slot, parked while the slot moves.
    Write,
    /// To the entity's shard.
    Read,
    /// In parts to the shards of its entities.
    Several,
    /// To every shard.
    Everywhere,
}

#[derive(Debug)]
pub(crate) struct Kind {
    /// In `KINDS`.
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    /// Only the router that owns the chat's partition takes it.
    pub(crate) is_owners: bool,
}

macro_rules! kinds {
    ($($index:literal $variant:ident $name:literal $way:ident $is_owners:literal;)*) => {
        pub(crate) static KINDS: &[Kind] = &[
            $(Kind { index: $index, name: $name, way: Way::$way, is_owners: $is_owners },)*
        ];

        pub(crate) fn kind(op: &Op) -> &'static Kind {
            match op {
                $(Op::$variant(_) => &KINDS[$index],)*
            }
        }
    };
}

// Reads of a chat are taken by any router: `min_ver` keeps them from going back, and a chat whose
// router was just lost can still be read.
kinds! {
    0 Send "send" Write true;
    1 Edit "edit" Write true;
    2 Delete "delete" Write true;
    3 CreateChat "create_chat" Write true;
    4 PatchChat "patch_chat" Write true;
    5 EndChat "end_chat" Write true;
    6 AddMembers "add_members" Write true;
    7 SetRole "set_role" Write true;
    8 RemoveMember "remove_member" Write true;
    9 GetChat "get_chat" Read false;
    10 OpenChat "open_chat" Read false;
    11 GetHistory "get_history" Read false;
    12 ListMembers "list_members" Read false;
    13 GetChanges "get_changes" Read false;
    14 GetHeads "get_heads" Several false;
    15 GetItems "get_items" Several false;
    16 MergeCursors "merge_cursors" Several false;
    17 CreateUser "create_user" Write false;
    18 GetUsers "get_users" Several false;
    19 GetCredentials "get_credentials" Read false;
    20 PatchUser "patch_user" Write false;
    21 CreateSession "create_session" Write false;
    22 RefreshSession "refresh_session" Write false;
    23 EndSession "end_session" Write false;
    24 CheckSession "check_session" Read false;
    25 GetList "get_list" Read false;
    26 ApplyFact "apply_fact" Write false;
    27 ClaimName "claim_name" Write false;
    28 LookupName "lookup_name" Read false;
    29 SearchNames "search_names" Everywhere false;
    30 EmitFact "emit_fact" Write false;
    31 RemoveUser "remove_user" Write false;
    32 ExplainMessage "explain_message" Read false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_its_own_name_and_place() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        assert!(KINDS.iter().enumerate().all(|(place, kind)| place == kind.index));
    }

    #[test]
    fn only_writes_of_chats_need_the_owner() {
        assert!(KINDS.iter().filter(|kind| kind.is_owners).all(|kind| kind.way == Way::Write));
    }
}
