//! Users, their sessions and their names.

use crate::node::{Node, refused, user_id};
use prost::Message as _;
use shardline_domain::id::NameId;
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CheckSession, ClaimName, CreateSession, CreateUser, EndSession, EntityRef, EventKind,
    GetCredentials, GetHeads, GetUsers, LookupName, PatchUser, RefreshSession, SearchNames,
    SessionEnded, SessionView,
};
use shardline_wire::refusal::Code;

fn session(outcome: Outcome) -> SessionView {
    match outcome {
        Ok(Answer::Session(view)) => view,
        other => panic!("not a session: {other:?}"),
    }
}

fn begin(session: u64) -> Op {
    Op::CreateSession(CreateSession { session, device: "phone".to_owned(), nonce: vec![1; 16] })
}

fn renew(session: u64, generation: u64, nonce: u8, new: u8) -> Op {
    let (nonce, new_nonce) = (vec![nonce; 16], vec![new; 16]);
    Op::RefreshSession(RefreshSession { session, generation, nonce, new_nonce })
}

fn check(session: u64) -> Op {
    Op::CheckSession(CheckSession { session })
}

#[tokio::test]
async fn a_registration_may_be_repeated_and_a_name_has_one_user() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    assert_eq!(node.user(1).await, anna);
    let other = CreateUser { name: "other".to_owned(), ..CreateUser::default() };
    refused(node.call(anna, Op::CreateUser(other)).await, Code::IdClash);

    let id = NameId::of_name("anna", 0).get();
    let claim = |user| Op::ClaimName(ClaimName { name: "anna".to_owned(), user });
    let look_up = |name: &str| Op::LookupName(LookupName { name: name.to_owned() });
    refused(node.call(id, look_up("anna")).await, Code::NotFound);
    for _ in 0..2 {
        node.call(id, claim(anna)).await.expect("claimed");
    }
    refused(node.call(id, claim(user_id(2))).await, Code::NameTaken);
    let node = node.restart().await;
    refused(node.call(id, claim(user_id(2))).await, Code::NameTaken);
    let Ok(Answer::Name(name)) = node.call(id, look_up("anna")).await else { panic!("no name") };
    assert_eq!(name.user, anna);
    // Another name with the same hash would take the next id.
    refused(node.call(id, look_up("bert")).await, Code::IdClash);
    let search = SearchNames { prefix: "an".to_owned(), limit: 10 };
    let Ok(Answer::Names(names)) = node.call(0, Op::SearchNames(search)).await else {
        panic!("no names");
    };
    assert_eq!(names.names.len(), 1);
}

#[tokio::test]
async fn a_profile_is_shown_and_changed() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    let patch = |about: &str| {
        Op::PatchUser(PatchUser { display_name: None, about: Some(about.to_owned()) })
    };
    let Ok(Answer::User(view)) = node.call(anna, patch("hello")).await else { panic!("no user") };
    assert_eq!(view.list_ver, 2);
    let Ok(Answer::User(view)) = node.call(anna, patch("hello")).await else { panic!("no user") };
    assert_eq!(view.list_ver, 2);
    refused(node.call(anna, patch(&"x".repeat(513))).await, Code::TooLarge);
    refused(node.call(user_id(9), patch("x")).await, Code::NotFound);
    let entities = [anna, user_id(9)].map(|entity| EntityRef { entity, epoch: 1 }).to_vec();
    let Ok(Answer::Users(users)) = node.call(0, Op::GetUsers(GetUsers { entities })).await else {
        panic!("no users");
    };
    assert_eq!(users.users.len(), 1);
    assert_eq!(users.users[0].about, "hello");
    let credentials = node.call(anna, Op::GetCredentials(GetCredentials {})).await;
    let Ok(Answer::Credentials(credentials)) = credentials else { panic!("no credentials") };
    assert_eq!(credentials.password_hash, "hash");
}

#[tokio::test]
async fn a_session_is_renewed_and_a_used_up_token_ends_it() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    assert_eq!(session(node.call(anna, begin(5)).await).generation, 1);
    assert_eq!(session(node.call(anna, renew(5, 1, 1, 2)).await).generation, 2);
    // Its answer was lost: the old token is good until the new one is used.
    assert_eq!(session(node.call(anna, renew(5, 1, 1, 3)).await).generation, 2);
    let node = node.restart().await;
    assert_eq!(session(node.call(anna, renew(5, 2, 3, 4)).await).generation, 3);
    assert_eq!(session(node.call(anna, check(5)).await).session, 5);
    let listener = node.listen().await;
    refused(node.call(anna, renew(5, 1, 1, 9)).await, Code::SessionRevoked);
    refused(node.call(anna, check(5)).await, Code::SessionRevoked);
    refused(node.call(anna, renew(5, 3, 4, 5)).await, Code::SessionRevoked);
    // 1 the user, 2 the session, 3 to 5 its renewals, 6 its end.
    let events = listener.until(anna, 6).await;
    let last = events.last().expect("not empty");
    assert_eq!(last.kind(), EventKind::SessionEnded);
    let ended = SessionEnded::decode(last.payload.clone()).expect("the end of a session");
    assert_eq!((ended.session, ended.reason.as_str()), (5, "revoked"));
    assert_eq!(last.receivers, [anna]);
}

#[tokio::test]
async fn the_eleventh_session_replaces_the_one_idle_longest() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    for number in 1..=10 {
        session(node.call(anna, begin(number)).await);
        // Times are in milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    session(node.call(anna, renew(1, 1, 1, 2)).await);
    session(node.call(anna, begin(11)).await);
    refused(node.call(anna, check(2)).await, Code::SessionRevoked);
    for kept in [1, 3, 10, 11] {
        assert_eq!(session(node.call(anna, check(kept)).await).session, kept);
    }
    let end = |session| Op::EndSession(EndSession { session });
    session(node.call(anna, end(11)).await);
    session(node.call(anna, end(11)).await);
    refused(node.call(anna, check(11)).await, Code::SessionRevoked);
}

#[tokio::test]
async fn a_users_head_is_read_like_a_chats() {
    let node = Node::start().await;
    let user = node.user(1).await;
    let chat = node.group(&[user, 2]).await;
    let heads = async |node: &Node| {
        let entities = [user, chat, 77].map(|entity| EntityRef { entity, epoch: 1 }).to_vec();
        match node.call(0, Op::GetHeads(GetHeads { entities })).await {
            Ok(Answer::Heads(page)) => {
                let mut heads: Vec<(u64, u64)> =
                    page.heads.iter().map(|head| (head.entity, head.ver)).collect();
                heads.sort_unstable();
                heads
            }
            other => panic!("no heads: {other:?}"),
        }
    };
    // The profile, and the chat on its list; the chat, and its two members.
    let mut expected = vec![(user, 2), (chat, 3)];
    expected.sort_unstable();
    assert_eq!(heads(&node).await, expected, "from memory and the database");
    let node = node.restart().await;
    assert_eq!(heads(&node).await, expected, "from the database");
}
