//! Reads a recording back, line by line.

use crate::record::{Header, Line, OLDEST_VERSION, VERSION};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {line}: {why}")]
    Line { line: u64, why: String },
    #[error("version {0} of the format is not known, only {OLDEST_VERSION} to {VERSION}")]
    Version(u32),
    #[error("the file is empty")]
    Empty,
}

/// The lines of one recording, each with its number. A last line without an end is left out: the
/// recorder was killed while writing it.
pub struct Reader<R> {
    lines: R,
    pub header: Header,
    number: u64,
}

impl Reader<BufReader<File>> {
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Reader::new(BufReader::with_capacity(256 * 1024, File::open(path)?))
    }
}

impl<R: BufRead> Reader<R> {
    pub fn new(mut lines: R) -> Result<Self, ReadError> {
        let mut first = String::new();
        if lines.read_line(&mut first)? == 0 {
            return Err(ReadError::Empty);
        }
        let header: Header = serde_json::from_str(&first)
            .map_err(|e| ReadError::Line { line: 1, why: e.to_string() })?;
        if !(OLDEST_VERSION..=VERSION).contains(&header.shardline_history) {
            return Err(ReadError::Version(header.shardline_history));
        }
        Ok(Reader { lines, header, number: 1 })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<(u64, Line), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = String::new();
        self.number += 1;
        match self.lines.read_line(&mut text) {
            Err(error) => Some(Err(error.into())),
            Ok(0) => None,
            Ok(_) if !text.ends_with('\n') => None,
            Ok(_) => Some(match parse(&text) {
                Ok(line) => Ok((self.number, line)),
                Err(e) => Err(ReadError::Line { line: self.number, why: e.to_string() }),
            }),
        }
    }
}

/// In two goes, which is less work than what serde does for a flattened record.
fn parse(text: &str) -> serde_json::Result<Line> {
    #[derive(Deserialize)]
    struct Time {
        t: u64,
    }
    let Time { t } = serde_json::from_str(text)?;
    Ok(Line { t, record: serde_json::from_str(text)? })
}
