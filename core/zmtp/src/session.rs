//! One connection's protocol as a value: bytes and time in, events and bytes out.

mod command;
mod config;
mod decoder;
mod greeting;
mod liveness;
mod mechanism;
mod metadata;
mod socket_type;
mod violation;

use std::{mem, sync::Arc, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};

use self::{
    command::Command,
    decoder::{Decoded, Decoder},
    greeting::GREETING_BYTES,
    liveness::{Call, Liveness},
    mechanism::Handshake,
    metadata::Metadata,
};
pub use self::{
    config::{Handover, Heartbeat, Identity, IdentityTooLong, Limits, SessionConfig, Side},
    greeting::Version,
    mechanism::Mechanism,
    socket_type::SocketType,
    violation::Violation,
};
use crate::{Message, Run, incoming::Incoming};

/// PONGs are dropped while more than this waits to be sent: who does not read needs no answer.
const TRANSMIT_BYTES: usize = 4096;

/// What a peer said of itself in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The version in its greeting.
    pub version: Version,
    /// The type of its socket, which is one that ours may talk to.
    pub socket_type: SocketType,
    /// Its identity, for display.
    pub identity: Identity,
}

/// What a peer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done; messages may be sent. Comes once, before all others.
    Ready(Peer),
    /// A whole message.
    Message(Message),
    /// Whole messages that came one after the other; only with [`Handover::Runs`].
    Run(Run),
    /// A change of its subscriptions, as a command or as a message; only for PUB and XPUB.
    Subscription(Subscription),
    /// The answer to [`Session::encode_mark`]: the peer has read all that was sent before it.
    Marked(u64),
    /// A command that is not known, or has no meaning for this type of socket, was skipped.
    Ignored,
}

/// A change of a peer's subscriptions. They count: "Subscribing to "A" and "A" counts as two
/// subscriptions, and would require two CANCEL commands to undo."
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// One more of this topic, at most [`Limits::command_bytes`] long.
    Subscribe(Bytes),
    /// One less of this topic, whether or not there is one.
    Cancel(Bytes),
}

/// One connection's protocol, without its socket and clock.
///
/// - **Input**: [`handle_received`](Self::handle_received) when bytes were added to an
///   [`Incoming`], then [`decode`](Self::decode) until it gives `None`;
///   [`handle_timeout`](Self::handle_timeout) when the time of `poll_timeout` has come;
///   [`handle_reading`](Self::handle_reading) when the owner stops or resumes reading.
/// - **Output**: [`poll_transmit`](Self::poll_transmit) and [`poll_timeout`](Self::poll_timeout),
///   after any input.
///
/// After an error nothing more may be decoded: what `poll_transmit` still gives is to be sent, and
/// the connection closed.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    phase: Phase,
    liveness: Liveness,
    out: BytesMut,
    started: Instant,
}

#[derive(Debug)]
enum Phase {
    Greeting,
    Handshake {
        handshake: Handshake,
        version: Version,
        limit_bytes: usize,
    },
    Traffic {
        version: Version,
        decoder: Decoder,
        progress: Progress,
    },
}

/// Whether a message that is not complete goes on.
#[derive(Debug, Default)]
struct Progress {
    unfinished_bytes: usize,
    at: Option<Instant>,
    /// Nothing is read, so that nothing can be seen to go on.
    suspended: bool,
}

