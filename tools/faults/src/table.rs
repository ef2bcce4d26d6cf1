//! The matrix as a document's table.

use crate::course::Outcome;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

const BEGIN: &str = "<!-- begin: make faults-moves -->";
const END: &str = "<!-- end: make faults-moves -->";

/// What was played, and what could not be.
#[derive(Default)]
pub struct Matrix {
    pub played: Vec<Outcome>,
    /// Cells that ended with an error, and why.
    pub failed: Vec<(String, String)>,
    pub left: usize,
}

impl Matrix {
    pub fn markdown(&self, how: &str) -> String {
        let hit = self.played.iter().filter(|outcome| 0 < outcome.hits).count();
        let sends: usize = self.played.iter().map(|outcome| outcome.sends).sum();
        let violations: u64 = self.played.iter().map(|outcome| outcome.violations).sum();
        let mut text = format!(
            "{how}\n\n{} cells were played, {hit} of them hit; {} failed, {} were not reached.\n\
             {sends} sends were checked: {violations} lost, doubled or reordered.\n\n",
            self.played.len() + self.failed.len(),
            self.failed.len(),
            self.left,
        );
        text += "| fault | phase | hit in tries | the move | ended after | longest wait, slots that move | elsewhere | sends | lost, doubled, reordered |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for outcome in &self.played {
            let (hit, ended) = match outcome.hits {
                0 => (format!("0 in {}", outcome.tries), "not hit".to_owned()),
                hits => (format!("{hits} in {}", outcome.tries), outcome.ended.clone()),
            };
            text += &format!(
                "| {} | `{}` | {hit} | {ended} | {} | {} | {} | {} | {} |\n",
                outcome.cell.fault,
                outcome.cell.phase.name(),
                seconds(outcome.ended_after),
                seconds(outcome.longest_moving),
                seconds(outcome.longest_other),
                outcome.sends,
                outcome.violations,
            );
        }
        for (cell, why) in &self.failed {
            let why = why.lines().next().unwrap_or_default().replace('|', "/");
            text += &format!("| {cell} | | | **failed**: {why} | | | | | |\n");
        }
        text
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Puts the text between the marks of the document.
///
/// # Errors
/// If it has no marks; nothing is written then.
pub fn write_into(document: &Path, text: &str) -> Result<()> {
    let whole =
        std::fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let marks = || {
        let (before, rest) = whole.split_once(BEGIN)?;
        Some((before, rest.split_once(END)?.1))
    };
    let (before, after) =
        marks().with_context(|| format!("{} has no {BEGIN} … {END}", document.display()))?;
    std::fs::write(document, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let folder = std::env::temp_dir().join(format!("faults-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("document.md");
        std::fs::write(&file, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).expect("a file");
        for text in ["new", "newer"] {
            write_into(&file, text).expect("it has marks");
            let whole = std::fs::read_to_string(&file).expect("a file");
            assert_eq!(whole, format!("before\n{BEGIN}\n\n{text}\n{END}\nafter\n"));
        }
        std::fs::write(&file, "no marks").expect("a file");
        assert!(write_into(&file, "x").is_err());
        std::fs::remove_dir_all(&folder).expect("it can go");
    }
}
