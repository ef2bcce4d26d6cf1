//! The answers to one stream's calls, on their way back, on the serving side.

use super::keeper::LINK_BOUND;
use super::outbox::{NotTaken, Outbox};
use super::pending::reply;
use crate::call::{Done, Outcome};
use crate::internal::Reply;
use crate::refusal::Refusal;
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// When to ask again for an answer that found no room.
const RETRY_AFTER_MS: u64 = 500;

/// Bounded like the calls. A caller that does not read its answers gets refusals in place of the large
/// ones: a read was in vain, a write is unknown to it. One that has no room even for these counts what
/// it asked as unknown after its own answer time.
pub(super) struct Answers(Outbox<Reply>);

impl Answers {
    pub(super) fn new() -> Arc<Answers> {
        Arc::new(Answers(Outbox::new(LINK_BOUND)))
    }

    /// Where the answer to call `id` goes.
    pub(super) fn to(self: &Arc<Answers>, id: u64, is_read: bool) -> Done {
        let answers = self.clone();
        Done::new(move |outcome| answers.put(id, is_read, outcome))
    }

    fn put(&self, id: u64, is_read: bool, outcome: Outcome) {
        let answer = reply(id, outcome);
        let size = answer.encoded_len();
        let Err(NotTaken(_)) = self.0.put(answer, size) else { return };
        let message = "the answer found no room on its stream";
        let refusal = match is_read {
            true => Refusal::try_again(message, RETRY_AFTER_MS),
            false => Refusal::unknown(message),
        };
        let refusal = reply(id, Err(refusal));
        let size = refusal.encoded_len();
        // No place at all: as the type says.
        drop(self.0.put_small(refusal, size));
    }

    pub(super) async fn write_to<B>(
        &self,
        batches: &Sender<B>,
        batch_of: impl Fn(Vec<Reply>) -> B,
    ) {
        self.0.write_to(batches, batch_of).await;
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::internal::{NameView, NamesPage, reply::Answer};
    use crate::refusal::Code;
    use shardline_domain::limits::IN_FLIGHT_BYTES_PER_LINK_MAX;

    fn page(bytes: usize) -> Outcome {
        let name = NameView { name: "n".repeat(bytes), user: 1 };
        Ok(Answer::Names(NamesPage { names: vec![name] }))
    }

    fn code(reply: &Reply) -> Option<Code> {
        match &reply.answer {
            Some(Answer::Refusal(refusal)) => Some(refusal.code()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_become_refusals() {
        let answers = Answers::new();
        let half = IN_FLIGHT_BYTES_PER_LINK_MAX / 2;
        answers.to(1, true).finish(page(half - 200));
        answers.to(2, true).finish(page(half - 200));
        answers.to(3, true).finish(page(1_000));
        answers.to(4, false).finish(page(1_000));
        answers.to(5, true).finish(page(10));
        answers.close();
        let (batches, mut written) = tokio::sync::mpsc::channel(16);
        answers.write_to(&batches, |replies| replies).await;
        drop(batches);
        let mut told = Vec::new();
        while let Some(replies) = written.recv().await {
            told.extend(replies.iter().map(|reply| (reply.id, code(reply))));
        }
        let refused = [(3, Some(Code::TryAgain)), (4, Some(Code::Unknown))];
        assert_eq!(told, [&[(1, None), (2, None)], &refused[..], &[(5, None)]].concat());
    }
}
