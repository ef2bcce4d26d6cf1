//! Which limit applies to whom: registrations and log-ins by address, sends by user, new connections by
//! node. Token buckets, kept only for those who asked lately.

use crate::admission::{Admission, Turn};
use crate::problem::Problem;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use shardline_daemon::config::Settings;
use shardline_domain::error::Code;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// Buckets kept of one kind before the full ones are dropped outside the usual rounds.
const BUCKETS_MAX: usize = 100_000;
/// Looking through all buckets takes milliseconds.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// How much is allowed.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Of one address.
    pub registrations_a_minute: NonZeroU32,
    /// Of one address; also refreshes.
    pub log_ins_a_minute: NonZeroU32,
    /// Of one user, over all its sessions on this node.
    pub sends_a_second: NonZeroU32,
    /// Of all users: connections let in, with a second's worth at once.
    pub admissions_a_second: NonZeroU32,
    /// Whether loopback is limited by address like any other.
    pub limit_loopback: bool,
}

impl Default for Rates {
    fn default() -> Rates {
        let count = |count| NonZeroU32::new(count).expect("not zero");
        Rates {
            registrations_a_minute: count(30),
            log_ins_a_minute: count(60),
            sends_a_second: count(1_000),
            admissions_a_second: count(500),
            limit_loopback: true,
        }
    }
}

impl Rates {
    pub(crate) fn read(settings: &mut Settings, is_local: bool) -> Rates {
        let of = Rates::default();
        let mut count = |key, default: NonZeroU32, doc| {
            let given = settings.or(key, default.get(), doc);
            NonZeroU32::new(given).unwrap_or_else(|| {
                settings.problem(key, "it must be at least 1");
                default
            })
        };
        Rates {
            registrations_a_minute: count(
                "registrations-a-minute",
                of.registrations_a_minute,
                "new accounts from one address",
            ),
            log_ins_a_minute: count(
                "log-ins-a-minute",
                of.log_ins_a_minute,
                "log-ins and refreshes from one address",
            ),
            sends_a_second: count(
                "sends-a-second",
                of.sends_a_second,
                "messages of one user on this node, with twice as many at once",
            ),
            admissions_a_second: count(
                "admissions-a-second",
                of.admissions_a_second,
                "WebSockets let in on this node; others wait in line or are told when to come",
            ),
            limit_loopback: !is_local,
        }
    }
}

/// As everything here that takes time, it stands still where a test pauses time.
#[derive(Clone, Copy, Debug)]
struct Ticking;

