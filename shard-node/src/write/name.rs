//! Claiming a name: the commit point of a registration.

use super::{Decided, Verdict, user_id};
use crate::entity::Name;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{HeadRow, NameRow};
use shardline_domain::id::{NameId, PROBES};
use shardline_domain::user::check_name;
use shardline_wire::call::Answer;
use shardline_wire::internal::{ClaimName, NameView};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;

/// First come, first served; the same claim again is fine. Another name at this id is a clash.
pub(crate) fn claim(staging: &mut Staging, id: u64, claim: &ClaimName) -> Decided {
    let user = user_id("user", claim.user)?.get();
    check_name(&claim.name).map_err(|error| refusals::text("name", error))?;
    if !(0..PROBES).any(|probe| NameId::of_name(&claim.name, probe).get() == id) {
        return Err(Refusal::internal("a name's id does not come from the name"));
    }
    match staging.find_name(id)? {
        Some(known) if known.row.name != claim.name => return Err(refusals::id_clash()),
        Some(known) if known.row.user != user => {
            return Err(Refusal::of_field(Code::NameTaken, "name", "this name is taken"));
        }
        Some(_) => {}
        None => {
            let row = NameRow { entity: id, name: claim.name.clone(), user };
            let head = HeadRow {
                entity: id,
                seq: 0,
                ver: 1,
                log: super::chat::new_log(),
                activity_ms: staging.at_ms(),
            };
            staging.create_name(Name { head, row: Arc::new(row) });
        }
    }
    Ok(Verdict::Answer(Answer::Name(NameView { name: claim.name.clone(), user })))
}
