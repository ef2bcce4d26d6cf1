//! What was played, as a document's table.

use crate::{course, storm};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// What was played, and what could not be.
pub struct Matrix<T> {
    pub played: Vec<T>,
    /// Names of those that ended with an error, and why.
    pub failed: Vec<(String, String)>,
    pub left: usize,
}

impl<T> Default for Matrix<T> {
    fn default() -> Matrix<T> {
        Matrix { played: Vec::new(), failed: Vec::new(), left: 0 }
    }
}

impl<T> Matrix<T> {
    /// `columns`: behind the one that names the fault.
    fn markdown(&self, before: &str, columns: &[&str], row: impl Fn(&T) -> Vec<String>) -> String {
        let mut text = format!("{before}\n\n| {} |\n", columns.join(" | "));
        text += &format!("|{}\n", "---|".repeat(columns.len()));
        for outcome in &self.played {
            text += &format!("| {} |\n", row(outcome).join(" | "));
        }
        for (name, why) in &self.failed {
            let why = why.lines().next().unwrap_or_default().replace('|', "/");
            text += &format!("| {name} | **failed**: {why} |{}\n", " |".repeat(columns.len() - 2));
        }
        text
    }

    fn counts(&self) -> (usize, usize, usize) {
        (self.played.len() + self.failed.len(), self.failed.len(), self.left)
    }
}

impl Matrix<course::Outcome> {
    pub fn of_moves(&self, how: &str) -> String {
        let hit = self.played.iter().filter(|outcome| 0 < outcome.hits).count();
        let sends: usize = self.played.iter().map(|outcome| outcome.sends).sum();
        let violations: u64 = self.played.iter().map(|outcome| outcome.violations).sum();
        let (played, failed, left) = self.counts();
        let before = format!(
            "{how}\n\n{played} cells were played, {hit} of them hit; {failed} failed, {left} were not reached.\n\
             {sends} sends were checked: {violations} lost, doubled or reordered."
        );
        let columns = [
            "fault",
            "phase",
            "hit in tries",
            "the move",
            "ended after",
            "longest wait, slots that move",
            "elsewhere",
            "sends",
            "lost, doubled, reordered",
        ];
        self.markdown(&before, &columns, |outcome| {
            let (hit, ended) = match outcome.hits {
                0 => (format!("0 in {}", outcome.tries), "not hit".to_owned()),
                hits => (format!("{hits} in {}", outcome.tries), outcome.ended.clone()),
            };
            vec![
                outcome.cell.fault.to_string(),
                format!("`{}`", outcome.cell.phase.name()),
                hit,
                ended,
                seconds(outcome.ended_after),
                seconds(outcome.longest_moving),
                seconds(outcome.longest_other),
                outcome.sends.to_string(),
                outcome.violations.to_string(),
            ]
        })
    }
}

impl Matrix<storm::Outcome> {
    pub fn of_storm(&self, how: &str) -> String {
        let sends: usize = self.played.iter().map(|outcome| outcome.sends).sum();
        let refused: u64 = self.played.iter().map(|outcome| outcome.failed).sum();
        let (played, failed, left) = self.counts();
        let before = format!(
            "{how}\n\n{played} faults were played; {failed} failed, {left} were not reached.\n\
             {sends} sends were checked: 0 lost, doubled or reordered; {refused} were refused or given up."
        );
        let columns = [
            "fault",
            "lasted",
            "longest wait, chats of the shard that is hit",
            "of the other shard",
            "sends",
            "refused or given up",
        ];
        self.markdown(&before, &columns, |outcome| {
            vec![
                outcome.fault.to_string(),
                outcome.note.clone(),
                seconds(outcome.longest_here),
                seconds(outcome.longest_elsewhere),
                outcome.sends.to_string(),
                outcome.failed.to_string(),
            ]
        })
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Puts the text between the document's marks of this command.
///
/// # Errors
/// If it has no marks; nothing is written then.
pub fn write_into(document: &Path, command: &str, text: &str) -> Result<()> {
    let whole =
        std::fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let (begin, end) = marks(command);
    let parts = || {
        let (before, rest) = whole.split_once(&begin)?;
        Some((before, rest.split_once(&end)?.1))
    };
    let (before, after) =
        parts().with_context(|| format!("{} has no {begin} … {end}", document.display()))?;
    std::fs::write(document, format!("{before}{begin}\n\n{text}\n{end}{after}"))?;
    Ok(())
}

fn marks(command: &str) -> (String, String) {
    (format!("<!-- begin: faults {command} -->"), format!("<!-- end: faults {command} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let folder = std::env::temp_dir().join(format!("faults-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("document.md");
        let (begin, end) = marks("this");
        let whole = |text: &str| format!("before\n{begin}\n{text}\n{end}\nafter\n");
        std::fs::write(&file, whole("old")).expect("a file");
        for text in ["new", "newer"] {
            write_into(&file, "this", text).expect("it has marks");
            let written = std::fs::read_to_string(&file).expect("a file");
            assert_eq!(written, whole(&format!("\n{text}")));
        }
        assert!(write_into(&file, "that", "x").is_err());
        std::fs::remove_dir_all(&folder).expect("it can go");
    }
}
