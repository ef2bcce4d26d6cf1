//! Settings of a process, from a TOML file, then the environment, then flags; the later wins. All
//! mistakes are reported at once. This is the only file that reads the process's environment.
//!
//! A key is written `max-sessions` as a flag, `max_sessions` or `max-sessions` in the file (a table
//! `[mysql]` with `url` is `mysql-url`), `SHARDLINE_<PROCESS>_MAX_SESSIONS` in the environment, or
//! `SHARDLINE_MAX_SESSIONS` for all processes that know the key.

mod setting;
mod sources;
mod trust;

pub use setting::{Setting, Span};
pub use sources::Sources;
pub use trust::{TlsTexts, TrustTexts};

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;
use thiserror::Error;

/// A process's settings while they are being read.
///
/// Each method names one key. A value that is missing or wrong is noted and a placeholder returned
/// in its place, so that reading goes on to the next mistake: nothing read may be used before
/// [`finish`](Settings::finish) said that there were none.
#[derive(Debug)]
pub struct Settings {
    process: &'static str,
    given: BTreeMap<String, Given>,
    /// What the environment says to all processes: a key that this one does not know is no mistake.
    shared: BTreeMap<String, Given>,
    known: Vec<Known>,
    problems: Vec<String>,
    wants: Option<Wants>,
    read_file: fn(&Path) -> io::Result<String>,
}

/// A value as it was written, and where.
#[derive(Clone, PartialEq)]
struct Given {
    text: String,
    place: String,
}

/// Without the text: it may be a password.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "given by {}", self.place)
    }
}

#[derive(Debug)]
struct Known {
    key: String,
    doc: &'static str,
    /// What is used if it is not given; none if it must be, or may be absent.
    default: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wants {
    Help,
    Version,
}

/// Why a process does not start.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It was only asked for this text.
    #[error("{0}")]
    Asked(String),
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Settings {
    /// Of this process: its arguments, its environment, and the file they name.
    pub fn from_process(process: &'static str) -> Settings {
        Settings::new(process, Sources::of_process())
    }

    /// `--config FILE` (or `SHARDLINE_<PROCESS>_CONFIG`) names the file.
    pub fn new(process: &'static str, sources: Sources) -> Settings {
        let mut settings = Settings {
            process,
            given: BTreeMap::new(),
            shared: sources::shared_variables(&sources.env),
            known: Vec::new(),
            problems: Vec::new(),
            wants: None,
            read_file: sources.read_file,
        };
        let (flags, wants) = sources::flags(&sources.args, &mut settings.problems);
        settings.wants = wants;
        let variables = sources::variables(process, &sources.env, &mut settings.problems);
        let file = flags.get("config").or(variables.get("config")).cloned();
        if let Some(Given { text: path, .. }) = file {
            let entries = sources::file(&path, sources.read_file, &mut settings.problems);
            settings.given.extend(entries);
        }
        settings.given.extend(variables);
        settings.given.extend(flags);
        let _: Option<String> = settings.optional("config", "a TOML file with these settings");
        settings
    }

    /// What a setting of every process is in this one, if nobody says otherwise.
    pub fn prefer(&mut self, key: &str, text: &str) {
        let given = || Given { text: text.to_owned(), place: "built in".to_owned() };
        self.shared.entry(normal(key)).or_insert_with(given);
    }

    pub fn required<T: Setting>(&mut self, key: &str, doc: &'static str) -> T {
        let value = self.take(key, doc, "(required)".to_owned());
        if value.is_none() && !self.given.contains_key(&normal(key)) {
            let key = normal(key);
            let variable = sources::variable_name(self.process, &key);
            self.problems.push(format!("{key}: missing; give --{key} or {variable} ({doc})"));
        }
        value.unwrap_or_else(T::placeholder)
    }

    pub fn or<T: Setting>(&mut self, key: &str, default: T, doc: &'static str) -> T {
        self.take(key, doc, default.show()).unwrap_or(default)
    }

    pub fn optional<T: Setting>(&mut self, key: &str, doc: &'static str) -> Option<T> {
        self.take(key, doc, String::new())
    }

    /// The contents of the file that the key names; None if it names none or one that cannot be read,
    /// which is noted.
    pub fn file(&mut self, key: &str, doc: &'static str) -> Option<String> {
        let path: String = self.optional(key, doc)?;
        let text = (self.read_file)(Path::new(&path));
        text.map_err(|error| self.problem(key, format!("{path}: {error}"))).ok()
    }

    /// What is written for a key that another part reads, for a default that depends on it.
    pub fn peek(&self, key: &str) -> Option<&str> {
        let key = normal(key);
        let given = self.given.get(&key).or_else(|| self.shared.get(&key))?;
        Some(&given.text)
    }

    /// Notes what no single value can show: two keys that exclude each other, a number out of range.
    pub fn problem(&mut self, key: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{}: {what}", normal(key)));
    }

    /// # Errors
    /// Every mistake: missing, malformed, unknown, given twice. Or, if it was asked for, the help.
    pub fn finish(mut self) -> Result<(), SettingsError> {
        match self.wants {
            Some(Wants::Help) => return Err(SettingsError::Asked(self.help())),
            Some(Wants::Version) => {
                let version = env!("CARGO_PKG_VERSION");
                return Err(SettingsError::Asked(format!("{} {version}\n", self.process)));
            }
            None => {}
        }
        for (key, given) in &self.given {
            if !self.known.iter().any(|known| known.key == *key) {
                self.problems.push(format!("{key}: unknown ({})", given.place));
            }
        }
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError::Wrong(self.problems)) }
    }

    fn take<T: Setting>(&mut self, key: &str, doc: &'static str, default: String) -> Option<T> {
        let key = normal(key);
        assert!(
            !self.known.iter().any(|known| known.key == key),
            "the setting {key} is read twice; it has one owner",
        );
        self.known.push(Known { key: key.clone(), doc, default });
        if let (false, Some(shared)) = (self.given.contains_key(&key), self.shared.remove(&key)) {
            self.given.insert(key.clone(), shared);
        }
        let given = self.given.get(&key)?;
        match T::parse(&given.text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.problems.push(format!("{key}: {wrong} ({})", given.place));
                None
            }
        }
    }

    fn help(&self) -> String {
        let mut help = format!("shardline {}\n\n", self.process);
        let width = self.known.iter().map(|known| known.key.len()).max().unwrap_or(0);
        for Known { key, doc, default } in &self.known {
            let end = if default.is_empty() { String::new() } else { format!(" [{default}]") };
            writeln!(help, "  --{key:width$}  {doc}{end}").expect("a string takes all");
        }
        let example = sources::variable_name(self.process, "key");
        writeln!(help, "\nEach may also be given as {example} or in the file of --config.")
            .expect("a string takes all");
        help
    }
}

