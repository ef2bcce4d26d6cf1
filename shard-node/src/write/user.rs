//! A user's account, profile and chat list.

use super::{Decided, Verdict, user_id};
use crate::entity::User;
use crate::events;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{HeadRow, ListRow, UserRow};
use shardline_daemon::sabotage::is_planted;
use shardline_domain::user::{check_about, check_display_name, check_name, is_newer_fact};
use shardline_wire::call::Answer;
use shardline_wire::internal::{ApplyFact, CreateUser, FactApplied, PatchUser, UserView};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;

/// The same id with the same name again finds the user; with another name it is a clash.
pub(crate) fn create(staging: &mut Staging, id: u64, create: &CreateUser) -> Decided {
    user_id("user", id)?;
    check_name(&create.name).map_err(|error| refusals::text("name", error))?;
    let display_name =
        if create.display_name.is_empty() { &create.name } else { &create.display_name };
    check_display_name(display_name).map_err(|error| refusals::text("display_name", error))?;
    match staging.find_user(id)? {
        Some(user) if user.row.name == create.name => {}
        Some(_) => return Err(refusals::id_clash()),
        None => {
            let at_ms = staging.at_ms();
            let row = UserRow {
                user: id,
                name: create.name.clone(),
                display_name: display_name.clone(),
                about: String::new(),
                password_hash: create.password_hash.clone(),
                created_at_ms: at_ms,
                trimmed_ver: 0,
            };
            let log = super::chat::new_log();
            let head = HeadRow { entity: id, seq: 0, ver: 0, log, activity_ms: at_ms };
            let (sessions, list) = (Arc::default(), Arc::default());
            staging.create_user(User { head, row: Arc::new(row), sessions, list });
        }
    }
    Ok(Verdict::Answer(view(staging, id)?))
}

/// What is already so is not written again.
pub(crate) fn patch(staging: &mut Staging, id: u64, patch: &PatchUser) -> Decided {
    if let Some(name) = &patch.display_name {
        check_display_name(name).map_err(|error| refusals::text("display_name", error))?;
    }
    if let Some(about) = &patch.about {
        check_about(about).map_err(|error| refusals::text("about", error))?;
    }
    let row = &staging.user(id)?.row;
    let changes = patch.display_name.as_ref().is_some_and(|name| *name != row.display_name)
        || patch.about.as_ref().is_some_and(|about| *about != row.about);
    if changes {
        staging.change_profile(id, |row| {
            if let Some(name) = &patch.display_name {
                row.display_name.clone_from(name);
            }
            if let Some(about) = &patch.about {
                row.about.clone_from(about);
            }
        });
    }
    Ok(Verdict::Answer(view(staging, id)?))
}

/// A chat's shard says that this user joined or left it. An older fact than the row's is answered as
/// applied: it was, or something later was.
pub(crate) fn apply_fact(staging: &mut Staging, id: u64, fact: &ApplyFact) -> Decided {
    let user = staging.user(id)?;
    let known = user.list_row(fact.chat);
    let is_newer = is_newer_fact(known.map(|row| row.fact_ver), fact.ver);
    if is_newer || is_planted("memberships-without-versions") {
        let row = ListRow {
            kind: fact.kind.clone(),
            gone: !fact.joined,
            fact_ver: fact.ver,
            ..known.cloned().unwrap_or_else(|| new_list_row(id, fact.chat))
        };
        staging.put_list_row(row);
    }
    let list_ver = staging.user(id)?.head.ver;
    Ok(Verdict::Answer(Answer::FactApplied(FactApplied { list_ver })))
}

fn new_list_row(user: u64, chat: u64) -> ListRow {
    ListRow {
        user,
        chat,
        kind: String::new(),
        pinned: false,
        muted: false,
        hidden_seq: 0,
        gone: false,
        fact_ver: 0,
        list_ver: 0,
    }
}

fn view(staging: &Staging, id: u64) -> Result<Answer, Refusal> {
    let user = staging.user(id)?;
    let list_ver = user.head.ver;
    Ok(Answer::User(UserView { user: Some(events::user(&user.row)), list_ver }))
}
