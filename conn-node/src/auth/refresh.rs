//! Refresh tokens: base64url of user, session, generation, nonce and a MAC over them. The MAC only
//! keeps made-up ones away from the user's shard, which alone decides whether one is still good.

use super::{Keys, Principal};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use shardline_domain::id::{SessionId, UserId};
use shardline_domain::user::Nonce;

/// User, session and generation of 8 bytes each, then the nonce.
const SAID_BYTES: usize = 8 + 8 + 8 + 16;
const MAC_BYTES: usize = 32;
const TOKEN_CHARS: usize = (SAID_BYTES + MAC_BYTES) / 3 * 4;

/// What a refresh token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RefreshToken {
    pub(crate) principal: Principal,
    pub(crate) generation: u64,
    pub(crate) nonce: Nonce,
}

impl RefreshToken {
    fn said(&self) -> [u8; SAID_BYTES] {
        let mut said = [0; SAID_BYTES];
        said[..8].copy_from_slice(&self.principal.user.get().to_be_bytes());
        said[8..16].copy_from_slice(&self.principal.session.get().to_be_bytes());
        said[16..24].copy_from_slice(&self.generation.to_be_bytes());
        said[24..].copy_from_slice(&self.nonce);
        said
    }

    fn from_said(said: &[u8]) -> Option<RefreshToken> {
        let number = |at: usize| {
            let bytes = said.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        let user = UserId::new(number(0)?).ok()?;
        let session = SessionId::new(number(8)?).ok()?;
        let nonce = said.get(24..SAID_BYTES)?.try_into().ok()?;
        let principal = Principal { user, session };
        Some(RefreshToken { principal, generation: number(16)?, nonce })
    }
}

impl Keys {
    pub(crate) fn seal(&self, token: &RefreshToken) -> String {
        let said = token.said();
        let mac = crypto::sign(&said, &self.refresh.sign, Algorithm::HS256)
            .expect("an HMAC takes any message");
        // 40 bytes do not end on a character, so the parts are joined as bytes.
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).expect("it was just encoded");
        BASE64_URL_SAFE_NO_PAD.encode([said.as_slice(), &mac].concat())
    }

    /// What the token says, if we made it.
    pub(crate) fn unseal(&self, text: &str) -> Option<RefreshToken> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, mac) = bytes.split_at_checked(SAID_BYTES)?;
        let mac = BASE64_URL_SAFE_NO_PAD.encode(mac);
        let is_ours = crypto::verify(&mac, said, &self.refresh.check, Algorithm::HS256);
        is_ours.is_ok_and(|is_ours| is_ours).then(|| RefreshToken::from_said(said))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> RefreshToken {
        RefreshToken {
            principal: Principal {
                user: UserId::new(12).expect("in range"),
                session: SessionId::new(i64::MAX as u64).expect("in range"),
            },
            generation: 3,
            nonce: [0xA5; 16],
        }
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        let keys = Keys::derive("a secret for tests");
        let text = keys.seal(&token());
        assert_eq!(text.len(), TOKEN_CHARS);
        assert_eq!(keys.unseal(&text), Some(token()));
    }

    #[test]
    fn no_single_change_goes_unnoticed() {
        let keys = Keys::derive("a secret for tests");
        let text = keys.seal(&token());
        for position in 0..text.len() {
            for other in [b'A', b'z', b'_'] {
                let mut bytes = text.clone().into_bytes();
                if bytes[position] == other {
                    continue;
                }
                bytes[position] = other;
                let changed = String::from_utf8(bytes).expect("ASCII");
                assert_eq!(keys.unseal(&changed), None, "{position}");
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let keys = Keys::derive("a secret for tests");
        let foreign = Keys::derive("another secret").seal(&token());
        assert_eq!(keys.unseal(&foreign), None);
        let text = keys.seal(&token());
        for bad in ["", "AAAA", &text[1..], &format!("{text}A"), &format!("{text}="), "é"] {
            assert_eq!(keys.unseal(bad), None, "{bad:?}");
        }
    }
}
