//! When a silent peer is asked for a sign of life, and when it is given up.

use std::time::{Duration, Instant};

use super::{Heartbeat, Violation};

/// What the time calls for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Nothing,
    Ping,
    /// A sign of life of our own, while nothing is read and so no PING is answered.
    Pong,
}

/// What was heard of a peer, and when. Hearing stores a time and moves no timer: deadlines are
/// worked out from it when the last one has come.
#[derive(Debug)]
pub(crate) struct Liveness {
    config: Heartbeat,
    /// Whether the peer knows PING and PONG.
    asks: bool,
    reading: bool,
    last_heard: Instant,
    /// The PINGs, or unasked PONGs, since `last_heard`.
    sent: u32,
    /// What is added to the timeout until something is heard.
    respite: Duration,
    /// When the time to live that the peer's last PING gave itself ends, if nothing came since.
    ttl_end: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(config: Heartbeat, now: Instant) -> Self {
        Self {
            config,
            asks: false,
            reading: true,
            last_heard: now,
            sent: 0,
            respite: Duration::ZERO,
            ttl_end: None,
        }
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// The handshake is done with a peer that does, or does not, know PING and PONG.
    pub(crate) fn handle_ready(&mut self, knows_commands: bool) {
        self.asks = knows_commands;
    }

    /// Bytes came. "A peer SHOULD treat any incoming traffic (not just a PONG reply) as a sign of
    /// life."
    pub(crate) fn handle_received(&mut self, now: Instant) {
        self.last_heard = now;
        self.sent = 0;
        self.respite = Duration::ZERO;
        self.ttl_end = None;
    }

    /// A PING came. "If it receives a PING command with a non-zero TTL and then does not receive any
    /// further traffic within that TTL", the connection is dead.
    pub(crate) fn handle_ping(&mut self, ttl: Duration) {
        self.ttl_end = (!ttl.is_zero()).then(|| self.last_heard + ttl);
    }

    /// Reading stops or goes on. Who is not listened to is not silent.
    pub(crate) fn handle_reading(&mut self, reading: bool, now: Instant) {
        self.handle_received(now);
        self.reading = reading;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let asking = self
            .asks
            .then(|| self.next_sign().unwrap_or(self.give_up_after()))
            .map(|silence| self.last_heard + silence);
        asking.into_iter().chain(self.ttl_end()).min()
    }

    /// # Errors
    /// If the peer is to be given up: not while `outbox_is_empty` is false, since a peer that has
    /// stopped reading may not get to see our PINGs.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        outbox_is_empty: bool,
    ) -> Result<Call, Violation> {
        if let Some(end) = self.ttl_end()
            && now >= end
        {
            if now < end + self.config.interval {
                return Err(Violation::TimeToLive);
            }
            self.ttl_end = Some(now + self.config.interval);
        }
        let silence = now.saturating_duration_since(self.last_heard);
        if !self.asks {
            return Ok(Call::Nothing);
        }
        if !self.reading {
            if self.next_sign().is_none_or(|due| silence < due) {
                return Ok(Call::Nothing);
            }
            self.handle_received(now);
            return Ok(Call::Pong);
        }
        let give_up_after = self.give_up_after();
        if silence >= give_up_after {
            // A deadline that is seen so late says that this process was stopped, not the peer.
            let stopped = silence >= give_up_after + self.config.interval;
            if !stopped && outbox_is_empty {
                return Err(Violation::Silent);
            }
            self.respite = silence + self.config.interval - self.config.timeout;
            return Ok(if stopped { Call::Ping } else { Call::Nothing });
        }
        if self.next_sign().is_some_and(|due| silence >= due) {
            self.sent += 1;
            return Ok(Call::Ping);
        }
        Ok(Call::Nothing)
    }

    /// The silence after which the next sign is sent; none once the timeout comes first. "A peer
    /// should not send more than a small number of PING commands without receiving PONG replies."
    fn next_sign(&self) -> Option<Duration> {
        Some(self.config.interval * (self.sent + 1)).filter(|due| *due < self.config.timeout)
    }

    fn give_up_after(&self) -> Duration {
        self.config.timeout + self.respite
    }

    fn ttl_end(&self) -> Option<Instant> {
        self.ttl_end.filter(|_| self.reading)
    }
}
