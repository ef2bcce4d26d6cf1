//! As much of MySQL's protocol as tells which transaction a COMMIT ends: the framing of packets, the
//! texts of statements, and the numbers of prepared ones. Connections are neither encrypted nor
//! compressed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Of a packet, so much is looked at.
const LOOKED_AT: usize = 4_096;

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
/// These are not answered.
const COM_QUIT: u8 = 0x01;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
const COM_STMT_CLOSE: u8 = 0x19;
const OK: u8 = 0x00;

type Text = Arc<[u8]>;

/// One connection, as it is listened to.
#[derive(Default)]
pub(super) struct Tap {
    requests: Packets,
    answers: Packets,
    /// Requests whose answer has not begun.
    pending: VecDeque<Request>,
    prepared: HashMap<[u8; 4], Text>,
    /// Of the transaction that runs.
    statements: Vec<Text>,
    /// The number of the last packet to the client.
    answered: Option<u8>,
}

enum Request {
    Prepare(Text),
    /// With what the transaction did.
    Commit(Vec<Text>),
    Other,
}

impl Tap {
    /// Bytes to the server.
    pub(super) fn request(&mut self, bytes: &[u8]) {
        for Packet { sequence, payload } in self.requests.take(bytes) {
            // Only a command begins anew.
            let (0, Some((command, rest))) = (sequence, payload.split_first()) else { continue };
            let request = match *command {
                COM_QUIT | COM_STMT_SEND_LONG_DATA | COM_STMT_CLOSE => continue,
                COM_STMT_PREPARE => Request::Prepare(rest.into()),
                COM_STMT_EXECUTE => {
                    let known = rest.first_chunk::<4>().and_then(|id| self.prepared.get(id));
                    self.statements.extend(known.cloned());
                    Request::Other
                }
                COM_QUERY if begins(rest, b"COMMIT") => {
                    Request::Commit(std::mem::take(&mut self.statements))
                }
                COM_QUERY => {
                    if begins(rest, b"BEGIN") || begins(rest, b"START TRANSACTION") {
                        self.statements.clear();
                    }
                    self.statements.push(rest.into());
                    Request::Other
                }
                _ => Request::Other,
            };
            self.pending.push_back(request);
        }
    }

    /// Bytes to the client. True: the answer to the COMMIT of a transaction that had the `wanted`
    /// statement is among them.
    pub(super) fn answer(&mut self, bytes: &[u8], wanted: Option<&str>) -> bool {
        let mut lost = false;
        for Packet { sequence, payload } in self.answers.take(bytes) {
            // Of a long answer numbers begin anew after 255.
            let goes_on = self.answered.replace(sequence) == Some(0);
            if sequence != 1 || goes_on {
                continue;
            }
            match self.pending.pop_front() {
                Some(Request::Prepare(text)) => {
                    if let [OK, id @ ..] = &*payload
                        && let Some(id) = id.first_chunk::<4>()
                    {
                        self.prepared.insert(*id, text);
                    }
                }
                Some(Request::Commit(statements)) => {
                    let has = |text: &Text| wanted.is_some_and(|wanted| holds(text, wanted));
                    lost |= statements.iter().any(has);
                }
                Some(Request::Other) | None => {}
            }
        }
        lost
    }
}

