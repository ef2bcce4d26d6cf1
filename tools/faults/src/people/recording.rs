//! Where an act is recorded, and how it is read back to be judged.

use anyhow::{Context, Result};
use shardline_history::{History, Reader, Writer};
use shardline_load::recording;
use std::fmt;
use std::path::PathBuf;

/// Where an act is recorded.
#[derive(Clone, Debug)]
pub enum Recording {
    File(PathBuf),
    /// As a file of it would be, once it is over.
    Memory(Vec<u8>),
}

impl Recording {
    pub(super) fn begin(&self) -> Result<Writer> {
        Ok(match self {
            Recording::File(path) => recording::create(path)?,
            Recording::Memory(_) => Writer::in_memory("sim"),
        })
    }

    /// What is in it, once the writer has finished.
    pub(super) fn end(&mut self, writer: Writer) -> Result<History> {
        let mut history = History::default();
        match self {
            Recording::File(path) => {
                writer.finish().context("the recording is not whole")?;
                history.read(&path.display().to_string(), Reader::open(path)?)?;
            }
            Recording::Memory(text) => {
                writer.clone().finish()?;
                *text = writer.text().context("it is in memory")?;
                history.read("the recording", Reader::new(text.as_slice())?)?;
            }
        }
        Ok(history)
    }

    /// A file that nobody needs any more.
    pub fn remove(&self) -> Result<()> {
        match self {
            Recording::File(path) => Ok(std::fs::remove_file(path)?),
            Recording::Memory(_) => Ok(()),
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recording::File(path) => path.display().fmt(f),
            Recording::Memory(text) => write!(f, "{} bytes in memory", text.len()),
        }
    }
}
