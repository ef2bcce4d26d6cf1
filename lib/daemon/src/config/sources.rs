//! Where settings come from, each read into keys, texts and places.

use super::{Given, Wants, normal};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What a process was given: a parameter, so that tests need no environment.
pub struct Sources {
    /// Without the program's name.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub read_file: fn(&Path) -> io::Result<String>,
}

type Entries = BTreeMap<String, Given>;

impl Sources {
    pub fn of_process() -> Sources {
        // Text that is not Unicode becomes text that no setting takes.
        let text = |raw: OsString| raw.to_string_lossy().into_owned();
        Sources {
            args: std::env::args_os().skip(1).map(text).collect(),
            env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            read_file: |path| std::fs::read_to_string(path),
        }
    }
}

pub(super) fn variable_name(process: &str, key: &str) -> String {
    format!("{}{}", variable_prefix(process), key.to_ascii_uppercase().replace('-', "_"))
}

fn variable_prefix(process: &str) -> String {
    format!("SHARDLINE_{}_", process.to_ascii_uppercase().replace('-', "_"))
}

/// `--key value` or `--key=value`.
pub(super) fn flags(args: &[String], problems: &mut Vec<String>) -> (Entries, Option<Wants>) {
    let mut entries = Entries::new();
    let mut wants = None;
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-h" | "--help" => wants = Some(Wants::Help),
            "-V" | "--version" => wants = wants.or(Some(Wants::Version)),
            _ => {
                let Some(flag) = arg.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
                    problems.push(format!("{arg}: not a flag; flags are written --key value"));
                    continue;
                };
                let (key, text) = match flag.split_once('=') {
                    Some((key, text)) => (key, text.to_owned()),
                    None => match args.next_if(|next| !next.starts_with("--")) {
                        Some(text) => (flag, text.clone()),
                        None => {
                            problems.push(format!("{flag}: the flag has no value"));
                            continue;
                        }
                    },
                };
                let given = Given { text, place: format!("--{key}") };
                insert(&mut entries, normal(key), given, problems);
            }
        }
    }
    (entries, wants)
}

/// Variables of this process; those of others are not ours to judge.
pub(super) fn variables(
    process: &str,
    env: &[(String, String)],
    problems: &mut Vec<String>,
) -> Entries {
    let prefix = variable_prefix(process);
    let mut entries = Entries::new();
    for (name, text) in env {
        if let Some(key) = name.strip_prefix(&prefix) {
            let given = Given { text: text.clone(), place: name.clone() };
            insert(&mut entries, normal(key), given, problems);
        }
    }
    entries
}

/// Variables for all processes, and those of others: `SHARDLINE_<KEY>`.
pub(super) fn shared_variables(env: &[(String, String)]) -> Entries {
    let of_all = |(name, text): &(String, String)| {
        let key = name.strip_prefix("SHARDLINE_")?;
        Some((normal(key), Given { text: text.clone(), place: name.clone() }))
    };
    env.iter().filter_map(of_all).collect()
}

pub(super) fn file(
    path: &str,
    read: fn(&Path) -> io::Result<String>,
    problems: &mut Vec<String>,
) -> Entries {
    let mut entries = Entries::new();
    let text = match read(Path::new(path)) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("config: {path} cannot be read: {error}"));
            return entries;
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => flatten("", table, path, &mut entries, problems),
        // The first line only: what follows would quote the file, and it may hold passwords.
        Err(error) => {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
            problems.push(format!("config: {path}{line}: {}", error.message()));
        }
    }
    entries
}

fn flatten(
    above: &str,
    table: toml::Table,
    path: &str,
    entries: &mut Entries,
    problems: &mut Vec<String>,
) {
    for (key, value) in table {
        let key = normal(&key);
        let key = if above.is_empty() { key } else { format!("{above}-{key}") };
        if let toml::Value::Table(inner) = value {
            flatten(&key, inner, path, entries, problems);
            continue;
        }
        match plain_text(value) {
            Some(text) => {
                let given = Given { text, place: path.to_owned() };
                insert(entries, key, given, problems);
            }
            None => problems.push(format!("{key}: neither text, number nor a list ({path})")),
        }
    }
}

fn plain_text(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<String>> = parts.into_iter().map(plain_text).collect();
            parts.map(|parts| parts.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn insert(entries: &mut Entries, key: String, given: Given, problems: &mut Vec<String>) {
    match entries.entry(key) {
        Entry::Vacant(free) => drop(free.insert(given)),
        Entry::Occupied(taken) => {
            problems.push(format!("{}: given twice ({})", taken.key(), given.place));
        }
    }
}