impl Clock for Ticking {
    type Instant = std::time::Instant;

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, Ticking, NoOpMiddleware<std::time::Instant>>;

fn buckets<K: Clone + Eq + Hash>(quota: Quota) -> Buckets<K> {
    RateLimiter::new(quota, DashMapStateStore::default(), Ticking)
}

/// The buckets of this node.
pub(crate) struct RateLimits {
    registrations: Buckets<IpAddr>,
    log_ins: Buckets<IpAddr>,
    sends: Buckets<u64>,
    admission: Mutex<Admission>,
    limit_loopback: bool,
    tended_at: Mutex<Instant>,
}

impl RateLimits {
    pub(crate) fn new(rates: &Rates) -> RateLimits {
        let double = |rate: NonZeroU32| rate.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let send_quota =
            Quota::per_second(rates.sends_a_second).allow_burst(double(rates.sends_a_second));
        RateLimits {
            registrations: buckets(Quota::per_minute(rates.registrations_a_minute)),
            log_ins: buckets(Quota::per_minute(rates.log_ins_a_minute)),
            sends: buckets(send_quota),
            admission: Mutex::new(Admission::new(rates.admissions_a_second, Instant::now())),
            limit_loopback: rates.limit_loopback,
            tended_at: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn check_registration(&self, from: IpAddr) -> Result<(), Problem> {
        self.check_address(&self.registrations, from, "registrations from this address")
    }

    pub(crate) fn check_log_in(&self, from: IpAddr) -> Result<(), Problem> {
        self.check_address(&self.log_ins, from, "log-ins from this address")
    }

    /// How long to wait if the user has sent too much, in milliseconds.
    pub(crate) fn check_send(&self, user: u64) -> Result<(), u64> {
        take_one(&self.sends, &user)
    }

    /// When a new connection is let in.
    pub(crate) fn admit(&self) -> Turn {
        self.admission.lock().ask(Instant::now())
    }

    fn check_address(
        &self,
        buckets: &Buckets<IpAddr>,
        from: IpAddr,
        what: &str,
    ) -> Result<(), Problem> {
        let network = network(from);
        if network.is_loopback() && !self.limit_loopback {
            return Ok(());
        }
        take_one(buckets, &network).map_err(|wait_ms| too_many(what, wait_ms))
    }

    /// Forgets whoever has not asked for as long as a bucket takes to fill. May be called often; it
    /// looks once in a while.
    pub(crate) fn tend(&self, now: Instant) {
        let mut tended_at = self.tended_at.lock();
        if now < *tended_at + TEND_EVERY {
            return;
        }
        *tended_at = now;
        self.registrations.retain_recent();
        self.log_ins.retain_recent();
        self.sends.retain_recent();
    }
}

pub(crate) fn too_many(what: &str, wait_ms: u64) -> Problem {
    Problem {
        retry_after_ms: Some(wait_ms),
        ..Problem::new(Code::RateLimited, format!("too many {what}"))
    }
}

fn take_one<K: Hash + Eq + Clone>(buckets: &Buckets<K>, key: &K) -> Result<(), u64> {
    if BUCKETS_MAX < buckets.len() {
        buckets.retain_recent();
    }
    buckets.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(Ticking.now());
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
    })
}

/// Whom an address counts as: one IPv4 address, or the /64 that one IPv6 customer has for itself.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// The address a request came from: the connection's, or what the nearest believed proxy wrote.
/// Anyone can write the entries before those of our own proxies.
pub(crate) fn client_address(peer: IpAddr, forwarded_for: &[&str], proxies: usize) -> IpAddr {
    let entries: Vec<&str> =
        forwarded_for.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    let believed = entries.len().checked_sub(proxies).filter(|_| 0 < proxies);
    believed.and_then(|index| entries.get(index)?.parse().ok()).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn rates(limit_loopback: bool) -> Rates {
        let two = NonZeroU32::new(2).expect("not zero");
        Rates {
            registrations_a_minute: two,
            log_ins_a_minute: two,
            sends_a_second: two,
            admissions_a_second: two,
            limit_loopback,
        }
    }

    #[test]
    fn the_third_registration_of_an_address_waits_and_another_address_does_not() {
        let limits = RateLimits::new(&rates(true));
        let (one, other) = (address("198.51.100.7"), address("198.51.100.8"));
        assert!(limits.check_registration(one).is_ok() && limits.check_registration(one).is_ok());
        let problem = limits.check_registration(one).expect_err("the third");
        assert_eq!(problem.code, Code::RateLimited);
        let wait_ms = problem.retry_after_ms.expect("says when");
        assert!((1..=30_000).contains(&wait_ms), "{wait_ms}");
        assert!(limits.check_registration(other).is_ok() && limits.check_log_in(one).is_ok());
    }

    #[test]
    fn loopback_is_exempt_only_where_it_was_said() {
        let (v4, v6) = (address("127.0.0.1"), address("::1"));
        let limits = RateLimits::new(&rates(false));
        for _ in 0..10 {
            assert!(limits.check_log_in(v4).is_ok() && limits.check_log_in(v6).is_ok());
        }
        let limits = RateLimits::new(&rates(true));
        let passed = (0..10).filter(|_| limits.check_log_in(v4).is_ok()).count();
        assert_eq!(passed, 2);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let limits = RateLimits::new(&rates(true));
        for last in ["1", "2"] {
            assert!(limits.check_log_in(address(&format!("2001:db8::{last}"))).is_ok());
        }
        assert!(limits.check_log_in(address("2001:db8::3")).is_err());
        assert!(limits.check_log_in(address("2001:db8:0:1::3")).is_ok());
        assert_eq!(network(address("::ffff:198.51.100.7")), address("198.51.100.7"));
    }

    #[test]
    fn a_users_sends_have_a_rate_and_a_burst() {
        let limits = RateLimits::new(&rates(true));
        let passed = (0..100).filter(|_| limits.check_send(7).is_ok()).count();
        assert!((4..=6).contains(&passed), "{passed}");
        assert!(limits.check_send(8).is_ok());
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        let peer = address("10.0.0.1");
        let from = |lines: &[&str], proxies| client_address(peer, lines, proxies).to_string();
        assert_eq!(from(&["1.1.1.1"], 0), "10.0.0.1");
        assert_eq!(from(&["6.6.6.6, 1.1.1.1"], 1), "1.1.1.1");
        assert_eq!(from(&["6.6.6.6", "1.1.1.1, 2.2.2.2"], 2), "1.1.1.1");
        assert_eq!(from(&["1.1.1.1"], 2), "10.0.0.1");
        assert_eq!(from(&["nonsense"], 1), "10.0.0.1");
    }
}
