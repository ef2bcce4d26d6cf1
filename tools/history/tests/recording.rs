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
        writer.record(Record::Acked { client: 1, user: sender, chat, id, seq, ver, duplicate });
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
