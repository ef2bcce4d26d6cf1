//! One authenticated connection: who it is, its queue, and what it has open.

pub(crate) mod chain;
pub(crate) mod connection;
pub(crate) mod frames;
mod hello;
pub(crate) mod outgoing;
pub(crate) mod queue;
mod requests;
mod sends;
pub(crate) mod upgrade;
mod writer;

use crate::auth::Principal;
use outgoing::encode;
use parking_lot::Mutex;
use queue::Queue;
use shardline_domain::id::{IdError, UserId};
use shardline_wire::client::{ServerFrame, server_frame::Frame};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) struct Session {
    /// Of this run of the node.
    pub(crate) connection: u64,
    /// The log-in; several connections may share it.
    pub(crate) session: u64,
    pub(crate) user: u64,
    pub(crate) queue: Arc<Queue>,
    /// Chats it has open.
    pub(crate) opened: Mutex<HashSet<u64>>,
    /// Up to when (the hub's time) it was told the heads that moved; 0: never.
    pub(crate) told_at: AtomicU64,
    /// The user's display name, which goes with each message.
    name: Mutex<Arc<str>>,
    is_live: AtomicBool,
}

impl Session {
    pub(crate) fn new(connection: u64, who: Principal, name: &str, queue: Arc<Queue>) -> Session {
        Session {
            connection,
            session: who.session.get(),
            user: who.user.get(),
            queue,
            opened: Mutex::default(),
            told_at: AtomicU64::new(0),
            name: Mutex::new(name.into()),
            is_live: AtomicBool::new(false),
        }
    }

    /// Whether it was welcomed. What is pushed before is dropped: the client has not read anything
    /// yet, and what it will read is newer.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }

    pub(crate) fn go_live(&self) {
        self.is_live.store(true, Ordering::Release);
    }

    pub(crate) fn user(&self) -> Result<UserId, IdError> {
        UserId::new(self.user)
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.name.lock().clone()
    }

    pub(crate) fn set_name(&self, name: &str) {
        *self.name.lock() = name.into();
    }

    pub(crate) fn push_frame(&self, frame: Frame) {
        let frame = ServerFrame { id: None, frame: Some(frame) };
        self.queue.push(encode(&frame, self.queue.encoding()));
    }
}
