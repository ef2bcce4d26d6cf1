//! Users, their sessions and lists, and names.

use super::{State, refusal};
use shardline_domain::user::{Nonce, Refresh, Tokens, refresh};
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::client::User;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Credentials, ListPage, ListRow, NameView, NamesPage, SessionView, UserView, UsersPage,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap};

pub(super) struct Account {
    user: User,
    password_hash: String,
    sessions: HashMap<u64, Tokens>,
    pub(super) list: BTreeMap<u64, ListRow>,
    pub(super) ver: u64,
}

pub(super) fn answer(
    state: &mut State,
    entity: u64,
    op: Op,
    is_up: impl Fn(u64) -> bool,
) -> Outcome {
    match op {
        Op::CreateUser(create) => {
            let user = User {
                user: entity,
                name: create.name,
                display_name: create.display_name,
                about: String::new(),
            };
            let account = state.users.entry(entity).or_insert_with(|| Account {
                user: user.clone(),
                password_hash: create.password_hash,
                sessions: HashMap::new(),
                list: BTreeMap::new(),
                ver: 1,
            });
            if account.user.name != user.name {
                return Err(refusal(Code::IdClash, "another user"));
            }
            Ok(view(account))
        }
        Op::GetUsers(get) => {
            let ids = get.entities.iter().map(|one| one.entity).filter(|user| is_up(*user));
            let found = ids.filter_map(|user| state.users.get(&user));
            Ok(Answer::Users(UsersPage { users: found.map(|one| one.user.clone()).collect() }))
        }
        Op::GetCredentials(_) => {
            let account = account(state, entity)?;
            let password_hash = account.password_hash.clone();
            Ok(Answer::Credentials(Credentials { password_hash, user: Some(account.user.clone()) }))
        }
        Op::PatchUser(patch) => {
            let account = account(state, entity)?;
            account.ver += 1;
            let user = &mut account.user;
            user.display_name = patch.display_name.unwrap_or(user.display_name.clone());
            user.about = patch.about.unwrap_or(user.about.clone());
            Ok(view(account))
        }
        Op::CreateSession(create) => {
            let account = account(state, entity)?;
            account.sessions.insert(create.session, Tokens::first(nonce(&create.nonce)?));
            session(account, create.session)
        }
        Op::RefreshSession(ask) => {
            let account = account(state, entity)?;
            let tokens = account.sessions.get(&ask.session).copied();
            let tokens = tokens.ok_or_else(|| refusal(Code::SessionRevoked, "it has ended"))?;
            match refresh(tokens, ask.generation, nonce(&ask.nonce)?, nonce(&ask.new_nonce)?) {
                Refresh::Renewed(tokens) => {
                    account.sessions.insert(ask.session, tokens);
                    session(account, ask.session)
                }
                Refresh::EndSession => {
                    account.sessions.remove(&ask.session);
                    Err(refusal(Code::SessionRevoked, "it has ended"))
                }
            }
        }
        Op::CheckSession(check) => session(account(state, entity)?, check.session),
        Op::GetList(get) => {
            let account = account(state, entity)?;
            let since = get.since_list_ver;
            let asked = |row: &&ListRow| get.chat.is_none_or(|chat| row.chat == chat);
            let rows = account.list.values().filter(asked).filter(|row| match since {
                Some(since) => since < row.list_ver,
                None => !row.gone,
            });
            Ok(Answer::List(ListPage {
                rows: rows.cloned().collect(),
                list_ver: account.ver,
                resumed: since.is_some(),
                user: Some(account.user.clone()),
            }))
        }
        Op::ClaimName(claim) => {
            let known = state.names.entry(entity).or_insert((claim.name.clone(), claim.user));
            if known.0 != claim.name {
                return Err(refusal(Code::IdClash, "another name"));
            }
            if known.1 != claim.user {
                return Err(Refusal::of_field(Code::NameTaken, "name", "this name is taken"));
            }
            Ok(Answer::Name(NameView { name: claim.name, user: claim.user }))
        }
        Op::LookupName(lookup) => match state.names.get(&entity) {
            None => Err(refusal(Code::NotFound, "there is no such name")),
            Some((name, _)) if *name != lookup.name => Err(refusal(Code::IdClash, "another name")),
            Some((name, user)) => Ok(Answer::Name(NameView { name: name.clone(), user: *user })),
        },
        Op::SearchNames(search) => {
            let is_found =
                |name: &str| name.starts_with(&search.prefix) && !state.not_searched.contains(name);
            let mut names: Vec<_> =
                state.names.values().filter(|(name, _)| is_found(name)).collect();
            names.sort_unstable();
            let names = names.into_iter().take(usize::try_from(search.limit).expect("small"));
            let names = names.map(|(name, user)| NameView { name: name.clone(), user: *user });
            Ok(Answer::Names(NamesPage { names: names.collect() }))
        }
        _ => Err(Refusal::internal("the toy does not know this")),
    }
}

pub(super) fn end_session(state: &mut State, user: u64, ended: u64) -> Outcome {
    let account = account(state, user)?;
    account.sessions.remove(&ended);
    Ok(Answer::Session(SessionView { session: ended, ..SessionView::default() }))
}

fn account(state: &mut State, user: u64) -> Result<&mut Account, Refusal> {
    state.users.get_mut(&user).ok_or_else(|| refusal(Code::NotFound, "there is no such user"))
}

fn nonce(bytes: &[u8]) -> Result<Nonce, Refusal> {
    bytes.try_into().map_err(|_| Refusal::internal("a nonce of another size"))
}

fn view(account: &Account) -> Answer {
    Answer::User(UserView { user: Some(account.user.clone()), list_ver: account.ver })
}

fn session(account: &Account, session: u64) -> Outcome {
    let tokens = account.sessions.get(&session);
    let tokens = tokens.ok_or_else(|| refusal(Code::SessionRevoked, "it has ended"))?;
    Ok(Answer::Session(SessionView {
        session,
        generation: tokens.generation,
        user: Some(account.user.clone()),
        list_ver: account.ver,
    }))
}
