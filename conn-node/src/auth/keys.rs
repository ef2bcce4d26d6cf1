//! The keys that sign tokens, all derived from one configured secret.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use std::fmt;

/// One key to sign with and to check by.
pub(super) struct Key {
    pub(super) sign: EncodingKey,
    pub(super) check: DecodingKey,
}

/// Every conn-node has the same keys, so each takes the others' tokens.
pub struct Keys {
    pub(super) access: Key,
    pub(super) refresh: Key,
}

impl Keys {
    /// Different labels give independent keys: a token of one kind never passes as the other.
    pub fn derive(secret: &str) -> Keys {
        Keys {
            access: derive(secret, "shardline access token 1"),
            refresh: derive(secret, "shardline refresh token 1"),
        }
    }
}

fn derive(secret: &str, label: &str) -> Key {
    let root = EncodingKey::from_secret(secret.as_bytes());
    let key = crypto::sign(label.as_bytes(), &root, Algorithm::HS256)
        .expect("an HMAC takes a key of any length");
    Key {
        sign: EncodingKey::from_secret(key.as_bytes()),
        check: DecodingKey::from_secret(key.as_bytes()),
    }
}

/// Keys are never shown.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}
