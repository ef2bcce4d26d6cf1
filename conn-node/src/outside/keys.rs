//! The public keys of a provider, and what a token signed by one of them says. Pure: keys and the time
//! come in as arguments.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// Providers put groups and roles into tokens; longer ones are not worth decoding.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// A provider has two or three: the one of now, the last and the next.
const KEYS_MAX: usize = 64;
/// How far a provider's clock may be ahead of ours.
const AHEAD_MAX_S: f64 = 60.0;
/// RSA below 2048 bits can be broken.
const RSA_BYTES_MIN: usize = 256;

/// What a token must say, and where in it the name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) name_claim: String,
}

/// The keys that can be used, each for exactly one algorithm: that is what keeps a public key from
/// passing for a secret.
pub(crate) struct KeySet(Vec<Known>);

struct Known {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Whom a good token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) name: String,
    pub(crate) display_name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Unfit {
    /// Signed by a key that is not known: the provider may have a new one.
    #[error("the token is signed by a key that is not known")]
    UnknownKey,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token does not say who it is about")]
    NoName,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum KeySetError {
    #[error("it is no JWK set")]
    NotASet,
    #[error("it has no key for RS256, ES256 or EdDSA")]
    NoKey,
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
}

impl KeySet {
    /// Keys of other kinds, for encryption, or that are too weak are passed over.
    pub(crate) fn parse(json: &[u8]) -> Result<KeySet, KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| KeySetError::NotASet)?;
        if KEYS_MAX < set.keys.len() {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Known> = set.keys.into_iter().filter_map(known).collect();
        if keys.is_empty() { Err(KeySetError::NoKey) } else { Ok(KeySet(keys)) }
    }

    /// Whom the token names, if it is the provider's, meant for us and still good.
    pub(crate) fn verify(&self, token: &str, rules: &Rules, now_ms: i64) -> Result<Claimed, Unfit> {
        if TOKEN_BYTES_MAX < token.len() {
            return Err(Unfit::Invalid);
        }
        let header = decode_header(token).map_err(|_| Unfit::Invalid)?;
        if header.crit.is_some() {
            return Err(Unfit::Invalid);
        }
        let known = self.key_for(header.kid.as_deref(), header.alg)?;
        let mut validation = Validation::new(known.algorithm);
        validation.set_issuer(&[&rules.issuer]);
        validation.set_audience(&[&rules.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Ours is the time that was passed in.
        validation.validate_exp = false;
        let claims = decode::<Map<String, Value>>(token, &known.key, &validation)
            .map_err(|_| Unfit::Invalid)?
            .claims;
        check_times(&claims, now_ms)?;
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        let name = text(&rules.name_claim).ok_or(Unfit::NoName)?.to_owned();
        Ok(Claimed { name, display_name: text("name").map(str::to_owned) })
    }

    /// By its id; a token without one is taken only where there is no choice.
    fn key_for(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Known, Unfit> {
        let is_ours = matches!(algorithm, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA);
        if !is_ours {
            return Err(Unfit::Invalid);
        }
        let fits = |known: &&Known| {
            known.algorithm == algorithm && (id.is_none() || known.id.as_deref() == id)
        };
        let mut found = self.0.iter().filter(fits);
        let first = found.next().ok_or(Unfit::UnknownKey)?;
        if id.is_none() && found.next().is_some() {
            return Err(Unfit::Invalid);
        }
        Ok(first)
    }
}

fn known(key: Value) -> Option<Known> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|is| *is == PublicKeyUse::Signature);
    let algorithm = algorithm_of(&jwk).filter(|_| is_for_signatures)?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Known { id: jwk.common.key_id, algorithm, key })
}

/// The one algorithm of a key: that of its kind, unless it says another.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let (algorithm, own_name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            // Base64 without padding: four characters hold three bytes.
            let bytes = rsa.n.len() * 3 / 4;
            (RSA_BYTES_MIN <= bytes).then_some((Algorithm::RS256, KeyAlgorithm::RS256))?
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    jwk.common.key_algorithm.is_none_or(|said| said == own_name).then_some(algorithm)
}

fn check_times(claims: &Map<String, Value>, now_ms: i64) -> Result<(), Unfit> {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of our time fit a double")]
    let now_s = now_ms as f64 / 1000.0;
    let time = |claim: &str| match claims.get(claim) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(Unfit::Invalid),
    };
    let expires = time("exp")?.ok_or(Unfit::Invalid)?;
    if expires <= now_s {
        return Err(Unfit::Expired);
    }
    for claim in ["nbf", "iat"] {
        if time(claim)?.is_some_and(|at| now_s + AHEAD_MAX_S < at) {
            return Err(Unfit::Invalid);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
