//! Reads: answered from memory where the entity is there, else from the database. The head is read
//! first, so an answer may hold more than its head says, never less; and nothing that was
//! acknowledged before the read is missing from it.

pub(crate) mod changes;
mod heads;
mod history;
mod members;
mod news;
mod open;
pub(crate) mod rows;
mod user;

use crate::entity::{Chat, Member, User};
use crate::fence::Fence;
use crate::gate::Gate;
use crate::lanes::lane_of;
use crate::memory::Memory;
use crate::refusals;
use crate::store::{MessageRow, Store};
use parking_lot::RwLock;
use rows::Rows;
use shardline_domain::chat::history_floor;
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::internal::{Call, call};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;

/// What reads are answered from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) store: Arc<dyn Store>,
    /// Of each lane.
    pub(crate) memories: Arc<[Arc<Memory>]>,
    pub(crate) gate: Arc<RwLock<Gate>>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) rows: Arc<Rows>,
}

impl Reader {
    /// Any call that writes nothing; its slots were checked. Not answered by one who may have been
    /// replaced.
    pub(crate) async fn read(&self, call: Call) -> Outcome {
        self.fence.ensure().await?;
        let id = call.entity;
        match call.op {
            Some(call::Op::GetChat(get)) => self.get_chat(id, &get).await.map(Answer::Chat),
            Some(call::Op::OpenChat(open)) => self.open_chat(id, &open).await.map(Answer::Opened),
            Some(call::Op::GetHistory(get)) => self.history(id, &get).await.map(Answer::History),
            Some(call::Op::ListMembers(list)) => {
                self.list_members(id, &list).await.map(Answer::Members)
            }
            Some(call::Op::GetChanges(get)) => self.changes(id, &get).await.map(Answer::Changes),
            Some(call::Op::GetHeads(get)) => self.heads(&get).await.map(Answer::Heads),
            Some(call::Op::GetItems(get)) => self.items(&get).await.map(Answer::Items),
            Some(call::Op::GetUsers(get)) => self.users(&get).await.map(Answer::Users),
            Some(call::Op::GetCredentials(_)) => {
                self.credentials(id).await.map(Answer::Credentials)
            }
            Some(call::Op::CheckSession(check)) => {
                self.check_session(id, &check).await.map(Answer::Session)
            }
            Some(call::Op::GetList(get)) => self.list(id, &get).await.map(Answer::List),
            Some(call::Op::LookupName(lookup)) => {
                self.lookup_name(id, &lookup).await.map(Answer::Name)
            }
            Some(call::Op::SearchNames(search)) => {
                self.search_names(&search).await.map(Answer::Names)
            }
            _ => Err(Refusal::internal("a write came to the reader")),
        }
    }

    pub(crate) fn memory(&self, entity: u64) -> &Arc<Memory> {
        &self.memories[lane_of(entity, self.memories.len())]
    }

    /// A chat at `min_ver` or later.
    async fn chat(&self, id: u64, min_ver: u64) -> Result<Chat, Refusal> {
        let chat = self.memory(id).chat(id).await.map_err(|error| refusals::store(&error))?;
        let chat = chat.ok_or_else(refusals::no_chat)?;
        if chat.head.ver < min_ver { Err(refusals::behind()) } else { Ok(chat) }
    }

    /// As `chat`, for one of its members; an ended chat is gone for all.
    async fn chat_of(&self, id: u64, user: u64, min_ver: u64) -> Result<(Chat, Member), Refusal> {
        let chat = self.chat(id, min_ver).await?;
        if chat.row.ended {
            return Err(refusals::no_chat());
        }
        let member = *chat.members.get(user).ok_or_else(refusals::not_member)?;
        Ok((chat, member))
    }

    async fn user(&self, id: u64) -> Result<Option<User>, Refusal> {
        self.memory(id).user(id).await.map_err(|error| refusals::store(&error))
    }

    /// The latest message, if there is one above the member's floor.
    async fn last_message(
        &self,
        chat: &Chat,
        member: &Member,
    ) -> Result<Option<Arc<MessageRow>>, Refusal> {
        let floor = history_floor(chat.history, member.joined_seq, chat.row.trimmed_seq);
        if chat.head.seq <= floor {
            return Ok(None);
        }
        if let Some(last) = &chat.last {
            return Ok(Some(Arc::clone(last)));
        }
        let row = self.rows.message(chat.head.entity, chat.head.seq).await;
        let row = row.map_err(|error| refusals::store(&error))?.map(Arc::new);
        if let Some(row) = &row {
            self.memory(chat.head.entity).cache.put_last(chat.head, row);
        }
        Ok(row)
    }

    /// The epoch of an entity's slot, as the gate knows it.
    pub(crate) fn epoch(&self, entity: u64) -> u64 {
        EntityId::new(entity).map_or(0, |id| self.gate.read().epoch(Slot::of(id)).0)
    }

    fn owns(&self, entity: u64) -> bool {
        EntityId::new(entity).is_ok_and(|id| self.gate.read().owns(Slot::of(id)))
    }
}