fn begins(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

fn holds(text: &[u8], wanted: &str) -> bool {
    text.windows(wanted.len().max(1)).any(|part| part == wanted.as_bytes())
}

struct Packet {
    sequence: u8,
    /// Its beginning.
    payload: Vec<u8>,
}

/// Packets out of a stream that comes in any pieces.
#[derive(Default)]
struct Packets {
    header: Vec<u8>,
    payload: Vec<u8>,
    /// Bytes of the payload that have not come.
    left: usize,
}

impl Packets {
    fn take(&mut self, mut bytes: &[u8]) -> Vec<Packet> {
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            if self.left == 0 {
                let (byte, rest) = (bytes[0], &bytes[1..]);
                self.header.push(byte);
                bytes = rest;
                if let [low, middle, high, _] = self.header[..] {
                    self.left = u32::from_le_bytes([low, middle, high, 0]) as usize;
                } else {
                    continue;
                }
            }
            let here = self.left.min(bytes.len());
            let wanted = here.min(LOOKED_AT.saturating_sub(self.payload.len()));
            self.payload.extend_from_slice(&bytes[..wanted]);
            self.left -= here;
            bytes = &bytes[here..];
            if self.left == 0 {
                let sequence = self.header[3];
                self.header.clear();
                whole.push(Packet { sequence, payload: std::mem::take(&mut self.payload) });
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short one").to_le_bytes();
        [&length[..3], &[sequence], payload].concat()
    }

    fn query(tap: &mut Tap, sql: &str) {
        tap.request(&packet(0, &[&[COM_QUERY], sql.as_bytes()].concat()));
    }

    const WANTED: Option<&str> = Some("UPDATE moves SET phase");

    #[test]
    fn the_commit_of_a_wanted_transaction_is_known_however_it_comes() {
        let mut tap = Tap::default();
        let sql = b"UPDATE moves SET phase = ? WHERE move = ?";
        // Byte by byte; prepared before anybody wants it.
        for byte in packet(0, &[&[COM_STMT_PREPARE], &sql[..]].concat()) {
            tap.request(&[byte]);
        }
        let prepared = packet(1, &[OK, 7, 0, 0, 0, 1, 0]);
        assert!(!tap.answer(&[prepared, packet(2, b"a column")].concat(), None));
        query(&mut tap, "START TRANSACTION");
        assert!(!tap.answer(&packet(1, &[OK]), WANTED));
        tap.request(&packet(0, &[COM_STMT_EXECUTE, 7, 0, 0, 0, 0]));
        assert!(!tap.answer(&packet(1, &[OK]), WANTED));
        // Closing is not answered.
        tap.request(&packet(0, &[COM_STMT_CLOSE, 9, 0, 0, 0]));
        query(&mut tap, "COMMIT");
        assert!(tap.answer(&packet(1, &[OK]), WANTED));
        // The next transaction did nothing of the kind.
        query(&mut tap, "BEGIN; SELECT 1");
        assert!(!tap.answer(&packet(1, &[OK]), WANTED));
        query(&mut tap, "COMMIT");
        assert!(!tap.answer(&packet(1, &[OK]), WANTED));
    }

    #[test]
    fn what_was_rolled_back_or_is_not_wanted_is_no_matter() {
        let mut tap = Tap::default();
        query(&mut tap, "BEGIN");
        query(&mut tap, "UPDATE moves SET phase = 3");
        query(&mut tap, "ROLLBACK");
        query(&mut tap, "BEGIN");
        query(&mut tap, "COMMIT");
        for _ in 0..5 {
            assert!(!tap.answer(&packet(1, &[OK]), WANTED));
        }
        query(&mut tap, "UPDATE moves SET phase = 3");
        query(&mut tap, "COMMIT");
        assert!(!tap.answer(&packet(1, &[OK]), None));
        assert!(!tap.answer(&packet(1, &[OK]), None));
    }

    #[test]
    fn an_answer_of_many_packets_is_one() {
        let mut tap = Tap::default();
        query(&mut tap, "SELECT slot FROM slots");
        query(&mut tap, "UPDATE moves SET phase = 3");
        query(&mut tap, "COMMIT");
        for number in 1..=600_u32 {
            assert!(!tap.answer(&packet(number.to_le_bytes()[0], b"a row"), WANTED));
        }
        assert!(!tap.answer(&packet(1, &[OK]), WANTED));
        assert!(tap.answer(&packet(1, &[OK]), WANTED));
    }

    #[test]
    fn a_packet_that_is_longer_than_what_is_looked_at_ends_where_it_ends() {
        let mut packets = Packets::default();
        let stream = [packet(0, &[1; 10_000]), packet(3, b"next")].concat();
        let found: Vec<(u8, usize)> = stream
            .chunks(777)
            .flat_map(|chunk| packets.take(chunk))
            .map(|packet| (packet.sequence, packet.payload.len()))
            .collect();
        assert_eq!(found, [(0, LOOKED_AT), (3, 4)]);
    }
}
