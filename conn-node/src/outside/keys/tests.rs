//! Keys are made here, for each run anew; only their public halves reach the key set.

use super::*;
use jsonwebtoken::{EncodingKey, Header, encode};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::json;

const NOW_MS: i64 = 1_700_000_000_000;
const NOW_S: i64 = NOW_MS / 1000;

/// PKCS #8 up to the 32 bytes of the key itself.
const P256_PREFIX: &[u8] = b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20";
const ED25519_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

fn der(prefix: &[u8]) -> Vec<u8> {
    let mut secret: [u8; 32] = rand::random();
    // Below the order of the curve.
    secret[0] &= 0x7f;
    [prefix, &secret].concat()
}

/// A pair: what signs, and its public half as a JWK.
fn pair(algorithm: Algorithm, id: &str) -> (EncodingKey, Value) {
    let key = match algorithm {
        Algorithm::RS256 => {
            let mut random = rsa::rand_core::OsRng;
            let key = rsa::RsaPrivateKey::new(&mut random, 2048).expect("a key");
            EncodingKey::from_rsa_der(key.to_pkcs1_der().expect("DER").as_bytes())
        }
        Algorithm::ES256 => EncodingKey::from_ec_der(&der(P256_PREFIX)),
        _ => EncodingKey::from_ed_der(&der(ED25519_PREFIX)),
    };
    let jwk = Jwk::from_encoding_key(&key, algorithm).expect("a public half");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk["kid"] = json!(id);
    (key, jwk)
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).expect("keys")
}

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example".to_owned(),
        audience: "shardline".to_owned(),
        name_claim: "preferred_username".to_owned(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example",
        "aud": ["other", "shardline"],
        "exp": NOW_S + 60,
        "iat": NOW_S,
        "preferred_username": "anna",
        "name": "Anna A.",
    })
}

fn signed(key: &EncodingKey, algorithm: Algorithm, id: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, key).expect("signs")
}

#[test]
fn a_good_token_of_each_algorithm_names_its_user() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (key, jwk) = pair(algorithm, "1");
        let keys = set(&[jwk]);
        let anna = Claimed { name: "anna".into(), display_name: Some("Anna A.".into()) };
        for id in [Some("1"), None] {
            let token = signed(&key, algorithm, id, &claims());
            assert_eq!(keys.verify(&token, &rules(), NOW_MS), Ok(anna.clone()), "{algorithm:?}");
        }
        let token = signed(&key, algorithm, Some("2"), &claims());
        assert_eq!(keys.verify(&token, &rules(), NOW_MS), Err(Unfit::UnknownKey));
        let late =
            keys.verify(&signed(&key, algorithm, None, &claims()), &rules(), NOW_MS + 60_000);
        assert_eq!(late, Err(Unfit::Expired));
    }
}

#[test]
fn a_public_key_is_no_secret_and_nothing_is_unsigned() {
    let (_, jwk) = pair(Algorithm::ES256, "1");
    let keys = set(std::slice::from_ref(&jwk));
    // What anybody can read of the key, as the secret of an HMAC.
    for public in [jwk.to_string(), jwk["x"].as_str().expect("a text").to_owned()] {
        let key = EncodingKey::from_secret(public.as_bytes());
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&key, algorithm, Some("1"), &claims());
            assert_eq!(keys.verify(&token, &rules(), NOW_MS), Err(Unfit::Invalid));
        }
    }
    let part = |value: &Value| {
        use base64::Engine;
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    };
    for header in [json!({"alg": "none", "kid": "1"}), json!({"alg": "ES256", "kid": "1"})] {
        let token = format!("{}.{}.", part(&header), part(&claims()));
        assert_eq!(keys.verify(&token, &rules(), NOW_MS), Err(Unfit::Invalid), "{header}");
    }
    for text in ["", "..", "a.b.c", &"x".repeat(100_000)] {
        assert_eq!(keys.verify(text, &rules(), NOW_MS), Err(Unfit::Invalid));
    }
}

