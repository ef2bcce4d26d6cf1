//! A new account: the user first, then its name. Claiming the name is the commit point; a user whose
//! name was not claimed is nobody, and removed later.

use super::{owner_of, rules};
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use serde::Deserialize;
use shardline_domain::error::Code as ClientCode;
use shardline_domain::id::{NameId, PROBES, UserId};
use shardline_wire::client::User;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{ClaimName, CreateUser};
use shardline_wire::refusal::{Code, Refusal};

/// Attempts to create the user: another id where one is taken, the same where its fate is not known.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
pub(crate) struct NewAccount {
    pub(crate) name: String,
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
}

/// Creates the account. Without a display name, the name is shown.
///
/// # Errors
/// `name_taken`; "unknown" if the claim's fate is not known (log in to find out).
pub(crate) async fn register(node: &Node, new: NewAccount) -> Answer<User> {
    if node.outside.is_some() {
        let why = "accounts are made by logging in with a token of the identity provider";
        return Err(Problem::new(ClientCode::Forbidden, why));
    }
    let NewAccount { name, password, display_name } = new;
    let display_name = display_name.unwrap_or_else(|| name.clone());
    rules::check_name(&name)?;
    rules::check_password(&password)?;
    rules::check_display_name(&display_name)?;
    // A taken name costs no hash and leaves no user behind.
    if owner_of(node, &name).await?.is_some() {
        return Err(name_taken().into());
    }
    let password_hash = node.passwords.hash(password).await?;
    create(node, NewUser { name, display_name, password_hash }).await
}

/// What was checked of a new account.
pub(super) struct NewUser {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) password_hash: String,
}

/// # Errors
/// As of [`register`].
pub(super) async fn create(node: &Node, new: NewUser) -> Answer<User> {
    let NewUser { name, display_name, password_hash } = new;
    let create = CreateUser { name: name.clone(), display_name, password_hash };
    let user = create_user(node, create).await?;
    claim(node, &name, user.user).await?;
    node.profiles.put(user.clone());
    Ok(user)
}

async fn create_user(node: &Node, create: CreateUser) -> Result<User, Refusal> {
    let mut last = Refusal::internal("no user id was tried");
    let mut id = UserId::from_random(rand::random());
    for _ in 0..ATTEMPTS {
        match answered!(call(node, id, Op::CreateUser(create.clone())).await, User) {
            Ok(view) => {
                return view.user.ok_or_else(|| Refusal::internal("a new user without a profile"));
            }
            Err(refusal) if refusal.code() == Code::IdClash => {
                id = UserId::from_random(rand::random());
                last = Refusal::internal("one user id after another is taken");
            }
            // The same id and name again finds what was created.
            Err(refusal) if refusal.code() == Code::Unknown => last = refusal,
            Err(refusal) => return Err(refusal),
        }
    }
    Err(last)
}

async fn claim(node: &Node, name: &str, user: u64) -> Result<(), Problem> {
    for probe in 0..PROBES {
        let op = Op::ClaimName(ClaimName { name: name.to_owned(), user });
        match answered!(call(node, NameId::of_name(name, probe), op).await, Name) {
            Ok(view) if view.name == name && view.user == user => return Ok(()),
            Ok(view) if view.name == name => return Err(name_taken().into()),
            Ok(_) => {}
            Err(refusal) if refusal.code() == Code::IdClash => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Refusal::internal("every id of the name is another name's").into())
}

fn name_taken() -> Refusal {
    Refusal::of_field(Code::NameTaken, "name", "this name is taken")
}
