//! Records while clients run: a caller pays for a lock and a push; a thread of its own writes, or, of a
//! recording in memory, nobody.

use crate::record::{Header, Line, Record, VERSION};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records not written yet. Beyond, `record` waits for the disk: a history with holes proves nothing.
const WAITING_MAX: usize = 65_536;
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Cheap to clone; all clones record into one file.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Somebody waits for room, or the thread for records.
    changed: Condvar,
    began: Instant,
    /// Of a recording in memory, which may be as long as it likes.
    header: Option<Header>,
}

struct State {
    waiting: Vec<Line>,
    ending: bool,
    failed: Option<io::Error>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `began_at_ms` is the wall clock now, for display.
    pub fn create(path: &Path, process: &str, began_at_ms: i64) -> io::Result<Writer> {
        let mut file = BufWriter::with_capacity(256 * 1024, File::create(path)?);
        let header =
            Header { shardline_history: VERSION, process: process.to_owned(), began_at_ms };
        write_line(&mut file, &header)?;
        let shared = Arc::new(Shared::begin(None));
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.write_all(file)
        })?;
        shared.lock().thread = Some(thread);
        Ok(Writer { shared })
    }

    /// For a simulation: nothing is written anywhere, and no thread runs beside it.
    pub fn in_memory(process: &str) -> Writer {
        let header =
            Header { shardline_history: VERSION, process: process.to_owned(), began_at_ms: 0 };
        Writer { shared: Arc::new(Shared::begin(Some(header))) }
    }

    /// A recording in memory as a file of it would be; None of one that is written to a file.
    pub fn text(&self) -> Option<Vec<u8>> {
        let header = self.shared.header.as_ref()?;
        let mut text = Vec::new();
        let written = write_line(&mut text, header).and_then(|()| {
            let state = self.shared.lock();
            state.waiting.iter().try_for_each(|line| write_line(&mut text, line))
        });
        written.ok().map(|()| text)
    }

    /// Stamps the record with the time now. Never fails: `finish` tells.
    pub fn record(&self, record: Record) {
        let mut state = self.shared.lock();
        let to_file = self.shared.header.is_none();
        while to_file && WAITING_MAX <= state.waiting.len() && state.failed.is_none() {
            state = self.shared.wait(state, WRITE_EVERY);
        }
        if state.failed.is_none() && !state.ending {
            let t = u64::try_from(self.shared.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            state.waiting.push(Line { t, record });
            if state.waiting.len() == WAITING_MAX / 2 {
                self.shared.changed.notify_all();
            }
        }
    }

    /// Ends the recording; an error means that it is not whole. Later records are dropped.
    pub fn finish(self) -> io::Result<()> {
        self.record(Record::End);
        let thread = {
            let mut state = self.shared.lock();
            state.ending = true;
            self.shared.changed.notify_all();
            state.thread.take()
        };
        if let Some(thread) = thread {
            thread.join().map_err(|_| io::Error::other("the history's thread panicked"))?;
        }
        match self.shared.lock().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn begin(header: Option<Header>) -> Shared {
        let state =
            State { waiting: Vec::with_capacity(1024), ending: false, failed: None, thread: None };
        // The judge depends on nothing of ours, and records real time.
        #[allow(clippy::disallowed_methods)]
        let began = Instant::now();
        Shared { state: Mutex::new(state), changed: Condvar::new(), began, header }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        match self.changed.wait_timeout(state, time) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    fn write_all(&self, mut file: BufWriter<File>) {
        let mut lines = Vec::new();
        loop {
            let ending = {
                let mut state = self.lock();
                // Not at once: a batch costs little more than a line.
                if state.waiting.len() < WAITING_MAX / 2 && !state.ending {
                    state = self.wait(state, WRITE_EVERY);
                }
                std::mem::swap(&mut lines, &mut state.waiting);
                state.ending
            };
            self.changed.notify_all();
            let mut written = lines.drain(..).try_for_each(|line| write_line(&mut file, &line));
            if written.is_ok() && ending {
                written = file.flush();
            }
            if let Err(error) = written {
                self.lock().failed = Some(error);
                self.changed.notify_all();
                return;
            }
            if ending {
                return;
            }
        }
    }
}

fn write_line(file: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}
