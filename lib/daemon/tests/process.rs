//! A whole process, from its settings to its exit code: the example `pulse`.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

fn pulse() -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.pop();
    Command::new(path.join("examples/pulse"))
}

fn ends(args: &[&str]) -> Output {
    pulse().args(args).output().expect("cargo test builds the examples")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running one, with its log lines.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    ops: String,
}

impl Running {
    fn start(args: &[&str]) -> Running {
        let mut command = pulse();
        command.args(["--profile", "prod", "--ops-listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the example is built");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let ops = wait_for(&mut lines, "ops server listens");
        let ops = ops.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let ops = ops.expect("the line has the address").to_owned();
        wait_for(&mut lines, "\"started\"");
        Running { child, lines, ops }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.ops).expect("the ops server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket takes it");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        answer
    }

    fn signal(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    fn exit_code(mut self) -> (Option<i32>, String) {
        let rest: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        (self.child.wait().expect("it is ours").code(), rest.join("\n"))
    }
}

/// A test that failed leaves nothing running.
impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(lines: &mut Lines<BufReader<ChildStderr>>, what: &str) -> String {
    lines
        .map_while(Result::ok)
        .find(|line| line.contains(what))
        .unwrap_or_else(|| panic!("it ended without saying {what}"))
}

#[test]
fn every_mistake_in_the_settings_is_printed() {
    let output = ends(&["--panics", "maybe", "--typo", "1"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for mistake in ["every: missing", "panics: `maybe`", "typo: unknown"] {
        assert!(said.contains(mistake), "{mistake} is not in {said}");
    }
}

#[test]
fn help_is_no_failure() {
    let output = ends(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    for key in ["--every", "--ops-listen", "--profile", "--stop-time"] {
        assert!(said.contains(key), "{key} is not in {said}");
    }
}

#[test]
fn a_process_reports_and_stops_when_asked() {
    let running = Running::start(&["--every", "10ms"]);
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(running.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = running.get("/metrics");
    for name in ["shardline_daemon_tasks{task=\"pulse\"} 1", "process_cpu_seconds_total"] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    running.signal();
    let (code, said) = running.exit_code();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn while_it_stops_it_is_not_ready_but_answers() {
    let running = Running::start(&["--every", "10ms", "--stop-delay", "2s"]);
    running.signal();
    // The signal is on its way; the delay is far longer.
    while running.get("/readyz").starts_with("HTTP/1.1 200") {}
    assert!(running.get("/readyz").contains("process: stopping"));
    let (code, said) = running.exit_code();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_panicking_task_ends_the_process_as_a_failure() {
    let (code, said) = Running::start(&["--every", "200ms", "--panics", "true"]).exit_code();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the heart stopped") && said.contains("task pulse panicked"), "{said}");
}

#[test]
fn a_task_that_does_not_stop_is_left_behind_as_a_failure() {
    let running = Running::start(&["--every", "10ms", "--deaf", "true", "--stop-time", "300ms"]);
    running.signal();
    let (code, said) = running.exit_code();
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_failed_start_says_why() {
    let output = ends(&["--every", "1s", "--refuses", "true"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no heart"), "{said}");
}
