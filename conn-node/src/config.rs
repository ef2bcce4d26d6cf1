//! Settings of a conn-node.

use crate::auth::Cost;
use crate::outside::{KeySource, KeyUrl, OutsideConfig};
use crate::rate_limit::Rates;
use shardline_backends::presence::NodeId;
use shardline_daemon::config::{Settings, Span};
use shardline_domain::limits::TOKEN_LIFE;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    /// This node's name, unique among conn-nodes.
    pub node: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Addresses of routers to begin with; they tell the others.
    pub routers: Vec<String>,
    /// Signs tokens; the same on all conn-nodes.
    pub secret: String,
    /// How often sessions are told the heads of their open chats.
    pub heads_every: Duration,
    /// A connection without a frame for this long is closed; pings go out at half of it.
    pub idle: Duration,
    /// How long a stopping node waits for answers that are on their way.
    pub drain: Duration,
    /// Connections beyond this are refused.
    pub connections_max: usize,
    /// What `welcome` says about durability.
    pub durability: String,
    /// What hashing a password costs.
    pub password_cost: Cost,
    /// Passwords hashed at the same time; each takes a core and its memory.
    pub passwords_at_a_time: usize,
    /// On threads of their own. Not a setting: false only where nothing may run beside the runtime, as in
    /// a simulation.
    pub passwords_aside: bool,
    /// Who vouches for users in place of passwords.
    pub outside: Option<OutsideConfig>,
    pub rates: Rates,
    /// Proxies before this node whose X-Forwarded-For entry is believed; 0 believes none.
    pub proxies: usize,
    /// Pages of any origin may call the HTTP interface.
    pub cors: bool,
    /// How often cursors taken by this node are written to their chats' shards.
    pub cursor_flush_every: Duration,
    /// Cursors that another node took and did not write for this long are written by this one.
    pub cursors_left_after: Duration,
}

/// A token secret guessed is every account lost.
const SECRET_BYTES_MIN: usize = 16;
/// A key that the provider withdrew is good for this long.
const JWKS_REFRESH: Duration = Duration::from_secs(10 * 60);

impl Config {
    /// With everything that has a default at its default.
    pub fn new(node: impl Into<String>, listen: SocketAddr, secret: impl Into<String>) -> Config {
        Config {
            node: node.into(),
            listen,
            routers: Vec::new(),
            secret: secret.into(),
            heads_every: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            connections_max: 50_000,
            durability: "committed on one primary".to_owned(),
            password_cost: Cost::default(),
            passwords_at_a_time: 2,
            passwords_aside: true,
            outside: None,
            rates: Rates::default(),
            proxies: 0,
            cors: false,
            cursor_flush_every: Duration::from_secs(1),
            cursors_left_after: Duration::from_secs(5),
        }
    }

    /// Reads the settings of a conn-node; in the `local` profile loopback is not limited by address.
    pub fn read(settings: &mut Settings, is_local: bool) -> Config {
        let node: String = settings.required("name", "of this node, unique among conn-nodes");
        if !node.is_empty()
            && let Err(wrong) = NodeId::parse(&node)
        {
            settings.problem("name", wrong);
        }
        let listen = settings.required("listen", "where clients connect");
        let secret: String =
            settings.required("token-secret", "signs tokens; the same on all conn-nodes");
        let of = Config::new(node, listen, secret);
        if !of.secret.is_empty() && of.secret.len() < SECRET_BYTES_MIN {
            settings.problem("token-secret", format!("it has fewer than {SECRET_BYTES_MIN} bytes"));
        }
        let span = |settings: &mut Settings, key, default: Duration, doc| -> Duration {
            settings.or(key, Span::from(default), doc).get()
        };
        let routers = settings.required("routers", "addresses of routers to begin with");
        let heads_every = span(
            settings,
            "heads-every",
            of.heads_every,
            "how often sessions are told the heads of their open chats",
        );
        let idle =
            span(settings, "idle", of.idle, "a connection without a frame for this long is closed");
        for (key, value) in [("heads-every", heads_every), ("idle", idle)] {
            if value < Duration::from_millis(100) || TOKEN_LIFE < value {
                settings.problem(key, "it must be from 100ms to 15m");
            }
        }
        Config {
            routers,
            heads_every,
            idle,
            drain: span(settings, "drain", of.drain, "how long a stopping node waits for answers"),
            connections_max: settings.or(
                "connections-max",
                of.connections_max,
                "connections beyond this are refused",
            ),
            durability: settings.or("durability", of.durability, "what `welcome` says of it"),
            password_cost: read_cost(settings),
            passwords_at_a_time: settings.or(
                "passwords-at-a-time",
                of.passwords_at_a_time,
                "passwords hashed at the same time",
            ),
            outside: read_outside(settings),
            rates: Rates::read(settings, is_local),
            proxies: settings.or(
                "proxies",
                of.proxies,
                "proxies before this node whose X-Forwarded-For is believed",
            ),
            cors: settings.or("cors", of.cors, "pages of any origin may call the HTTP interface"),
            cursor_flush_every: span(
                settings,
                "cursor-flush-every",
                of.cursor_flush_every,
                "how often read cursors are written to their chats' shards",
            ),
            cursors_left_after: span(
                settings,
                "cursors-left-after",
                of.cursors_left_after,
                "after what time cursors taken by another node are written",
            ),
            passwords_aside: of.passwords_aside,
            node: of.node,
            listen: of.listen,
            secret: of.secret,
        }
    }
}

