//! Documents and sources stay true to each other.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Every file of the repository with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !matches!(name, "target" | "data" | ".git" | "node_modules") {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in files(&[".md"]) {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            if !document.parent().expect("a file's folder").join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_code_is_in_the_contract() {
    let contract = read(&root().join("docs/protocol.md"));
    let codes = read(&root().join("lib/domain/src/error.rs"));
    let names = codes.lines().filter_map(|line| {
        let (variant, name) = line.trim().strip_prefix("Code::")?.split_once(" => \"")?;
        variant.chars().all(char::is_alphanumeric).then(|| name.trim_end_matches("\","))
    });
    let mut seen = 0;
    for name in names {
        seen += 1;
        assert!(contract.contains(name), "docs/protocol.md does not name the code {name}");
    }
    assert!(seen > 10, "the codes were not found in lib/domain/src/error.rs");
}

#[test]
fn every_decision_has_a_number_of_its_own_and_a_date() {
    let mut numbers = Vec::new();
    for path in files(&[".md"]) {
        if path.parent().is_some_and(|folder| folder.ends_with("docs/decisions")) {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            numbers.push(name[..4].to_owned());
            let text = read(&path);
            assert!(text.starts_with(&format!("# {}", &name[..4])), "{name}: its title");
            assert!(text.contains("\n20"), "{name}: its date");
            for part in ["## Context", "## Decision", "## What we gave up"] {
                assert!(text.contains(part), "{name}: {part}");
            }
        }
    }
    let count = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "two decisions share a number");
}

#[test]
fn sources_say_what_they_are_for_and_leave_nothing_undone() {
    let mut wrong = Vec::new();
    for source in files(&[".rs"]) {
        let text = read(&source);
        let place = source.strip_prefix(root()).unwrap_or(&source).display().to_string();
        if !text.starts_with("//!") {
            wrong.push(format!("{place}: no first line that says what it is for"));
        }
        for (number, line) in text.lines().enumerate() {
            let undone = ["TO", "DO"].concat();
            let fix = ["FIX", "ME"].concat();
            if (line.contains(&undone) || line.contains(&fix)) && !line.contains('#') {
                wrong.push(format!("{place}:{}: undone, and no issue named", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