/// The one spelling of a key inside.
fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    const FILE: &str = r#"
        partitions = 16
        peers = ["127.0.0.1:1", "127.0.0.1:2"]
        [mysql]
        url = "from file"
        pool_size = 3
    "#;

    fn settings(args: &[&str], env: &[(&str, &str)]) -> Settings {
        Settings::new(
            "shard-node",
            Sources {
                args: args.iter().map(ToString::to_string).collect(),
                env: env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
                read_file: |path| match path.to_str() {
                    Some("good.toml") => Ok(FILE.to_owned()),
                    Some("bad.toml") => Ok("partitions = = 1".to_owned()),
                    _ => Err(std::io::ErrorKind::NotFound.into()),
                },
            },
        )
    }

    fn problems(settings: Settings) -> Vec<String> {
        match settings.finish() {
            Ok(()) => Vec::new(),
            Err(SettingsError::Wrong(problems)) => problems,
            Err(SettingsError::Asked(text)) => panic!("nobody asked for help: {text}"),
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let env = [
            ("SHARDLINE_SHARD_NODE_MYSQL_URL", "from env"),
            ("SHARDLINE_SHARD_NODE_PARTITIONS", "32"),
            ("SHARDLINE_ROUTER_LISTEN", "another process's"),
        ];
        let mut s = settings(&["--config", "good.toml", "--mysql-url=from flag"], &env);
        assert_eq!(s.required::<String>("mysql_url", "where"), "from flag");
        assert_eq!(s.or("partitions", 64_u32, "how many"), 32);
        assert_eq!(s.or("mysql-pool-size", 10_usize, "connections"), 3);
        let peers: Vec<SocketAddr> = s.required("peers", "the others");
        assert_eq!(peers.len(), 2);
        assert_eq!(s.optional::<Span>("grace", "how long"), None);
        assert!(problems(s).is_empty());
    }

    #[test]
    fn a_part_can_look_at_what_another_reads() {
        let mut s = settings(&["--profile", "prod"], &[("SHARDLINE_LOG", "debug")]);
        assert_eq!(
            (s.peek("profile"), s.peek("log"), s.peek("else")),
            (Some("prod"), Some("debug"), None)
        );
        assert_eq!(s.or("profile", "local".to_owned(), "which"), "prod");
        assert_eq!(s.peek("profile"), Some("prod"));
        assert!(problems(s).is_empty());
    }

    #[test]
    fn a_variable_for_all_processes_is_used_where_nothing_nearer_is_given() {
        let env = [
            ("SHARDLINE_SECRET", "for all"),
            ("SHARDLINE_SHARD_NODE_LISTEN", "127.0.0.1:1"),
            ("SHARDLINE_LISTEN", "127.0.0.1:2"),
            ("SHARDLINE_OF_OTHERS", "1"),
        ];
        let mut s = settings(&[], &env);
        assert_eq!(s.required::<String>("secret", "what"), "for all");
        assert_eq!(s.required::<SocketAddr>("listen", "where").port(), 1);
        assert!(problems(s).is_empty());
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let args = ["--partitions", "many", "--typo", "1", "loose", "--grace"];
        let mut s = settings(&args, &[("SHARDLINE_SHARD_NODE_ALSO_WRONG", "1")]);
        let _: SocketAddr = s.required("listen", "where routers connect");
        let _ = s.or("partitions", 64_u32, "how many");
        let _ = s.or("grace", Span::from(Duration::from_secs(1)), "how long");
        s.problem("partitions", "not a power of two");
        assert_eq!(
            problems(s),
            [
                "loose: not a flag; flags are written --key value",
                "grace: the flag has no value",
                "listen: missing; give --listen or SHARDLINE_SHARD_NODE_LISTEN \
                 (where routers connect)",
                "partitions: `many` is not a whole number from 0 to 4294967295 (--partitions)",
                "partitions: not a power of two",
                "also-wrong: unknown (SHARDLINE_SHARD_NODE_ALSO_WRONG)",
                "typo: unknown (--typo)",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_or_understood_is_a_mistake() {
        for path in ["missing.toml", "bad.toml"] {
            let problems = problems(settings(&["--config", path], &[]));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(&format!("config: {path}")), "{problems:?}");
        }
    }

    #[test]
    fn certificates_are_given_all_or_none() {
        let check = |args: &[&str], expected: &[&str]| {
            let mut s = settings(&[&["--secret", "s"], args].concat(), &[]);
            let texts = TrustTexts::read(&mut s);
            assert_eq!(problems(s), expected);
            texts.map(|texts| texts.tls.is_some())
        };
        assert_eq!(check(&[], &[]), Some(false));
        let all = ["--tls-ca", "good.toml", "--tls-cert", "good.toml", "--tls-key", "good.toml"];
        assert_eq!(check(&all, &[]), Some(true));
        let missing = "missing; tls-ca, tls-cert and tls-key go together";
        let (ca, key) = (format!("tls-ca: {missing}"), format!("tls-key: {missing}"));
        assert_eq!(check(&all[2..4], &[&ca, &key]), None);
        let unreadable = [&all[..5], &["nowhere.pem"]].concat();
        assert_eq!(check(&unreadable, &["tls-key: nowhere.pem: entity not found"]), None);
    }

    #[test]
    fn a_flag_given_twice_is_a_mistake() {
        let mut s = settings(&["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2"], &[]);
        let _: SocketAddr = s.required("listen", "where");
        assert_eq!(problems(s), ["listen: given twice (--listen)"]);
    }

    #[test]
    fn a_value_is_not_shown_when_settings_are_debugged() {
        let shown = format!("{:?}", settings(&["--secret", "hush"], &[]));
        assert!(shown.contains("--secret") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn help_lists_every_key() {
        let mut s = settings(&["--help"], &[]);
        let _: SocketAddr = s.required("listen", "where routers connect");
        let _ = s.or("grace", Span::from(Duration::from_millis(1500)), "how long");
        let Err(SettingsError::Asked(help)) = s.finish() else { panic!("help was asked for") };
        assert!(help.contains("--listen  where routers connect [(required)]"), "{help}");
        assert!(help.contains("--grace   how long [1500ms]"), "{help}");
        assert!(help.contains("SHARDLINE_SHARD_NODE_KEY"), "{help}");
    }
}
