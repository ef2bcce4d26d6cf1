//! What a message of a run says: which message it is, and when it was sent, padded to its length.

/// Room for the numbers of any run.
pub const BYTES_MIN: usize = 56;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// Random: tells the messages of this run from older ones of the same chat.
    pub run: u32,
    pub pair: u32,
    /// Dense from 0 per pair.
    pub number: u32,
    /// Microseconds since the run began.
    pub sent_us: u64,
}

impl Label {
    pub fn to_body(self, bytes: usize) -> String {
        let Label { run, pair, number, sent_us } = self;
        let mut body = format!("load {run} {pair} {number} {sent_us} ");
        while body.len() < bytes {
            body.push('.');
        }
        body
    }

    /// None if it is not such a body.
    pub fn of_body(body: &str) -> Option<Label> {
        let mut words = body.strip_prefix("load ")?.split(' ');
        Some(Label {
            run: words.next()?.parse().ok()?,
            pair: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
            sent_us: words.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_back_from_its_body() {
        let label = Label { run: u32::MAX, pair: 9_999, number: u32::MAX, sent_us: 10_u64.pow(12) };
        for bytes in [BYTES_MIN, 100, 16_384] {
            let body = label.to_body(bytes);
            assert_eq!((body.len(), Label::of_body(&body)), (bytes, Some(label)));
        }
        assert_eq!(Label::of_body("hello"), None);
        assert_eq!(Label::of_body("load 1 2 x 4 "), None);
    }
}