#[test]
fn another_key_of_the_same_id_does_not_verify() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let (_, jwk) = pair(algorithm, "1");
        let (other, _) = pair(algorithm, "1");
        let token = signed(&other, algorithm, Some("1"), &claims());
        assert_eq!(set(&[jwk]).verify(&token, &rules(), NOW_MS), Err(Unfit::Invalid));
    }
}

#[test]
fn a_token_without_a_key_id_is_taken_only_where_there_is_no_choice() {
    let (key, one) = pair(Algorithm::EdDSA, "1");
    let (_, other) = pair(Algorithm::EdDSA, "2");
    let token = signed(&key, Algorithm::EdDSA, None, &claims());
    assert!(set(std::slice::from_ref(&one)).verify(&token, &rules(), NOW_MS).is_ok());
    assert_eq!(set(&[one, other]).verify(&token, &rules(), NOW_MS), Err(Unfit::Invalid));
}

#[test]
fn every_claim_counts() {
    let (key, jwk) = pair(Algorithm::EdDSA, "1");
    let keys = set(&[jwk]);
    let verdict = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut claims = claims();
        change(claims.as_object_mut().expect("an object"));
        keys.verify(&signed(&key, Algorithm::EdDSA, Some("1"), &claims), &rules(), NOW_MS)
    };
    for (claim, bad) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("exp", json!("soon")),
        ("nbf", json!(NOW_S + 120)),
        ("iat", json!(NOW_S + 120)),
    ] {
        let found = verdict(&|claims| drop(claims.insert(claim.to_owned(), bad.clone())));
        assert_eq!(found, Err(Unfit::Invalid), "{claim} {bad}");
    }
    for claim in ["iss", "aud", "exp"] {
        assert_eq!(verdict(&|claims| drop(claims.remove(claim))), Err(Unfit::Invalid), "{claim}");
    }
    assert_eq!(verdict(&|claims| drop(claims.remove("preferred_username"))), Err(Unfit::NoName));
    let number = |claims: &mut Map<String, Value>| {
        claims.insert("preferred_username".to_owned(), json!(7));
    };
    assert_eq!(verdict(&number), Err(Unfit::NoName));
    assert!(verdict(&|claims| drop(claims.remove("iat"))).is_ok());
    // A clock that is a little ahead.
    assert!(verdict(&|claims| drop(claims.insert("nbf".to_owned(), json!(NOW_S + 30)))).is_ok());
}

#[test]
fn only_keys_that_can_be_used_are_kept() {
    let (key, good) = pair(Algorithm::EdDSA, "1");
    let with = |field: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[field] = value;
        jwk
    };
    let secret = json!({"kty": "oct", "k": "AAAA", "kid": "s", "alg": "HS256"});
    let weak = json!({"kty": "RSA", "kid": "w", "e": "AQAB", "n": "A".repeat(170)});
    let useless = [
        secret,
        weak,
        with("use", json!("enc")),
        with("alg", json!("RS256")),
        with("crv", json!("Ed448")),
        json!({"kty": "new"}),
        json!(7),
    ];
    let parse = |keys: &[Value]| KeySet::parse(json!({"keys": keys}).to_string().as_bytes());
    for jwk in &useless {
        assert_eq!(parse(std::slice::from_ref(jwk)).err(), Some(KeySetError::NoKey), "{jwk}");
    }
    // Among others that cannot be used, a good one works.
    let mixed: Vec<Value> = useless.iter().cloned().chain([with("use", json!("sig"))]).collect();
    let token = signed(&key, Algorithm::EdDSA, Some("1"), &claims());
    assert!(parse(&mixed).is_ok_and(|keys| keys.verify(&token, &rules(), NOW_MS).is_ok()));
    assert_eq!(parse(&vec![good; 65]).err(), Some(KeySetError::TooMany));
    for text in ["", "[]", "{}", r#"{"keys":7}"#] {
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeySetError::NotASet), "{text}");
    }
}
