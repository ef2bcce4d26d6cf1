//! Access tokens: JWT, HS256, `{sub, sid, iat, exp}`. They are checked without asking anybody, so they
//! are short-lived; whoever checks one also looks at [`Revoked`](super::Revoked).

use super::{Keys, Principal};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use shardline_domain::limits::TOKEN_LIFE;
use thiserror::Error;

/// Ours have about 200 bytes; longer ones are not worth decoding.
const TOKEN_BYTES_MAX: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    iat: i64,
    exp: i64,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    pub token: String,
    pub expires_at_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    pub principal: Principal,
    pub expires_at_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// It was good once: refresh it.
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid")]
    Invalid,
}

impl Keys {
    pub fn issue(&self, principal: Principal, now_ms: i64) -> Issued {
        let iat = now_ms.div_euclid(1000);
        let life = i64::try_from(TOKEN_LIFE.as_secs()).expect("a token lives minutes");
        let claims = Claims {
            sub: principal.user.to_string(),
            sid: principal.session.to_string(),
            iat,
            exp: iat + life,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.access.sign)
            .expect("four plain claims can always be signed");
        Issued { token, expires_at_ms: claims.exp * 1000 }
    }

    /// Only HS256 with our key; an expired token is told apart only once its signature is right.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Verified, TokenError> {
        if TOKEN_BYTES_MAX < token.len() {
            return Err(TokenError::Invalid);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Ours is the time that was passed in, without leeway.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let claims = decode::<Claims>(token, &self.access.check, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            })?
            .claims;
        let user = claims.sub.parse().map_err(|_| TokenError::Invalid)?;
        let session = claims.sid.parse().map_err(|_| TokenError::Invalid)?;
        let expires_at_ms = claims.exp.checked_mul(1000).ok_or(TokenError::Invalid)?;
        if expires_at_ms <= now_ms {
            return Err(TokenError::Expired);
        }
        Ok(Verified { principal: Principal { user, session }, expires_at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use jsonwebtoken::EncodingKey;
    use shardline_domain::id::{SessionId, UserId};

    const NOW_MS: i64 = 1_700_000_000_123;
    const LIFE_MS: i64 = 15 * 60 * 1000;

    fn keys() -> Keys {
        Keys::derive("a secret for tests")
    }

    fn principal() -> Principal {
        Principal {
            user: UserId::new(41).expect("in range"),
            session: SessionId::new(i64::MAX as u64).expect("in range"),
        }
    }

    /// A token signed by the right key, whatever it says.
    fn forged(header: &Header, claims: &serde_json::Value) -> String {
        encode(header, claims, &keys().access.sign).expect("signs")
    }

    fn claims() -> serde_json::Value {
        serde_json::json!({"sub": "41", "sid": "7", "iat": 1_700_000_000, "exp": 1_700_000_900})
    }

    #[test]
    fn a_token_says_who_it_was_issued_to_until_it_expires() {
        let issued = keys().issue(principal(), NOW_MS);
        assert!(NOW_MS + LIFE_MS - 1000 < issued.expires_at_ms);
        assert!(issued.expires_at_ms <= NOW_MS + LIFE_MS);
        let verified = keys().verify(&issued.token, issued.expires_at_ms - 1).expect("good");
        assert_eq!(verified.principal, principal());
        assert_eq!(verified.expires_at_ms, issued.expires_at_ms);
        let late = keys().verify(&issued.token, issued.expires_at_ms);
        assert_eq!(late, Err(TokenError::Expired));
    }

    #[test]
    fn another_secret_or_the_other_label_does_not_verify() {
        let issued = keys().issue(principal(), NOW_MS);
        let other = Keys::derive("another secret");
        assert_eq!(other.verify(&issued.token, NOW_MS), Err(TokenError::Invalid));
        let crossed = encode(&Header::default(), &claims(), &keys().refresh.sign).expect("signs");
        assert_eq!(keys().verify(&crossed, NOW_MS), Err(TokenError::Invalid));
    }

    #[test]
    fn an_expired_token_with_a_wrong_signature_is_invalid_not_expired() {
        let other = Keys::derive("another secret").issue(principal(), NOW_MS);
        let late = keys().verify(&other.token, NOW_MS + 10 * LIFE_MS);
        assert_eq!(late, Err(TokenError::Invalid));
    }

    #[test]
    fn no_algorithm_but_ours_is_taken() {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims().to_string());
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"NONE","typ":"JWT"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"HS256"}"#,
        ] {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            for token in [format!("{header}.{claims}."), format!("{header}.{claims}")] {
                assert_eq!(keys().verify(&token, NOW_MS), Err(TokenError::Invalid), "{token}");
            }
        }
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = forged(&Header::new(algorithm), &self::claims());
            assert_eq!(keys().verify(&token, NOW_MS), Err(TokenError::Invalid), "{algorithm:?}");
        }
        // The right key and algorithm: what the tokens above lacked.
        assert!(keys().verify(&forged(&Header::default(), &self::claims()), NOW_MS).is_ok());
    }

    #[test]
    fn every_claim_must_be_there_and_be_what_it_should() {
        for (claim, bad) in [
            ("sub", serde_json::json!("0")),
            ("sub", serde_json::json!("-41")),
            ("sub", serde_json::json!(41)),
            ("sid", serde_json::json!("9223372036854775808")),
            ("sid", serde_json::json!("")),
            ("exp", serde_json::json!("1700000900")),
            ("exp", serde_json::json!(i64::MAX)),
            ("exp", serde_json::json!(1e300)),
            ("iat", serde_json::json!(null)),
        ] {
            let mut claims = claims();
            claims[claim] = bad.clone();
            let token = forged(&Header::default(), &claims);
            assert_eq!(keys().verify(&token, NOW_MS), Err(TokenError::Invalid), "{claim} {bad}");
            claims.as_object_mut().expect("an object").remove(claim);
            let token = forged(&Header::default(), &claims);
            assert_eq!(keys().verify(&token, NOW_MS), Err(TokenError::Invalid), "no {claim}");
        }
    }

    #[test]
    fn a_changed_token_is_not_valid() {
        let issued = keys().issue(principal(), NOW_MS);
        for position in 0..issued.token.len() {
            let mut bytes = issued.token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            // The last character of each base64 part has bits that mean nothing.
            let verdict = keys().verify(&changed, NOW_MS);
            assert!(verdict.is_err(), "{position}: {verdict:?}");
        }
        for text in ["", ".", "..", "a.b.c", &"x".repeat(5000), "é.é.é"] {
            assert_eq!(keys().verify(text, NOW_MS), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn a_key_as_text_is_no_key() {
        let plain = EncodingKey::from_secret(b"a secret for tests");
        let token = encode(&Header::default(), &claims(), &plain).expect("signs");
        assert_eq!(keys().verify(&token, NOW_MS), Err(TokenError::Invalid));
    }
}
