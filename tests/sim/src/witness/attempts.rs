//! Workers and what they were given, as it can be seen.

use std::time::{Duration, Instant};

use plantd_mdp::broker::PeerId;
use plantd_mdp::command::ToWorker;
use plantd_mdp::{Dialect, ErrorCode, Form, Header, ServiceName, Token};
use plantd_zmtp::Message;

use super::Witness;
use super::cases::{is_brokers, number};
use crate::body::Question;
use crate::verdict::{Verdict, ensure};

/// A registered worker.
#[derive(Debug)]
pub(super) struct WorkerView {
    pub(super) form: Form,
    pub(super) service: ServiceName,
    pub(super) credit: u64,
    streams_limit: u64,
    pub(super) heartbeat: Duration,
    pub(super) liveness: u32,
    is_welcome: bool,
    /// Attempts that it has not ended, and how many of them are streams.
    held: usize,
    streams: u64,
    /// When the broker last took a message of it.
    pub(super) heard_at: Instant,
    /// When the broker last said something to it.
    told_at: Instant,
    pub(super) is_paused: bool,
    /// Whether it may have bytes in its outbox.
    pub(super) has_backlog: bool,
}

/// A token that was given to a worker.
#[derive(Debug)]
pub(super) struct Attempt {
    /// `None` where nobody honest asked.
    pub(super) stamp: Option<u64>,
    pub(super) worker: PeerId,
    pub(super) form: Form,
    is_open: bool,
    is_stream: bool,
    is_cancelled: bool,
}

impl WorkerView {
    fn in_credit(&self) -> u64 {
        self.held as u64 - self.streams
    }

    /// How many intervals it may be silent: more of an older dialect's while it works.
    pub(super) fn patience(&self, busy_liveness: u32) -> u32 {
        if self.held > 0 && !self.form.dialect.has_header() {
            busy_liveness.max(self.liveness)
        } else {
            self.liveness
        }
    }

    /// Whether it should be given a request that waits.
    pub(super) fn has_room_for_certain(&self) -> bool {
        self.in_credit() < self.credit && !self.has_backlog
    }
}

impl Witness {
    pub(super) fn sees_joined(
        &mut self,
        peer: PeerId,
        service: &ServiceName,
        dialect: Dialect,
    ) -> Verdict {
        ensure!(!self.is_draining, "a worker registers in a drain");
        let is_new = dialect == Dialect::Mdp03;
        let config = &self.config;
        let view = WorkerView {
            form: self.act.form.ok_or("a worker joins without READY")?,
            service: service.clone(),
            credit: u64::from(!is_new),
            streams_limit: 0,
            heartbeat: config.heartbeat_interval,
            liveness: config.liveness,
            is_welcome: !is_new,
            held: 0,
            streams: 0,
            heard_at: self.now,
            told_at: self.now,
            is_paused: false,
            has_backlog: false,
        };
        let before = self.workers.insert(peer, view);
        ensure!(before.is_none(), "a worker registers twice");
        Ok(())
    }

