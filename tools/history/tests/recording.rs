//! A recording written by many threads and read back; and the checker as it is called.

use shardline_history::{History, Line, MsgId, Reader, Record, SeenMessage, Writer, invariants};
use std::path::Path;
use std::process::Command;

fn send(user: u64, id: u128) -> Record {
    Record::Send { client: 1, user, chat: u64::MAX >> 1, id: MsgId(id), body: "é\"\n".to_owned() }
}

#[test]
fn what_many_threads_record_is_read_back_whole_and_in_each_ones_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let writer = Writer::create(&path, "test", 1).expect("created");
    std::thread::scope(|scope| {
        for user in 1..=4 {
            let writer = writer.clone();
            scope.spawn(move || (0..50_000).for_each(|id| writer.record(send(user, id))));
        }
    });
    writer.finish().expect("finished");
    let reader = Reader::open(&path).expect("a recording");
    assert_eq!(reader.header.process, "test");
    let lines: Vec<Line> = reader.map(|line| line.expect("a line").1).collect();
    assert_eq!(lines.len(), 200_001);
    assert!(lines.is_sorted_by_key(|line| line.t), "one clock");
    assert_eq!(lines[200_000].record, Record::End);
    let mut next = [0; 5];
    for line in &lines[..200_000] {
        let Record::Send { user, id, .. } = &line.record else { panic!("{line:?}") };
        let next = &mut next[usize::try_from(*user).expect("small")];
        assert_eq!(line.record, send(*user, *next), "{id}");
        *next += 1;
    }
}

fn check(path: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_history"))
        .arg("check")
        .arg(path)
        .output()
        .expect("the checker runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_checker_says_right_wrong_or_not_known_by_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let (chat, id, sender) = (7, MsgId(1), 5);
    let record = |lost: bool, whole: bool| {
        let writer = Writer::create(&path, "test", 1).expect("created");
        let body = "hi".to_owned();
        writer.record(Record::Send { client: 1, user: sender, chat, id, body: body.clone() });
        let (seq, ver) = (1, 1);
        let duplicate = false;
        let log = "9".to_owned();
        writer.record(Record::Acked {
            client: 1,
            user: sender,
            chat,
            id,
            seq,
            ver,
            duplicate,
            log,
        });
        if whole {
            let head = if lost { 0 } else { 1 };
            let log = "9".to_owned();
            writer.record(Record::Final { chat, log, head_seq: head, head_ver: head });
            if !lost {
                let body = Some(body);
                let message = SeenMessage { seq, ver, changed_ver: ver, sender, id, body };
                writer.record(Record::Stored { chat, message });
            }
        }
        writer.finish().expect("finished");
        check(&path)
    };
    assert_eq!(record(false, true).0, Some(0));
    assert_eq!(record(false, false).0, Some(2));
    let (code, said) = record(true, true);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("an acknowledged message is lost"), "{said}");
    std::fs::write(&path, "not a history\n").expect("written");
    assert_eq!(check(&path).0, Some(66));
}

#[test]
fn a_line_cut_off_by_a_kill_is_left_out_and_named_as_a_hole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let writer = Writer::create(&path, "test", 1).expect("created");
    writer.record(send(1, 1));
    writer.finish().expect("finished");
    let text = std::fs::read_to_string(&path).expect("text");
    let cut = text.len() - 5;
    let reader = Reader::new(&text.as_bytes()[..cut]).expect("a header");
    let mut history = History::default();
    history.read("cut", reader).expect("read");
    assert_eq!(history.sends.len(), 1);
    assert!(!invariants::check(&history).holds());
}

/// As text, judged.
fn judged(text: &str) -> (History, shardline_history::Verdict) {
    let mut history = History::default();
    history.read("text", Reader::new(text.as_bytes()).expect("a header")).expect("read");
    let verdict = invariants::check(&history);
    (history, verdict)
}

#[test]
fn a_recording_of_the_first_version_is_still_read() {
    let (id, header) =
        ("0".repeat(31) + "1", r#"{"shardline_history":1,"process":"load","began_at_ms":0}"#);
    let lines = [
        r#"{"t":0,"is":"base","chat":"7","log":"9","seq":0,"ver":2}"#.to_owned(),
        r#"{"t":1,"is":"follows","client":2,"chat":"7","log":"9","ver":2}"#.to_owned(),
        format!(
            r#"{{"t":2,"is":"send","client":1,"user":"5","chat":"7","id":"{id}","body":"hi"}}"#
        ),
        format!(
            r#"{{"t":3,"is":"acked","client":1,"user":"5","chat":"7","id":"{id}","seq":1,"ver":3,"duplicate":false}}"#
        ),
        format!(
            r#"{{"t":4,"is":"saw","client":2,"chat":"7","ver":3,"kind":"message","message":{{"seq":1,"ver":3,"changed_ver":3,"sender":"5","id":"{id}","body":"hi"}}}}"#
        ),
        r#"{"t":5,"is":"final","chat":"7","log":"9","head_seq":1,"head_ver":3}"#.to_owned(),
        format!(
            r#"{{"t":6,"is":"stored","chat":"7","message":{{"seq":1,"ver":3,"changed_ver":3,"sender":"5","id":"{id}","body":"hi"}}}}"#
        ),
        r#"{"t":7,"is":"end"}"#.to_owned(),
    ];
    let text = format!("{header}\n{}\n", lines.join("\n"));
    let (history, verdict) = judged(&text);
    assert_eq!((history.sends.len(), history.records), (1, 8));
    assert!(verdict.holds(), "{verdict}");
    // What nothing is known of was not tried, and the same without the log is the same.
    let tried = |name: &str| {
        let of = verdict.findings.iter().find(|finding| finding.invariant == name);
        of.map(|finding| finding.checked)
    };
    assert_eq!((tried("I6"), tried("I10"), tried("I19")), (Some(3), Some(0), Some(0)));
    let newer = text.replace(r#"history":1"#, r#"history":3"#);
    let refused = Reader::new(newer.as_bytes()).err().expect("not readable").to_string();
    assert_eq!(refused, "version 3 of the format is not known, only 1 to 2");
}

#[test]
fn an_answer_without_its_call_is_a_hole() {
    let header = r#"{"shardline_history":2,"process":"load","began_at_ms":0}"#;
    let call =
        |name: &str, more: &str| format!(r#"{{"t":0,"is":"{name}","client":1,"call":1{more}}}"#);
    let marking = call("marking", r#","user":"5","chat":"7","seq":3"#);
    let marked = call("marked", r#","read_seq":3"#);
    let whole =
        |lines: &[&str]| format!("{header}\n{}\n{}\n", lines.join("\n"), r#"{"t":0,"is":"end"}"#);
    assert!(judged(&whole(&[&marking, &marked])).1.holds());
    let changed = call("change_acked", r#","ver":3"#);
    for lines in [&[marked.as_str()][..], &[&marking, &changed], &[&marking, &marking]] {
        let (_, verdict) = judged(&whole(lines));
        assert_eq!(verdict.holes.len(), 1, "{verdict}");
    }
}
