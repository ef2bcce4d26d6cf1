//! /v1/users, /v1/sessions, /v1/me.

use crate::world::{PASSWORD, Person, new_id, person, until, world, world_with};
use reqwest::Method;
use serde_json::{Value, json};
use shardline_domain::id::NameId;
use shardline_wire::internal::call::Op;
use shardline_wire::refusal::{Code, Refusal};
use std::num::NonZeroU32;

#[tokio::test]
async fn who_registers_logs_in_and_is_seen_by_others() {
    let world = world().await;
    let body = json!({"name": "anna.b-1", "password": PASSWORD, "display_name": " Ännä 🎉 "});
    let reply = world.anyone(Method::POST, "/v1/users", Some(body)).await.expect(201);
    assert_eq!(reply.body["name"], "anna.b-1");
    assert_eq!(reply.body["display_name"], " Ännä 🎉 ");
    let anna = world.log_in("anna.b-1").await;
    assert_eq!(anna.id, reply.text_of("user"));
    let me = world.get(&anna, "/v1/me").await.expect(200);
    assert_eq!(me.body["user"], reply.body["user"]);

    let bob = world.person("bob").await;
    let seen = world.get(&bob, &format!("/v1/users/{}", anna.id)).await.expect(200);
    assert_eq!(seen.body, me.body);
    assert!(!seen.text.contains("password") && !seen.text.contains("argon2"), "{}", seen.text);
    world.stop().await;
}

#[tokio::test]
async fn a_name_is_claimed_once_whatever_its_probe() {
    let world = world().await;
    world.toy.occupy_name_id(NameId::of_name("anna", 0).get());
    world.register("anna").await.expect(201);
    world.register("anna").await.problem(409, "name_taken", "name");
    world.log_in("anna").await;
    world.stop().await;
}

