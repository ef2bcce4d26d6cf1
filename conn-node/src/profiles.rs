//! Users' names as this node last saw them, for the peers of direct chats and the senders of
//! messages. Bounded, and short-lived: a changed name shows within seconds.

use crate::calls;
use crate::node::Node;
use lru::LruCache;
use parking_lot::Mutex;
use shardline_domain::id::UserId;
use shardline_wire::client::User;
use shardline_wire::refusal::Refusal;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::Instant;

/// Others' changes show within this time.
const FRESH_TIME: Duration = Duration::from_secs(2);
/// What is shown with a name is not kept waiting for it any longer.
const READ_TIME_MAX: Duration = Duration::from_secs(1);
/// Some 200 bytes each.
const PROFILES_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

pub(crate) struct Profiles(Mutex<LruCache<u64, (User, Instant)>>);

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles(Mutex::new(LruCache::new(PROFILES_MAX)))
    }
}

impl Profiles {
    pub(crate) fn new() -> Profiles {
        Profiles::default()
    }

    /// What was just read or changed.
    pub(crate) fn put(&self, user: User) {
        self.0.lock().put(user.user, (user, Instant::now()));
    }

    fn get(&self, user: u64, not_before: Instant) -> Option<User> {
        let mut profiles = self.0.lock();
        let (profile, read_at) = profiles.get(&user)?;
        (not_before <= *read_at).then(|| profile.clone())
    }

    /// However old.
    fn get_old(&self, user: u64) -> Option<User> {
        self.0.lock().get(&user).map(|(profile, _)| profile.clone())
    }
}

/// The profiles of these users, fresh where their shard answers, else as last seen; a user that was
/// never seen and cannot be read is missing.
pub(crate) async fn of(node: &Node, users: &[u64]) -> HashMap<u64, User> {
    let not_before = Instant::now().checked_sub(FRESH_TIME).unwrap_or_else(Instant::now);
    let mut found = HashMap::with_capacity(users.len());
    let mut missing = Vec::new();
    for user in users {
        match node.profiles.get(*user, not_before) {
            Some(profile) => drop(found.insert(*user, profile)),
            None => missing.push(*user),
        }
    }
    let read = calls::users(node, missing.iter().copied(), READ_TIME_MAX).await.unwrap_or_default();
    for profile in read {
        node.profiles.put(profile.clone());
        found.insert(profile.user, profile);
    }
    for user in missing {
        if let Some(old) = node.profiles.get_old(user) {
            found.entry(user).or_insert(old);
        }
    }
    found
}

/// What a message by this user is signed with.
///
/// # Errors
/// TRY_AGAIN if the user's shard does not answer and this node never saw the name.
pub(crate) async fn display_name(node: &Node, user: UserId) -> Result<String, Refusal> {
    let profile = of(node, &[user.get()]).await.remove(&user.get());
    let profile =
        profile.ok_or_else(|| Refusal::try_again("the sender's name cannot be read", 500))?;
    Ok(profile.display_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64) -> User {
        User { user: number, ..User::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_is_fresh_for_a_while_and_known_for_longer() {
        let profiles = Profiles::new();
        profiles.put(user(1));
        let now = Instant::now();
        assert!(profiles.get(1, now).is_some());
        assert!(profiles.get(1, now + Duration::from_millis(1)).is_none());
        assert!(profiles.get_old(1).is_some() && profiles.get_old(2).is_none());
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let profiles = Profiles::new();
        for number in 0..=PROFILES_MAX.get() as u64 {
            profiles.put(user(number));
        }
        assert_eq!(profiles.0.lock().len(), PROFILES_MAX.get());
        assert!(profiles.get_old(0).is_none());
    }
}
