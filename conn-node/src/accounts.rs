//! Accounts: to register, to log in and out, and what others see of a user.

pub(crate) mod log_in;
pub(crate) mod outside;
pub(crate) mod register;
pub(crate) mod rules;
pub(crate) mod users;

use crate::calls::{answered, call};
use crate::node::Node;
use shardline_domain::id::{NameId, PROBES, UserId};
use shardline_wire::internal::LookupName;
use shardline_wire::internal::call::Op;
use shardline_wire::refusal::{Code, Refusal};

/// Whose name this is. A name is at its first probe that no other name took; names are never given
/// up, so the first free probe ends the search.
async fn owner_of(node: &Node, name: &str) -> Result<Option<UserId>, Refusal> {
    for probe in 0..PROBES {
        let op = Op::LookupName(LookupName { name: name.to_owned() });
        match answered!(call(node, NameId::of_name(name, probe), op).await, Name) {
            Ok(view) if view.name == name => {
                let user = UserId::new(view.user);
                return user.map(Some).map_err(|_| Refusal::internal("a name of nobody"));
            }
            Ok(_) => {}
            Err(refusal) if refusal.code() == Code::IdClash => {}
            Err(refusal) if refusal.code() == Code::NotFound => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(None)
}
