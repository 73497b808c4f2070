//! What handlers answer.

use std::time::Instant;

use plantd_zmtp::Message;

use super::{PartSent, Worker};
use crate::{ErrorCode, Header, Properties, Token, command::FromWorker, planted::Bug};

/// The longest `code` of an error that is sent, in bytes.
const MAX_CODE_BYTES: usize = 128;
/// The longest `message` of an error that is sent, in bytes.
const MAX_MESSAGE_BYTES: usize = 2048;

/// A request that is held.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The broker's id of the request, which answers echo.
    id: u64,
    /// The parts that the client still takes; `None` where it set no window.
    window: Option<u64>,
    /// Whether a part was held back since the window was widened last.
    is_held_back: bool,
}

impl Attempt {
    pub(super) fn new(id: u64, window: Option<u64>) -> Self {
        Self {
            id,
            window,
            is_held_back: false,
        }
    }

    /// Adds to the window; whether somebody waits for that.
    pub(super) fn widen(&mut self, more: u64) -> bool {
        let Some(window) = &mut self.window else {
            return false;
        };
        *window = window.saturating_add(more);
        *window > 0 && std::mem::take(&mut self.is_held_back)
    }
}

impl Worker {
    /// Sends a part of an answer; one of no frames is sent as one empty frame.
    ///
    /// Properties that are over the limit of a header end the request with the error `too-large`.
    pub fn send_partial(
        &mut self,
        token: Token,
        properties: Properties,
        body: Message,
        now: Instant,
    ) -> PartSent {
        let Some(attempt) = self.attempts.get_mut(&token) else {
            self.counts.late_replies += 1;
            return PartSent::Gone;
        };
        let header = Header {
            id: attempt.id,
            properties,
        };
        if header.encoded_bytes() > Header::MAX_BYTES {
            self.refuse_header(token, now);
            return PartSent::Gone;
        }
        match &mut attempt.window {
            Some(0) if !self.planted.has(Bug::WorkerOverrunsWindow) => {
                attempt.is_held_back = true;
                return PartSent::Later(body);
            }
            Some(window) => *window = window.saturating_sub(1),
            None => {}
        }
        let command = FromWorker::Partial {
            token,
            header,
            body: sendable(body),
        };
        self.send(command, now);
        PartSent::Sent
    }

    /// Sends an answer or its last part; one of no frames is sent as one empty frame. Dropped and
    /// counted if nobody waits for it.
    ///
    /// Properties that are over the limit of a header end the request with the error `too-large`.
    pub fn send_final(
        &mut self,
        token: Token,
        properties: Properties,
        body: Message,
        now: Instant,
    ) {
        let Some(attempt) = self.attempts.remove(&token) else {
            self.counts.late_replies += 1;
            return;
        };
        let header = Header {
            id: attempt.id,
            properties,
        };
        if header.encoded_bytes() > Header::MAX_BYTES {
            self.attempts.insert(token, attempt);
            self.refuse_header(token, now);
            return;
        }
        let command = FromWorker::Final {
            token,
            header,
            body: sendable(body),
        };
        self.send(command, now);
        self.leave_if_done(now);
    }

    /// Ends a request without an answer. Dropped and counted if nobody waits for it.
    ///
    /// Of `code` 128 bytes are sent, of `message` 2 KiB. `retryable` lets the broker try another
    /// worker.
    pub fn send_error(
        &mut self,
        token: Token,
        code: &str,
        message: &str,
        retryable: bool,
        now: Instant,
    ) {
        let Some(attempt) = self.attempts.remove(&token) else {
            self.counts.late_replies += 1;
            return;
        };
        self.refuse(token, attempt.id, code, message, retryable, now);
        self.leave_if_done(now);
    }

    fn refuse_header(&mut self, token: Token, now: Instant) {
        let code = ErrorCode::TooLarge.as_str();
        self.send_error(
            token,
            code,
            "the reply's properties are over 4 KiB",
            false,
            now,
        );
    }

    pub(super) fn refuse(
        &mut self,
        token: Token,
        id: u64,
        code: &str,
        message: &str,
        retryable: bool,
        now: Instant,
    ) {
        let properties = Properties::default()
            .with("code", &code[..code.floor_char_boundary(MAX_CODE_BYTES)])
            .with(
                "message",
                &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)],
            )
            .with("retryable", retryable);
        let header = Header { id, properties };
        self.send(FromWorker::Error { token, header }, now);
    }
}

fn sendable(body: Message) -> Message {
    if body.is_empty() {
        Message::from_frames([b""])
    } else {
        body
    }
}
