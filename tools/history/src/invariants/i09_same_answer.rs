//! I9: however often a message was sent, each acknowledgement says the same.

use crate::history::History;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I9", "a repeat gets the first answer");
    for send in &history.sends {
        let Some(first) = send.first_ack() else { continue };
        for ack in &send.acks {
            if ack.at == first.at {
                continue;
            }
            finding.checked += 1;
            if (ack.seq, ack.ver) == (first.seq, first.ver) {
                continue;
            }
            finding.violated(ack.at.t, || {
                let one =
                    format!("{} as seq {} ver {}", history.place(first.at), first.seq, first.ver);
                let two = format!("{} as seq {} ver {}", history.place(ack.at), ack.seq, ack.ver);
                (
                    format!(
                        "id {} in chat {} was acknowledged twice, differently",
                        send.key.id, send.key.chat
                    ),
                    vec![format!("acked: {one}"), format!("acked: {two}")],
                )
            });
        }
    }
    finding
}
