//! How things look in a terminal. Whatever people wrote is made harmless first: no control characters,
//! so no escape sequences.

use shardline_client::frames::{ChatItem, Message};

const DAY_MS: i64 = 24 * 3600 * 1000;
const PREVIEW_CHARS: usize = 40;

/// Minutes east of Greenwich, and what colours are allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) offset_minutes: i64,
    pub(crate) colours: bool,
}

impl Style {
    /// `12:03`; with the date if it is not `today_of` another time.
    pub(crate) fn time(&self, at_ms: i64, today_of_ms: i64) -> String {
        let local = |ms: i64| ms + self.offset_minutes * 60_000;
        let (day, today) = (local(at_ms).div_euclid(DAY_MS), local(today_of_ms).div_euclid(DAY_MS));
        let minutes = local(at_ms).rem_euclid(DAY_MS) / 60_000;
        let clock = format!("{:02}:{:02}", minutes / 60, minutes % 60);
        if day == today {
            return clock;
        }
        let (year, month, day) = date(day);
        format!("{year}-{month:02}-{day:02} {clock}")
    }

    pub(crate) fn message(&self, message: &Message, now_ms: i64) -> String {
        let time = self.time(message.sent_at_ms, now_ms);
        let head = self.faint(&format!("{time} #{}", message.seq));
        let name = self.strong(&harmless(&message.sender_name));
        let Some(body) = &message.body else {
            return format!("{head} {name}: {}", self.faint("(deleted)"));
        };
        let edited =
            if message.edited_at_ms.is_some() { self.faint(" (edited)") } else { String::new() };
        let text = harmless(&body.text).replace('\n', "\n    ");
        format!("{head} {name}: {text}{edited}")
    }

    /// A line of the chat list.
    pub(crate) fn chat(&self, number: usize, item: &ChatItem, unread: u64, now_ms: i64) -> String {
        let unread = match unread {
            0 => String::new(),
            count => self.strong(&format!("{count} unread")),
        };
        let last = item.last_message.as_ref().map_or(String::new(), |message| {
            let time = self.time(message.sent_at_ms, now_ms);
            let text = message.body.as_ref().map_or("(deleted)", |body| body.text.as_str());
            self.faint(&format!("{time} {}", preview(text)))
        });
        format!("{number:>3}  {:<20} {unread:<10} {last}", title(item))
    }

    pub(crate) fn notice(&self, text: &str) -> String {
        self.faint(&format!("- {text}"))
    }

    fn faint(&self, text: &str) -> String {
        if self.colours { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn strong(&self, text: &str) -> String {
        if self.colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A chat's name for people.
pub(crate) fn title(item: &ChatItem) -> String {
    match &item.peer {
        Some(peer) if item.kind == "direct" => harmless(&peer.name),
        _ if item.title.is_empty() => format!("chat {}", item.chat),
        _ => format!("{} ({})", harmless(&item.title), item.members_count),
    }
}

pub(crate) fn preview(text: &str) -> String {
    let text = harmless(text).replace('\n', " ");
    if text.chars().count() <= PREVIEW_CHARS {
        return text;
    }
    text.chars().take(PREVIEW_CHARS - 1).chain(['…']).collect()
}

/// Line ends stay; other control characters, and those that turn the writing direction, are replaced.
pub(crate) fn harmless(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// (year, month, day) of a day counted from 1970-01-01, in the calendar that most people use.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that begin in March: the leap day is the last one. An era is 400 of them.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_client::frames::Body;

    const PLAIN: Style = Style { offset_minutes: 120, colours: false };

    #[test]
    fn a_day_has_its_date() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_088), (2024, 12, 31));
    }

    #[test]
    fn a_time_is_local_and_has_its_date_if_it_is_not_today() {
        let noon = 12 * 3_600_000;
        assert_eq!(PLAIN.time(noon, noon), "14:00");
        assert_eq!(PLAIN.time(noon, noon + DAY_MS), "1970-01-01 14:00");
        // Late in the evening in Greenwich it is tomorrow here.
        assert_eq!(PLAIN.time(23 * 3_600_000, noon), "1970-01-02 01:00");
    }

    #[test]
    fn what_people_wrote_cannot_steer_the_terminal() {
        let message = Message {
            seq: 4,
            sender_name: "eve\x1b[31m".to_owned(),
            body: Some(Body { text: "one\x07\ntwo\u{202e}".to_owned() }),
            ..Message::default()
        };
        let shown = PLAIN.message(&message, 0);
        assert_eq!(shown, "02:00 #4 eve\u{fffd}[31m: one\u{fffd}\n    two\u{fffd}");
        assert_eq!(preview(&"é".repeat(50)).chars().count(), PREVIEW_CHARS);
    }
}
