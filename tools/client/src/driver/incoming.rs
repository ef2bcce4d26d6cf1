//! What comes: commands of the user, frames of the server, answers to what was asked.

use super::{CHATS_PAGE, Command, Driver, LinkEvent, Waiter};
use crate::connection::Turn;
use crate::error::{CallError, Refused};
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use crate::frames::{Ack, Chats, ClientFrame, CloseChat, ServerFrame, Welcome};
use crate::reconnect::Stop;
use crate::requests::Answer;
use crate::seen::{Seen, State};
use shardline_domain::error::Retry;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

impl Driver {
    pub(super) fn on_command(&mut self, command: Command, now: Instant) {
        let deadline = now + self.options.call_deadline;
        match command {
            Command::Send { send, done } => {
                self.sends.push(send, done, now + self.options.send_deadline);
            }
            Command::Call { call, done } => {
                self.requests.push(call, Waiter::User(done), now, deadline);
            }
            Command::Open { open, done } => {
                let chat = open.chat;
                self.following.want(chat);
                self.requests.push(Call::Open(open), Waiter::Opener { chat, done }, now, deadline);
            }
            Command::Resume { chat, log, ver } => self.following.want_since(chat, log, ver, now),
            Command::Forget { chat } => self.following.forget(chat),
            Command::Stop => self.stop = Some(Stop::Here),
        }
    }

    pub(super) fn on_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Connected(Ok((connection, welcome))) => {
                let mut connection = connection;
                let kept = connection.take_kept();
                self.link.set_up(connection);
                self.on_welcome(&welcome, now);
                for frame in kept {
                    self.on_frame(frame, now);
                }
            }
            LinkEvent::Connected(Err(error)) => self.on_not_connected(error, now),
            LinkEvent::Renewed(result) => self.on_renewed(result, now),
            LinkEvent::Turn(Ok(Turn::Frames(frames))) => {
                for frame in frames {
                    self.on_frame(frame, now);
                }
            }
            LinkEvent::Turn(Ok(Turn::Closed { code, reason })) => self.on_lost(code, &reason, now),
            LinkEvent::Turn(Err(error)) => self.on_lost(None, &error.to_string(), now),
        }
    }

    pub(super) fn on_welcome(&mut self, welcome: &Welcome, now: Instant) {
        self.backoff.reset();
        self.closing = None;
        self.idle = Duration::from_millis(welcome.idle_ms.max(1_000));
        self.idle_check = now + self.idle / 2;
        self.silent_checks = 0;
        self.server_ahead_ms = welcome.server_time_ms - self.own_ms(now);
        let expires_at_ms = self.session.lock().expires_at_ms;
        self.plan_renewal(expires_at_ms, now);
        self.following.on_connected(now);
        if self.following.has_unopened() {
            self.catch_up(None, now);
        }
        self.lists.on_welcome(welcome.list_ver, now);
        let address = self.http.addresses()[self.address].clone();
        self.state.send_replace(State::Connected { address, node: welcome.node.clone() });
    }

    pub(super) fn on_frame(&mut self, frame: ServerFrame, now: Instant) {
        let Some(inner) = frame.frame else { return };
        match (frame.id, inner) {
            (Some(id), inner) => self.on_reply(id, inner, now),
            (None, Frame::Event(event)) => {
                self.seeing(|following, out| following.on_event(event, now, out));
            }
            (None, Frame::Heads(heads)) => {
                self.following.on_heads(&heads.chats, now);
                self.lists.on_head(heads.list_ver, now);
                self.see(Seen::Heads(heads));
            }
            (None, Frame::List(list)) => {
                let mut out = Vec::new();
                self.lists.on_list(list, now, &mut out);
                out.into_iter().for_each(|list| self.see(Seen::List(list)));
            }
            (None, Frame::Signal(signal)) => self.see(Seen::Signal(signal)),
            (None, Frame::Closing(closing)) => self.closing = Some(closing),
            // An error without an id is about nothing that waits here.
            (None, _) => {}
        }
    }

    pub(super) fn on_reply(&mut self, id: u64, frame: Frame, now: Instant) {
        if !self.sends.is_out(id) {
            if let Some(answer) = self.requests.on_frame(id, frame, now) {
                self.on_answer(answer, now);
            }
            return;
        }
        let ended = match frame {
            Frame::Ack(ack) => {
                if let (Some(chat), Some(log), Some(ver)) = (ack.chat, &ack.log, ack.ver) {
                    self.following.on_head(chat, log, ver, now);
                }
                self.sends.on_ack(id, ack)
            }
            Frame::Error(error) => {
                let refused = Refused::from(error);
                if refused.retry != Retry::Never {
                    self.repeats_asked.fetch_add(1, Ordering::Relaxed);
                }
                self.sends.on_error(id, refused, now, rand::random())
            }
            // Not an answer to a send; the deadline will end it.
            _ => None,
        };
        if let Some(ended) = ended {
            // Who no longer waits does not want to know.
            let _ = ended.done.send(ended.outcome);
        }
    }

    pub(super) fn on_answer(&mut self, answer: Answer<Waiter>, now: Instant) {
        let retry = self.options.timing.reconnect_max;
        match (answer.done, answer.outcome) {
            (Waiter::User(done), outcome) => {
                let _ = done.send(outcome);
            }
            (Waiter::Opener { chat, done }, outcome) => {
                match &outcome {
                    Ok(Frame::Opened(opened)) => {
                        self.seeing(|following, out| following.on_page(opened, now, out));
                    }
                    _ => self.following.forget(chat),
                }
                let _ = done.send(outcome);
            }
            (Waiter::Follow { chat, passing }, Ok(Frame::Opened(opened))) => {
                self.seeing(|following, out| following.on_opened(opened, now, out));
                if passing && let Some(connection) = self.link.up() {
                    let call = Some(Call::CloseChat(CloseChat { chat }));
                    connection.queue(ClientFrame { id: None, call });
                }
            }
            // No longer a member, or it ended: nothing more to follow.
            (Waiter::Follow { chat, .. }, Err(CallError::Refused(_))) => {
                self.following.forget(chat);
            }
            (Waiter::Follow { chat, .. }, _) => self.following.on_failed(chat, now, retry),
            (Waiter::Lists, Ok(Frame::Chats(page))) => {
                let mut out = Vec::new();
                self.lists.on_page(&page, now, &mut out);
                self.see(Seen::Lists(Box::new(page)));
                out.into_iter().for_each(|list| self.see(Seen::List(list)));
            }
            (Waiter::Lists, _) => self.lists.on_failed(now, retry),
            (Waiter::CatchUp, Ok(Frame::Chats(page))) => {
                for item in &page.items {
                    self.following.on_head(item.chat, &item.log, item.head_ver, now);
                }
                if page.next_cursor.is_some() {
                    self.catch_up(page.next_cursor, now);
                }
            }
            (Waiter::Renewal, Ok(Frame::Ack(Ack { expires_at_ms: Some(expires), .. }))) => {
                self.plan_renewal(expires, now);
            }
            // The heads beacon, or the server's close, will say the same.
            (Waiter::CatchUp | Waiter::Renewal | Waiter::Nobody, _) => {}
        }
    }

    pub(super) fn catch_up(&mut self, cursor: Option<String>, now: Instant) {
        let chats = Chats { limit: Some(CHATS_PAGE), cursor, since_list_ver: None };
        let deadline = now + self.options.call_deadline;
        self.requests.push(Call::Chats(chats), Waiter::CatchUp, now, deadline);
    }
}