impl Session {
    /// Begins a session, with this side's greeting to be sent.
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        Self {
            phase: Phase::Greeting,
            liveness: Liveness::new(config.heartbeat, now),
            out: BytesMut::from(&greeting::encode(config.mechanism)[..]),
            started: now,
            config,
        }
    }

    /// Notes that the peer was heard: bytes of its were added to what is to be decoded.
    pub fn handle_received(&mut self, now: Instant) {
        self.liveness.handle_received(now);
    }

    /// Notes that the owner stops or resumes reading. Meanwhile the peer cannot be heard, and no
    /// deadline for hearing it passes; it gets a sign of life at each interval instead of answers.
    pub fn handle_reading(&mut self, reading: bool, now: Instant) {
        self.liveness.handle_reading(reading, now);
        if let Phase::Traffic { progress, .. } = &mut self.phase {
            progress.handle_reading(reading, now);
        }
    }

    /// Takes the next event from what was received; `None` when that needs more bytes.
    ///
    /// # Errors
    /// What the peer did against the protocol or beyond the limits.
    pub fn decode(&mut self, incoming: &mut Incoming) -> Result<Option<Event>, Violation> {
        loop {
            match &mut self.phase {
                Phase::Greeting => {
                    let Some(version) = greeting::parse(incoming.bytes(), self.config.mechanism)?
                    else {
                        return Ok(None);
                    };
                    incoming.advance(GREETING_BYTES);
                    self.phase = Phase::Handshake {
                        handshake: Handshake::begin(&self.config, &mut self.out),
                        version,
                        limit_bytes: self
                            .config
                            .limits
                            .handshake_bytes
                            .saturating_sub(GREETING_BYTES),
                    };
                }
                Phase::Handshake {
                    handshake,
                    version,
                    limit_bytes,
                } => {
                    let Some(body) = decoder::next_handshake_command(incoming, *limit_bytes)?
                    else {
                        return Ok(None);
                    };
                    let metadata = handshake.handle_command(Command::parse(&body)?)?;
                    let peer = accept(&self.config, *version, metadata, &mut self.out)?;
                    handshake.accept(&self.config, &mut self.out);
                    self.liveness.handle_ready(version.knows_commands());
                    self.phase = Phase::Traffic {
                        version: *version,
                        decoder: Decoder::default(),
                        progress: Progress::default(),
                    };
                    return Ok(Some(Event::Ready(peer)));
                }
                Phase::Traffic {
                    decoder, progress, ..
                } => {
                    let limits = &self.config.limits;
                    let decoded = match self.config.units() {
                        Handover::Messages => decoder.next(incoming, limits)?,
                        Handover::Runs => decoder.next_run(incoming, limits)?,
                    };
                    match decoded {
                        None => {
                            progress.update(
                                decoder.unfinished_bytes(incoming),
                                self.liveness.last_heard(),
                            );
                            return Ok(None);
                        }
                        Some(Decoded::Message(message)) => {
                            progress.finish();
                            return self.message_event(message).map(Some);
                        }
                        Some(Decoded::Run(run)) => {
                            progress.finish();
                            return Ok(Some(Event::Run(run)));
                        }
                        Some(Decoded::Command(body)) => {
                            if let Some(event) = self.handle_command(&body)? {
                                return Ok(Some(event));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Takes what is to be sent: it belongs between two messages, not inside one.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| mem::take(&mut self.out).freeze())
    }

    /// Whether there is something for [`poll_transmit`](Self::poll_transmit) to give.
    pub fn has_transmit(&self) -> bool {
        !self.out.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. It is at times earlier than anything
    /// there is to do, and never too late: hearing the peer moves no timer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Greeting | Phase::Handshake { .. } => {
                Some(self.started + self.config.handshake_timeout)
            }
            Phase::Traffic { progress, .. } => {
                let stalled = progress.at().map(|at| at + self.config.message_timeout);
                let silent = self.liveness.poll_timeout();
                silent.into_iter().chain(stalled).min()
            }
        }
    }

    /// Does what is due. `outbox_is_empty` says whether everything that the peer was sent is
    /// written; while it is not, silence is no reason to close.
    ///
    /// # Errors
    /// What the peer did not do in time.
    pub fn handle_timeout(&mut self, now: Instant, outbox_is_empty: bool) -> Result<(), Violation> {
        match &self.phase {
            Phase::Greeting | Phase::Handshake { .. } => {
                if now >= self.started + self.config.handshake_timeout {
                    return Err(Violation::HandshakeTimeout);
                }
            }
            Phase::Traffic { progress, .. } => {
                if progress
                    .at()
                    .is_some_and(|at| now >= at + self.config.message_timeout)
                {
                    return Err(Violation::StalledMessage);
                }
                match self.liveness.handle_timeout(now, outbox_is_empty)? {
                    Call::Nothing => {}
                    Call::Ping => command::put_ping(&mut self.out),
                    Call::Pong => command::put_pong(&mut self.out, &[]),
                }
            }
        }
        Ok(())
    }

    /// Whether the handshake is done and messages may be sent.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Traffic { .. })
    }

    /// A PING that the peer answers, after it has read all that is sent before, with
    /// [`Event::Marked`]; `None` before the handshake is done, and for a peer of ZMTP 3.0, which
    /// knows no PING.
    pub fn encode_mark(&self, mark: u64) -> Option<Bytes> {
        if !self.peer_knows_commands() {
            return None;
        }
        let mut out = BytesMut::new();
        command::put_mark(&mut out, mark);
        Some(out.freeze())
    }

    /// Changes of this side's subscriptions, as commands, or for a peer of ZMTP 3.0 as messages.
    pub fn encode_subscriptions(&self, changes: &[Subscription]) -> Bytes {
        let as_commands = self.peer_knows_commands();
        let mut out = BytesMut::new();
        for change in changes {
            match change {
                Subscription::Subscribe(topic) if as_commands => {
                    command::put_subscribe(&mut out, topic);
                }
                Subscription::Cancel(topic) if as_commands => {
                    command::put_cancel(&mut out, topic);
                }
                Subscription::Subscribe(topic) => put_subscription_message(&mut out, 1, topic),
                Subscription::Cancel(topic) => put_subscription_message(&mut out, 0, topic),
            }
        }
        out.freeze()
    }

    fn peer_knows_commands(&self) -> bool {
        match &self.phase {
            Phase::Greeting | Phase::Handshake { .. } => false,
            Phase::Traffic { version, .. } => version.knows_commands(),
        }
    }

    /// The memory that a half-received message takes beside what is in the [`Incoming`].
    pub fn held_bytes(&self) -> usize {
        match &self.phase {
            Phase::Greeting | Phase::Handshake { .. } => 0,
            Phase::Traffic { decoder, .. } => decoder.set_aside_bytes(),
        }
    }

    fn handle_command(&mut self, body: &[u8]) -> Result<Option<Event>, Violation> {
        match Command::parse(body)? {
            Command::Ping { ttl, context } => {
                self.liveness.handle_ping(ttl);
                if self.out.len() < TRANSMIT_BYTES {
                    command::put_pong(&mut self.out, context);
                }
                Ok(None)
            }
            Command::Pong { context } => Ok(context
                .try_into()
                .ok()
                .map(|mark| Event::Marked(u64::from_be_bytes(mark)))),
            Command::Error { text } => Err(Violation::Refused {
                text: text.escape_ascii().to_string(),
            }),
            Command::Subscribe { topic } if self.config.publishes() => Ok(Some(
                Event::Subscription(Subscription::Subscribe(Bytes::copy_from_slice(topic))),
            )),
            Command::Cancel { topic } if self.config.publishes() => Ok(Some(Event::Subscription(
                Subscription::Cancel(Bytes::copy_from_slice(topic)),
            ))),
            Command::Subscribe { .. }
            | Command::Cancel { .. }
            | Command::Ready { .. }
            | Command::Unknown => Ok(Some(Event::Ignored)),
        }
    }

    /// Before ZMTP 3.1 subscriptions were messages of one frame (RFC 23): 1 or 0, then the topic.
    fn message_event(&self, message: Message) -> Result<Event, Violation> {
        if !self.config.publishes() || message.frame_count() != 1 {
            return Ok(Event::Message(message));
        }
        let Some((&form @ (0 | 1), topic)) = message.frames().next().and_then(<[u8]>::split_first)
        else {
            return Ok(Event::Message(message));
        };
        let limit_bytes = self.config.limits.command_bytes;
        if topic.len() > limit_bytes {
            return Err(Violation::CommandTooLarge {
                announced_bytes: topic.len() as u64,
                limit_bytes,
            });
        }
        let topic = Bytes::copy_from_slice(topic);
        Ok(Event::Subscription(if form == 1 {
            Subscription::Subscribe(topic)
        } else {
            Subscription::Cancel(topic)
        }))
    }
}

impl SessionConfig {
    fn publishes(&self) -> bool {
        matches!(self.socket_type, SocketType::Pub | SocketType::Xpub)
    }

    fn units(&self) -> Handover {
        if self.publishes() {
            Handover::Messages
        } else {
            self.handover
        }
    }
}

/// Appends a subscription as it was before ZMTP 3.1 (RFC 23): 1 or 0, then the topic.
fn put_subscription_message(out: &mut BytesMut, form: u8, topic: &[u8]) {
    crate::frame::put_header(out, 0, 1 + topic.len());
    out.put_u8(form);
    out.put_slice(topic);
}

/// "The peer SHOULD enforce that the other peer is using a valid socket type", and "SHOULD handle
/// errors by returning an ERROR command".
fn accept(
    config: &SessionConfig,
    version: Version,
    metadata: Metadata<'_>,
    out: &mut BytesMut,
) -> Result<Peer, Violation> {
    let theirs = metadata.socket_type.unwrap_or_default();
    let Some(socket_type) =
        SocketType::parse(theirs).filter(|theirs| config.socket_type.accepts().contains(theirs))
    else {
        command::put_error(out, "Invalid socket type");
        return Err(Violation::SocketType {
            ours: config.socket_type,
            theirs: theirs.escape_ascii().to_string(),
        });
    };
    Ok(Peer {
        version,
        socket_type,
        identity: metadata.identity,
    })
}

impl Progress {
    /// When something was last added to the message that is not complete.
    fn at(&self) -> Option<Instant> {
        self.at.filter(|_| !self.suspended)
    }

    fn finish(&mut self) {
        self.unfinished_bytes = 0;
        self.at = None;
    }

    fn handle_reading(&mut self, reading: bool, now: Instant) {
        self.suspended = !reading;
        if self.at.is_some() {
            self.at = Some(now);
        }
    }

    fn update(&mut self, unfinished_bytes: usize, last_heard: Instant) {
        if unfinished_bytes == 0 {
            self.finish();
        } else if unfinished_bytes != self.unfinished_bytes {
            self.unfinished_bytes = unfinished_bytes;
            self.at = Some(last_heard);
        }
    }
}

#[cfg(test)]
mod tests;