#[tokio::test]
async fn two_who_register_a_name_at_once_do_not_both_get_it() {
    let world = world().await;
    let (one, other) = tokio::join!(world.register("anna"), world.register("anna"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_by_field() {
    let world = world().await;
    for (body, field) in [
        (json!({"name": "Anna", "password": PASSWORD}), "name"),
        (json!({"name": "", "password": PASSWORD}), "name"),
        (json!({"name": "_anna", "password": PASSWORD}), "name"),
        (json!({"name": "x".repeat(33), "password": PASSWORD}), "name"),
        (json!({"name": "a'; DROP TABLE users; --", "password": PASSWORD}), "name"),
        (json!({"name": 7, "password": PASSWORD}), "name"),
        (json!({"password": PASSWORD}), "name"),
        (json!({"name": "anna"}), "password"),
        (json!({"name": "anna", "password": "short"}), "password"),
        (json!({"name": "anna", "password": "x".repeat(257)}), "password"),
        (json!({"name": "anna", "password": PASSWORD, "display_name": ""}), "display_name"),
        (json!({"name": "anna", "password": PASSWORD, "display_name": "\0"}), "display_name"),
    ] {
        let reply = world.anyone(Method::POST, "/v1/users", Some(body)).await;
        reply.problem(400, "bad_request", field);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_registration_whose_answers_are_lost_ends_well() {
    let world = world().await;
    let lost = || Refusal::unknown("lost");
    world.toy.refuse_once(|op| matches!(op, Op::CreateUser(_)), lost());
    world.toy.refuse_once(|op| matches!(op, Op::ClaimName(_)), lost());
    world.register("anna").await.expect(201);
    world.toy.refuse_once(|op| matches!(op, Op::CreateSession(_)), lost());
    let anna = world.log_in("anna").await;
    world.get(&anna, "/v1/me").await.expect(200);
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let world = world().await;
    world.register("anna").await.expect(201);
    let log_in = async |name: &str, password: &str| {
        let body = json!({"name": name, "password": password});
        world.anyone(Method::POST, "/v1/sessions", Some(body)).await
    };
    let wrong = log_in("anna", "wrong horse").await.problem(401, "unauthenticated", "");
    for name in ["nobody", "Anna", "a'--", ""] {
        let unknown = log_in(name, PASSWORD).await.problem(401, "unauthenticated", "");
        assert_eq!(unknown.text, wrong.text);
    }
    let long = log_in("anna", &"x".repeat(5000)).await;
    long.problem(400, "bad_request", "password");
    world.stop().await;
}

async fn refresh(world: &crate::world::World, token: &str) -> crate::world::Reply {
    let body = json!({"refresh_token": token});
    world.anyone(Method::POST, "/v1/sessions/refresh", Some(body)).await
}

#[tokio::test]
async fn a_refresh_token_is_good_until_the_next_is_used_and_an_older_one_ends_the_session() {
    let world = world().await;
    let anna = world.person("anna").await;
    let second = person(&refresh(&world, &anna.refresh_token).await.expect(200));
    assert_eq!((&second.session, &second.id), (&anna.session, &anna.id));
    // The answer may have been lost.
    let again = person(&refresh(&world, &anna.refresh_token).await.expect(200));
    let third = person(&refresh(&world, &again.refresh_token).await.expect(200));
    world.get(&third, "/v1/me").await.expect(200);
    refresh(&world, &anna.refresh_token).await.problem(401, "unauthenticated", "");
    refresh(&world, &third.refresh_token).await.problem(401, "unauthenticated", "");
    world.get(&third, "/v1/me").await.problem(401, "unauthenticated", "");
    world.stop().await;
}

#[tokio::test]
async fn a_session_that_ended_works_on_no_node() {
    let world = world().await;
    let (phone, laptop) = (world.person("anna").await, world.log_in("anna").await);
    let me = async |node: usize, person: &Person| {
        world.at(node, Method::GET, "/v1/me", Some(&person.token), None).await.status
    };
    assert_eq!((me(0, &phone).await, me(1, &phone).await), (200, 200));
    world.delete(&phone, "/v1/sessions/current").await.expect(204);
    assert_eq!(me(0, &phone).await, 401);
    until("the other node knows", async || me(1, &phone).await == 401).await;
    refresh(&world, &phone.refresh_token).await.problem(401, "unauthenticated", "");

    let tablet = world.log_in("anna").await;
    world.delete(&laptop, &format!("/v1/sessions/{}", tablet.session)).await.expect(204);
    world.delete(&laptop, &format!("/v1/sessions/{}", tablet.session)).await.expect(204);
    assert_eq!((me(0, &tablet).await, me(0, &laptop).await), (401, 200));
    for bad in ["-1", "0", "9223372036854775808", "x"] {
        let reply = world.delete(&laptop, &format!("/v1/sessions/{bad}")).await;
        reply.problem(400, "bad_request", "session");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_session_whose_end_a_node_did_not_hear_of_does_not_work_there_either() {
    let world = world().await;
    let anna = world.person("anna").await;
    world.toy.fall_silent();
    world.delete(&anna, "/v1/sessions/current").await.expect(204);
    let reply = world.at(1, Method::GET, "/v1/me", Some(&anna.token), None).await;
    reply.problem(401, "unauthenticated", "");
    world.stop().await;
}

#[tokio::test]
async fn another_users_session_is_not_ones_own_to_end() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    // It names a session of bob's own user, where there is none by that id.
    world.delete(&bob, &format!("/v1/sessions/{}", anna.session)).await.expect(204);
    refresh(&world, &anna.refresh_token).await.expect(200);
    world.stop().await;
}

#[tokio::test]
async fn a_profile_changes_and_shows_everywhere() {
    let world = world().await;
    let anna = world.person("anna").await;
    let about = "'; DROP TABLE users; -- <script>alert(1)</script>";
    let patch = json!({"display_name": "Anna B", "about": about, "future": 1});
    let reply = world.patch(&anna, "/v1/me", patch).await.expect(200);
    assert_eq!(
        (&reply.body["display_name"], &reply.body["about"]),
        (&json!("Anna B"), &json!(about))
    );
    world.patch(&anna, "/v1/me", json!({"about": ""})).await.expect(200);
    let me = world.at(1, Method::GET, "/v1/me", Some(&anna.token), None).await.expect(200);
    assert_eq!((&me.body["display_name"], &me.body["about"]), (&json!("Anna B"), &json!("")));
    world.patch(&anna, "/v1/me", json!({})).await.expect(200);
    let long = json!({"about": "x".repeat(513)});
    world.patch(&anna, "/v1/me", long).await.problem(400, "bad_request", "about");
    world.stop().await;
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_their_name() {
    let world = world().await;
    let bob = world.person("bob").await;
    for name in ["anna", "anton", "berta"] {
        world.register(name).await.expect(201);
    }
    let names = async |query: &str| {
        let reply = world.get(&bob, &format!("/v1/users?{query}")).await.expect(200);
        let items = reply.body["items"].as_array().expect("items").clone();
        items.iter().map(|user| user["name"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(names("name=an").await, ["anna", "anton"]);
    assert_eq!(names("name=an&limit=1").await, ["anna"]);
    assert_eq!(names("name=zz").await, [""; 0]);
    for (query, field) in
        [("", "name"), ("name=An", "name"), ("name=a%25", "name"), ("name=a&limit=0", "limit")]
    {
        let reply = world.get(&bob, &format!("/v1/users?{query}")).await;
        reply.problem(400, "bad_request", field);
    }
    world.stop().await;
}

#[tokio::test]
async fn who_is_called_exactly_so_is_found_first_whatever_else_is_found() {
    let world = world().await;
    let anna = world.person("an").await;
    for number in 0..5 {
        world.register(&format!("an-{number}")).await.expect(201);
    }
    let found = async || {
        let reply = world.get(&anna, "/v1/users?name=an&limit=2").await.expect(200);
        let items = reply.body["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|user| user["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found().await, ["an", "an-0"]);
    world.toy.leave_out_of_searches("an");
    assert_eq!(found().await, ["an", "an-0"]);
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_user_and_an_unreachable_one_are_told_apart() {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    world.get(&anna, "/v1/users/12345").await.problem(404, "not_found", "");
    for bad in ["0", "-1", "x", "9223372036854775808"] {
        let reply = world.get(&anna, &format!("/v1/users/{bad}")).await;
        reply.problem(400, "bad_request", "user");
    }
    let bobs_id: u64 = bob.id.parse().expect("a number");
    world.toy.take_down(bobs_id);
    world.get(&anna, &format!("/v1/users/{}", bob.id)).await.problem(503, "try_again", "");
    world.toy.bring_back(bobs_id);
    world.get(&anna, &format!("/v1/users/{}", bob.id)).await.expect(200);
    world.stop().await;
}

#[tokio::test]
async fn registrations_and_log_ins_of_an_address_are_limited_where_loopback_is() {
    let world = world_with(|config| {
        let three = NonZeroU32::new(3).expect("not zero");
        config.rates.registrations_a_minute = three;
        config.rates.log_ins_a_minute = three;
        config.rates.limit_loopback = true;
    })
    .await;
    for number in 0..3 {
        world.register(&format!("anna{number}")).await.expect(201);
    }
    world.register("anna3").await.problem(429, "rate_limited", "");
    for _ in 0..3 {
        world.log_in("anna0").await;
    }
    let body = json!({"name": "anna0", "password": PASSWORD});
    let reply = world.anyone(Method::POST, "/v1/sessions", Some(body)).await;
    let reply = reply.problem(429, "rate_limited", "");
    assert!(reply.headers.contains_key("retry-after"));
    world.stop().await;
}

#[tokio::test]
async fn messages_of_a_user_are_limited() {
    let world = world_with(|config| config.rates.sends_a_second = NonZeroU32::MIN).await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let chat = world.direct(&anna, &bob).await;
    let mut limited = 0;
    for _ in 0..10 {
        let body = json!({"client_msg_id": new_id(), "body": {"text": "x"}});
        let reply = world.post(&anna, &format!("/v1/chats/{chat}/messages"), body).await;
        if reply.status != 201 {
            reply.problem(429, "rate_limited", "");
            limited += 1;
        }
    }
    assert!((6..=8).contains(&limited), "{limited}");
    assert_eq!(world.send(&bob, &chat, "mine").await.status, 201);
    world.stop().await;
}

#[tokio::test]
async fn a_defect_inside_shows_no_inner_text() {
    let world = world().await;
    let anna = world.person("anna").await;
    let defect = Refusal::new(Code::Internal, "row 7 of table users");
    world.toy.refuse_once(|op| matches!(op, Op::GetUsers(_)), defect);
    let reply = world.get(&anna, "/v1/me").await.problem(500, "internal", "");
    assert!(!reply.text.contains("row 7"), "{}", reply.text);
    world.stop().await;
}