    /// Checks what a worker is told.
    pub(super) fn sees_order(&mut self, peer: PeerId, command: &ToWorker) -> Verdict {
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.told_at = self.now;
            worker.has_backlog = true;
        }
        match command {
            ToWorker::Welcome { header, .. } => self.sees_welcome(peer, header),
            ToWorker::Request {
                token,
                header,
                body,
            } => self.sees_dispatch(peer, *token, header, body),
            ToWorker::Cancel { token, .. } => self.sees_told_cancel(peer, *token),
            ToWorker::More { token, header } => self.sees_told_more(*token, header),
            ToWorker::Heartbeat => {
                let known = self.workers.contains_key(&peer);
                ensure!(known, "a heartbeat for no worker");
                Ok(())
            }
            ToWorker::Disconnect { .. } => {
                let view = self.peers.get_mut(&peer).ok_or("a stranger is dismissed")?;
                view.got_disconnect = true;
                ensure!(
                    !view.traits.honest || view.was_expired || self.is_draining,
                    "an honest worker gets DISCONNECT"
                );
                Ok(())
            }
        }
    }

    fn sees_welcome(&mut self, peer: PeerId, header: &Header) -> Verdict {
        let worker = self.workers.get_mut(&peer).ok_or("a stranger is welcome")?;
        ensure!(!worker.is_welcome, "a worker is welcome twice");
        let term = |name| number(&header.properties, name).ok_or("a term is not agreed");
        worker.is_welcome = true;
        worker.credit = term("credit")?;
        worker.streams_limit = term("streams")?;
        worker.heartbeat = Duration::from_millis(term("heartbeat-ms")?);
        worker.liveness = term("liveness")? as u32;
        Ok(())
    }

    fn sees_dispatch(
        &mut self,
        peer: PeerId,
        token: Token,
        header: &Header,
        body: &Message,
    ) -> Verdict {
        let worker = self
            .workers
            .get_mut(&peer)
            .ok_or("a stranger gets a request")?;
        ensure!(worker.is_welcome, "a request comes before WELCOME");
        ensure!(
            worker.in_credit() < worker.credit,
            "a worker with credit {} gets a request beside {}",
            worker.credit,
            worker.in_credit()
        );
        worker.held += 1;
        let (form, service) = (worker.form, worker.service.clone());
        let stamp = Question::read(body).map(|question| question.stamp);
        let attempt = Attempt {
            stamp,
            worker: peer,
            form,
            is_open: true,
            is_stream: false,
            is_cancelled: false,
        };
        let before = self.attempts.insert(token, attempt);
        ensure!(before.is_none(), "{token:?} is given twice");
        self.under_way.insert(token);
        let Some(stamp) = stamp else {
            return Ok(());
        };
        self.check_order(stamp)?;
        let case = self.cases.get_mut(&stamp);
        let case = case.ok_or_else(|| format!("{stamp} is given out and was not asked"))?;
        ensure!(!case.ended, "an ended request is given out: {case:?}");
        ensure!(case.service == service, "{service} gets {case:?}");
        ensure!(case.attempt.is_none(), "two attempts at once: {case:?}");
        ensure!(
            case.parts == 0,
            "another attempt after a part of the answer: {case:?}"
        );
        case.attempts += 1;
        case.dispatches += 1;
        ensure!(
            case.attempts <= case.attempts_limit,
            "an attempt too many: {case:?}"
        );
        case.attempt = Some(token);
        if form.dialect.has_header() {
            self.check_terms(stamp, header)?;
        }
        Ok(())
    }

    /// Checks what a worker of MDP/0.3 is told of a request.
    fn check_terms(&self, stamp: u64, header: &Header) -> Verdict {
        let case = &self.cases[&stamp];
        let attempt = number(&header.properties, "attempt");
        let expected = (case.attempts > 1).then_some(case.attempts);
        ensure!(
            attempt == expected,
            "attempt {attempt:?} is told in place of {expected:?}"
        );
        let left = number(&header.properties, "deadline-ms").map(Duration::from_millis);
        ensure!(
            left.is_some() == case.deadline.is_some(),
            "the deadline is not told: {header:?}"
        );
        if let (Some(left), Some(deadline)) = (left, case.deadline) {
            let right = deadline.saturating_duration_since(self.now);
            ensure!(
                left <= right.max(Duration::from_millis(1)),
                "{left:?} are told to be left, and {right:?} are: {case:?}"
            );
        }
        let told = ["attempt", "deadline-ms"];
        let mut names = header.properties.iter().map(|(name, _)| name);
        let foreign = names.find(|name| is_brokers(name) && !told.contains(name));
        ensure!(foreign.is_none(), "a client set {foreign:?}");
        Ok(())
    }

    /// Checks that a first delivery is the oldest of its client and service.
    fn check_order(&self, stamp: u64) -> Verdict {
        let Some(case) = self.cases.get(&stamp) else {
            return Ok(());
        };
        if case.dispatches > 0 {
            return Ok(());
        }
        let mut others = self.open.range(..stamp).map(|stamp| &self.cases[stamp]);
        let overtaken = others.find(|other| {
            other.peer == case.peer
                && other.service == case.service
                && other.tells_its_end()
                && other.dispatches == 0
        });
        ensure!(overtaken.is_none(), "{case:?} overtakes {overtaken:?}");
        Ok(())
    }

    fn sees_told_cancel(&mut self, peer: PeerId, token: Token) -> Verdict {
        let attempt = self.attempts.get_mut(&token);
        let attempt = attempt.ok_or("a CANCEL for a token that nobody has")?;
        ensure!(
            attempt.is_open && attempt.worker == peer && !attempt.is_cancelled,
            "a CANCEL for {attempt:?}"
        );
        attempt.is_cancelled = true;
        let Some(stamp) = attempt.stamp else {
            return Ok(());
        };
        if self.cases[&stamp].tells_its_end() {
            self.act.dropped.push(stamp);
        } else {
            self.end_untold(stamp);
        }
        Ok(())
    }

    fn sees_told_more(&mut self, token: Token, header: &Header) -> Verdict {
        let more = number(&header.properties, "more");
        let told = self.act.more.map(|(_, more)| more);
        ensure!(more == told, "MORE {more:?} in place of {told:?}");
        let attempt = self.attempts.get(&token).filter(|attempt| attempt.is_open);
        let stamp = attempt.and_then(|attempt| attempt.stamp);
        ensure!(
            stamp.is_some() && stamp == self.act.more.map(|(stamp, _)| stamp),
            "MORE for another request"
        );
        self.act.more_is_told = true;
        Ok(())
    }

    /// Takes note of a part that a worker sends.
    pub(super) fn sees_partial(&mut self, peer: PeerId, token: Token) {
        let Some(attempt) = self.attempts.get_mut(&token) else {
            return;
        };
        if !attempt.is_open || attempt.worker != peer {
            return;
        }
        let case = attempt.stamp.and_then(|stamp| self.cases.get(&stamp));
        let Some(case) = case else {
            return;
        };
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        let may_stream = case.window.is_some() && !case.ended && !attempt.is_stream;
        if may_stream && worker.streams < worker.streams_limit {
            attempt.is_stream = true;
            worker.streams += 1;
            self.act.parted = Some(token);
        }
    }

    /// A part that did not go out has made no stream.
    pub(super) fn undo_stream(&mut self) {
        let attempt = self
            .act
            .parted
            .and_then(|token| self.attempts.get_mut(&token));
        let Some(attempt) = attempt.filter(|attempt| attempt.is_open) else {
            return;
        };
        attempt.is_stream = false;
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.streams -= 1;
        }
    }

    /// Takes note of a FINAL, or of an ERROR with its code.
    pub(super) fn sees_attempt_end(&mut self, peer: PeerId, token: Token, code: Option<&str>) {
        let is_draining = code.and_then(ErrorCode::parse) == Some(ErrorCode::Draining);
        if is_draining && let Some(worker) = self.workers.get_mut(&peer) {
            worker.credit = 0;
        }
        if self.end_attempt(peer, token, is_draining) {
            self.act.ended = Some(token);
        }
    }

    /// Ends the attempts of a worker that is lost; gives how many there were.
    pub(super) fn attempts_end(&mut self, peer: PeerId) -> usize {
        let under_way = self.under_way.iter();
        let held = under_way.filter(|token| self.attempts[token].worker == peer);
        let held: Vec<Token> = held.copied().collect();
        for token in &held {
            self.end_attempt(peer, *token, false);
        }
        held.len()
    }

    /// Ends an attempt; `is_undone` if it does not count. Whether it was under way.
    fn end_attempt(&mut self, peer: PeerId, token: Token, is_undone: bool) -> bool {
        let Some(attempt) = self.attempts.get_mut(&token) else {
            return false;
        };
        if !attempt.is_open || attempt.worker != peer {
            return false;
        }
        attempt.is_open = false;
        self.under_way.remove(&token);
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.held -= 1;
            worker.streams -= u64::from(attempt.is_stream);
        }
        if let Some(case) = attempt.stamp.and_then(|stamp| self.cases.get_mut(&stamp)) {
            case.attempt = None;
            case.queued_since = self.now;
            if is_undone && case.parts == 0 {
                case.attempts -= 1;
            }
        }
        true
    }

    /// Checks that workers of MDP/0.3 know which of their requests nobody waits for.
    pub(super) fn check_cancels(&self) -> Verdict {
        for stamp in &self.act.dropped {
            let case = &self.cases[stamp];
            ensure!(case.ended, "a CANCEL, and the client waits: {case:?}");
        }
        for token in &self.under_way {
            let attempt = &self.attempts[token];
            let case = attempt.stamp.and_then(|stamp| self.cases.get(&stamp));
            if attempt.form.dialect.has_header()
                && !attempt.is_cancelled
                && let Some(case) = case
            {
                ensure!(
                    !case.ended,
                    "a worker works on for nobody: {token:?} {case:?}"
                );
            }
        }
        Ok(())
    }

    /// Checks that workers hear from the broker, and that silent ones are taken out.
    pub(super) fn check_workers_on_time(&self, now: Instant) -> Verdict {
        for worker in self.workers.values() {
            ensure!(
                worker.told_at + worker.heartbeat > now,
                "a worker has heard nothing for {:?}: {worker:?}",
                now - worker.told_at
            );
            let intervals = worker.patience(self.config.busy_liveness);
            // Looked at when a heartbeat is due, so at the latest one interval later.
            let latest = worker.heard_at + worker.heartbeat * (intervals + 1);
            ensure!(
                worker.is_paused || latest >= now,
                "a worker is silent for {:?}, and registered: {worker:?}",
                now - worker.heard_at
            );
        }
        Ok(())
    }
}
