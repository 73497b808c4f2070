//! What the broker sends a worker.

use std::{
    collections::hash_map::Entry,
    time::{Duration, Instant},
};

use plantd_zmtp::Message;

use super::{Drain, Loss, Output, State, Terms, Worker, replies::Attempt};
use crate::{ErrorCode, Header, Properties, Token, command::ToWorker, link::Silence};

impl Worker {
    /// Takes a message of the broker.
    pub fn handle_message(&mut self, message: &Message, now: Instant) {
        match ToWorker::decode(message) {
            Ok(Some(command)) => self.handle_command(command, now),
            // Of a later version: a sign of life.
            Ok(None) => self.hear(now),
            Err(_) if self.is_connected() => self.counts.invalid_messages += 1,
            Err(_) => {}
        }
    }

    /// Takes a command of the broker, from wherever it came.
    pub fn handle_command(&mut self, command: ToWorker, now: Instant) {
        if !self.is_connected() {
            return;
        }
        self.hear(now);
        match command {
            ToWorker::Welcome { header, .. } => self.take_welcome(&header, now),
            ToWorker::Request {
                token,
                header,
                body,
            } => self.take_request(token, header, body, now),
            ToWorker::Cancel { token, .. } => self.take_cancel(token),
            ToWorker::More { token, header } => self.take_more(token, &header),
            ToWorker::Heartbeat => self.take_heartbeat(now),
            ToWorker::Disconnect { header } => {
                let message = header.properties.get("message").unwrap_or_default();
                let message = message.to_owned();
                self.outputs.push_back(Output::Close);
                self.lose(Loss::Dismissed { message }, now);
            }
        }
    }

    fn is_connected(&self) -> bool {
        matches!(self.state, State::Joining { .. } | State::Registered { .. })
    }

    fn hear(&mut self, now: Instant) {
        if let State::Joining { silence } | State::Registered { silence, .. } = &mut self.state {
            silence.heard(now);
        }
    }

    fn take_welcome(&mut self, header: &Header, now: Instant) {
        let terms = Terms::agreed(&header.properties, self.config.offer);
        let (State::Joining { .. }, Some(terms)) = (&self.state, terms) else {
            self.counts.invalid_messages += 1;
            return;
        };
        self.state = State::Registered {
            terms,
            silence: Silence::new(terms.heartbeat, terms.liveness, now),
            last_sent: now,
        };
        self.backoff.reset();
        self.outputs.push_back(Output::Registered(terms));
        if self.drain == Drain::Wanted {
            self.give_up_credit(now);
        }
    }

    fn take_request(&mut self, token: Token, header: Header, body: Message, now: Instant) {
        let State::Registered { terms, .. } = self.state else {
            self.counts.invalid_messages += 1;
            return;
        };
        let is_full = self.attempts.len() >= terms.credit as usize + terms.streams as usize;
        let window = header.properties.number("window");
        let (Entry::Vacant(attempt), Ok(window)) = (self.attempts.entry(token), window) else {
            self.counts.invalid_messages += 1;
            return;
        };
        let refusal = if self.drain != Drain::No {
            Some((ErrorCode::Draining, "the worker is stopping"))
        } else if is_full {
            Some((ErrorCode::Busy, "the worker holds more than was agreed"))
        } else {
            None
        };
        if let Some((code, message)) = refusal {
            self.refuse(token, header.id, code.as_str(), message, true, now);
            return;
        }
        attempt.insert(Attempt::new(header.id, window));
        self.outputs.push_back(Output::Request {
            token,
            header,
            body,
        });
    }

    fn take_cancel(&mut self, token: Token) {
        if self.attempts.contains_key(&token) {
            self.outputs.push_back(Output::Cancel { token });
        }
    }

    fn take_more(&mut self, token: Token, header: &Header) {
        let more = header.properties.number("more").ok().flatten();
        let (Some(attempt), Some(more)) = (self.attempts.get_mut(&token), more) else {
            return;
        };
        if attempt.widen(more) {
            self.outputs.push_back(Output::Room { token });
        }
    }

    fn take_heartbeat(&mut self, now: Instant) {
        if let Drain::CreditGone { .. } = self.drain {
            self.drain = Drain::Quiet;
            self.leave_if_done(now);
        }
    }
}

impl Terms {
    pub(super) fn to_properties(self) -> Properties {
        Properties::default()
            .with("credit", self.credit)
            .with("streams", self.streams)
            .with("heartbeat-ms", self.heartbeat.as_millis())
            .with("liveness", self.liveness)
    }

    /// Reads what the broker agreed to: what it does not say is as offered. `None` where a value
    /// is no number or out of its range.
    fn agreed(properties: &Properties, offer: Self) -> Option<Self> {
        let number = |name, offered: u64, range: std::ops::RangeInclusive<u64>| {
            let number = properties.number(name).ok()?.unwrap_or(offered);
            range.contains(&number).then_some(number)
        };
        let heartbeat_ms = u64::try_from(offer.heartbeat.as_millis()).ok()?;
        let narrow = |number| u32::try_from(number).ok();
        Some(Self {
            credit: narrow(number("credit", offer.credit.into(), 1..=4096)?)?,
            streams: narrow(number("streams", offer.streams.into(), 0..=65_536)?)?,
            heartbeat: Duration::from_millis(number("heartbeat-ms", heartbeat_ms, 100..=60_000)?),
            liveness: narrow(number("liveness", offer.liveness.into(), 2..=20)?)?,
        })
    }
}
