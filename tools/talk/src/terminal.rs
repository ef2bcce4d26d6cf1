//! Lines in, lines out. In a terminal with line editing, where output comes while somebody types; else
//! plain standard input and output.
//!
//! A thread of its own reads, because reading blocks. It reads the next line only when asked, so that
//! the prompt is the one of that moment.

use crate::show::Style;
use anyhow::Result;
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Editor, ExternalPrinter, Helper};
use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;

/// One question is asked at a time.
const WAITING_MAX: usize = 1;

pub(crate) struct Terminal {
    asks: blocking::SyncSender<Ask>,
    lines: mpsc::Receiver<String>,
    print: Box<dyn FnMut(String) + Send>,
    pub(crate) style: Style,
    pub(crate) interactive: bool,
}

struct Ask {
    prompt: String,
    secret: bool,
}

impl Terminal {
    pub(crate) fn start() -> Result<Terminal> {
        let (asks, asked) = blocking::sync_channel(WAITING_MAX);
        let (answers, lines) = mpsc::channel(WAITING_MAX);
        let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
        let print: Box<dyn FnMut(String) + Send> = if interactive {
            let mut editor: Editor<Masking, MemHistory> =
                Editor::with_history(rustyline::Config::default(), MemHistory::new())?;
            editor.set_helper(Some(Masking { secret: false }));
            let mut printer = editor.create_external_printer()?;
            std::thread::spawn(move || edit_lines(editor, &asked, &answers));
            Box::new(move |text| {
                // A terminal that is gone is noticed by who reads from it.
                let _ = printer.print(text);
            })
        } else {
            std::thread::spawn(move || read_lines(&asked, &answers));
            Box::new(|text| {
                let mut out = io::stdout();
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            })
        };
        let style = Style { offset_minutes: offset_minutes(), colours: interactive };
        Ok(Terminal { asks, lines, print, style, interactive })
    }

    /// Asks for the next line; it comes from `next`.
    pub(crate) fn ask(&mut self, prompt: &str) {
        self.put(prompt, false);
    }

    /// A question and its answer; None at the end of the input.
    pub(crate) async fn question(&mut self, prompt: &str) -> Option<String> {
        self.put(prompt, false);
        self.next().await
    }

    /// The same, and what is typed is not shown.
    pub(crate) async fn secret(&mut self, prompt: &str) -> Option<String> {
        self.put(prompt, true);
        self.next().await
    }

    /// The line asked for; None at the end of the input. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    pub(crate) fn print(&mut self, text: &str) {
        (self.print)(format!("{text}\n"));
    }

    pub(crate) fn notice(&mut self, text: &str) {
        let line = self.style.notice(text);
        self.print(&line);
    }

    fn put(&mut self, prompt: &str, secret: bool) {
        // A reader that is gone has ended the lines, too.
        let _ = self.asks.try_send(Ask { prompt: prompt.to_owned(), secret });
    }
}

fn edit_lines(
    mut editor: Editor<Masking, MemHistory>,
    asked: &blocking::Receiver<Ask>,
    answers: &mpsc::Sender<String>,
) {
    while let Ok(Ask { prompt, secret }) = asked.recv() {
        if let Some(helper) = editor.helper_mut() {
            helper.secret = secret;
        }
        editor.set_color_mode(if secret { ColorMode::Forced } else { ColorMode::Enabled });
        let line = loop {
            match editor.readline(&prompt) {
                Ok(line) => break line,
                // As in most programs of this kind: a line is dropped, an empty one ends.
                Err(ReadlineError::Signal(_)) => {}
                Err(_) => return,
            }
        };
        if !secret {
            // Only a convenience.
            let _ = editor.add_history_entry(line.as_str());
        }
        if answers.blocking_send(line).is_err() {
            return;
        }
    }
}

fn read_lines(asked: &blocking::Receiver<Ask>, answers: &mpsc::Sender<String>) {
    let mut lines = io::stdin().lock().lines();
    while asked.recv().is_ok() {
        let Some(Ok(line)) = lines.next() else { return };
        if answers.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Shows stars for what is typed, where asked to.
struct Masking {
    secret: bool,
}

impl Highlighter for Masking {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.secret { Cow::Owned("*".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.secret
    }
}

impl Completer for Masking {
    type Candidate = String;
}

impl Hinter for Masking {
    type Hint = String;
}

impl Validator for Masking {}

impl Helper for Masking {}

/// As the system's `date` says; without it, Greenwich.
fn offset_minutes() -> i64 {
    let said = Command::new("date").arg("+%z").output().ok();
    said.and_then(|output| parse_offset(String::from_utf8(output.stdout).ok()?.trim())).unwrap_or(0)
}

/// `+0530`
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_date_writes_it() {
        for (text, expected) in [
            ("+0000", Some(0)),
            ("+0530", Some(330)),
            ("-0800", Some(-480)),
            ("UTC", None),
            ("", None),
        ] {
            assert_eq!(parse_offset(text), expected, "{text}");
        }
    }
}