fn read_cost(settings: &mut Settings) -> Cost {
    let (memory, passes, lanes) = Cost::RECOMMENDED;
    let memory = settings.or("argon2-memory-kib", memory, "memory of one password hash");
    let passes = settings.or("argon2-passes", passes, "passes of one password hash");
    let lanes = settings.or("argon2-lanes", lanes, "lanes of one password hash");
    Cost::new(memory, passes, lanes).unwrap_or_else(|error| {
        settings.problem("argon2-memory-kib", error);
        Cost::default()
    })
}

fn read_outside(settings: &mut Settings) -> Option<OutsideConfig> {
    let file: Option<PathBuf> =
        settings.optional("jwks-file", "keys of an identity provider in place of passwords");
    let url: Option<String> = settings.optional("jwks-url", "where those keys are served");
    let issuer: Option<String> = settings.optional("token-issuer", "`iss` of its tokens");
    let audience: Option<String> = settings.optional("token-audience", "`aud` of its tokens");
    let name_claim = settings.or(
        "token-name-claim",
        "preferred_username".to_owned(),
        "the claim that is a user's name here; never given to another person",
    );
    let refresh_every =
        settings.or("jwks-refresh", Span::from(JWKS_REFRESH), "how often the keys are read");
    if refresh_every.get() < Duration::from_secs(1) {
        settings.problem("jwks-refresh", "it must be at least 1s");
    }
    let source = match (file, url) {
        (None, None) => {
            let is_given = issuer.is_some() || audience.is_some();
            if is_given {
                settings.problem("jwks-url", "missing; it or jwks-file goes with token-issuer");
            }
            return None;
        }
        (Some(_), Some(_)) => {
            settings.problem("jwks-url", "give it or jwks-file, not both");
            return None;
        }
        (Some(file), None) => KeySource::File(file),
        (None, Some(url)) => match KeyUrl::parse(&url) {
            Ok(url) => KeySource::Url(url),
            Err(wrong) => {
                settings.problem("jwks-url", wrong);
                return None;
            }
        },
    };
    for (key, value) in [("token-issuer", &issuer), ("token-audience", &audience)] {
        if value.is_none() {
            settings.problem(key, "missing; a token of anybody's would do without it");
        }
    }
    let (issuer, audience) = (issuer?, audience?);
    let refresh_every = refresh_every.get();
    Some(OutsideConfig { source, issuer, audience, name_claim, refresh_every })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_daemon::config::{SettingsError, Sources};

    fn read(args: &[&str]) -> Result<Config, Vec<String>> {
        let sources = Sources {
            args: args.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            read_file: |_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let mut settings = Settings::new("conn-node", sources);
        let config = Config::read(&mut settings, true);
        match settings.finish() {
            Ok(()) => Ok(config),
            Err(SettingsError::Wrong(problems)) => Err(problems),
            Err(SettingsError::Asked(text)) => Err(vec![text]),
        }
    }

    const LEAST: [&str; 8] = [
        "--name",
        "conn-node-1",
        "--listen",
        "127.0.0.1:8101",
        "--token-secret",
        "sixteen bytes at least",
        "--routers",
        "127.0.0.1:8111,127.0.0.1:8112",
    ];

    #[test]
    fn the_least_that_must_be_given_is_enough() {
        let config = read(&LEAST).expect("complete");
        assert_eq!(config.routers, ["127.0.0.1:8111", "127.0.0.1:8112"]);
        assert_eq!(config.password_cost, Cost::default());
        assert_eq!((config.cors, config.proxies), (false, 0));
    }

    #[test]
    fn an_outside_provider_is_whole_or_not_there() {
        let with = |more: &[&str]| read(&[LEAST.as_slice(), more].concat());
        assert_eq!(with(&[]).expect("complete").outside, None);
        let whole = [
            "--jwks-url",
            "https://id.example/keys",
            "--token-issuer",
            "https://id.example",
            "--token-audience",
            "shardline",
        ];
        let outside = with(&whole).expect("complete").outside.expect("a provider");
        assert_eq!(outside.name_claim, "preferred_username");
        assert_eq!(outside.source.to_string(), "https://id.example/keys");
        for (more, key) in [
            (vec!["--jwks-file", "keys.json", "--token-issuer", "x"], "token-audience"),
            (vec!["--jwks-file", "keys.json", "--token-audience", "x"], "token-issuer"),
            (vec!["--token-issuer", "x"], "jwks-url"),
            ([whole.as_slice(), &["--jwks-file", "keys.json"]].concat(), "jwks-url"),
            ([&["--jwks-url", "http://id.example/"], &whole[2..]].concat(), "jwks-url"),
            ([whole.as_slice(), &["--jwks-refresh", "0s"]].concat(), "jwks-refresh"),
        ] {
            let problems = with(&more).expect_err("not whole");
            assert!(problems.iter().any(|line| line.starts_with(key)), "{key} in {problems:?}");
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let problems = read(&[
            "--listen",
            "here",
            "--token-secret",
            "short",
            "--idle",
            "0s",
            "--argon2-memory-kib",
            "1",
            "--colour",
            "red",
        ])
        .expect_err("all wrong");
        let all = problems.join("\n");
        for key in
            ["name", "listen", "token-secret", "routers", "idle", "argon2-memory-kib", "colour"]
        {
            assert!(problems.iter().any(|line| line.starts_with(key)), "{key} in {all}");
        }
        assert!(!all.contains("short"), "a secret is never shown: {all}");
    }
}
