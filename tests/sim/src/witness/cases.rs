//! Requests as a broker takes them, and how they end for their clients.

use std::time::{Duration, Instant};

use plantd_mdp::broker::{PeerId, Tally};
use plantd_mdp::command::ToClient;
use plantd_mdp::{ErrorCode, Form, Header, Properties, ServiceName, Token};
use plantd_zmtp::Message;

use super::Witness;
use crate::body::{Piece, Question};
use crate::verdict::{Verdict, Violation, ensure};

/// A request that a broker took from an honest client.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) stamp: u64,
    pub(super) peer: PeerId,
    form: Form,
    joins_partials: bool,
    id: u64,
    pub(super) service: ServiceName,
    pub(super) deadline: Option<Instant>,
    pub(super) attempts_limit: u64,
    /// The parts that the client takes in all.
    pub(super) window: Option<u64>,
    /// Since when it waits for a worker.
    pub(super) queued_since: Instant,
    /// Attempts that count.
    pub(super) attempts: u64,
    /// Times that a worker was given it.
    pub(super) dispatches: u32,
    /// The attempt under way.
    pub(super) attempt: Option<Token>,
    /// Parts that went to the client.
    pub(super) parts: u32,
    pub(super) is_cancelled: bool,
    pub(super) ended: bool,
}

impl Case {
    /// Whether its client is told how it ends, whatever comes.
    pub(super) fn tells_its_end(&self) -> bool {
        self.form.dialect.has_header()
    }
}

impl Witness {
    /// Makes a case of a REQUEST, for the effects that follow; it is undone if the broker does not
    /// take it.
    pub(super) fn open_case(
        &mut self,
        peer: PeerId,
        form: Form,
        service: ServiceName,
        header: &Header,
        body: &Message,
    ) {
        let (Some(question), Some(view)) = (Question::read(body), self.peers.get_mut(&peer)) else {
            return;
        };
        let deadline = number(&header.properties, "deadline-ms").map(Duration::from_millis);
        let attempts_limit = match header.properties.get("retry") {
            Some("never") => 1,
            Some(_) | None => {
                let wish = number(&header.properties, "retry");
                let most = u64::from(self.config.attempts);
                wish.map_or(most, |wish| wish.clamp(1, most))
            }
        };
        let case = Case {
            stamp: question.stamp,
            peer,
            form,
            joins_partials: view.traits.joins_partials || !form.dialect.has_partials(),
            id: header.id,
            service,
            deadline: deadline.map(|deadline| self.now + deadline),
            attempts_limit,
            window: number(&header.properties, "window"),
            queued_since: self.now,
            attempts: 0,
            dispatches: 0,
            attempt: None,
            parts: 0,
            is_cancelled: false,
            ended: false,
        };
        if case.tells_its_end() {
            view.ids.insert(case.id, case.stamp);
        }
        self.act.stamp = Some(case.stamp);
        self.open.insert(case.stamp);
        self.cases.insert(case.stamp, case);
    }

    /// Decides whether the request of this act was taken.
    pub(super) fn take_case(&mut self, tally: &Tally) -> Verdict {
        let taken = self.sums.has_taken(tally);
        if taken {
            let asks = self.act.asks.ok_or("a request is taken and none came")?;
            if let Some(view) = self.peers.get_mut(&asks)
                && self
                    .act
                    .stamp
                    .is_none_or(|stamp| !self.cases[&stamp].tells_its_end())
            {
                view.taken += 1;
            }
        } else if let Some(stamp) = self.act.stamp {
            let case = &self.cases[&stamp];
            ensure!(
                case.dispatches == 0,
                "{case:?} was dispatched and not taken"
            );
            let (peer, id, told) = (case.peer, case.id, case.tells_its_end());
            let refused_in_words = case.ended || !told || self.act.gone.contains(&peer);
            ensure!(refused_in_words, "{case:?} was refused without a word");
            if let Some(view) = self.peers.get_mut(&peer)
                && view.ids.get(&id) == Some(&stamp)
            {
                view.ids.remove(&id);
            }
            self.open.remove(&stamp);
            self.cases.remove(&stamp);
        }
        Ok(())
    }

    pub(super) fn sees_cancel(&mut self, peer: PeerId, id: u64) {
        if let Some(stamp) = self.peers.get(&peer).and_then(|view| view.ids.get(&id))
            && let Some(case) = self.cases.get_mut(stamp)
        {
            case.is_cancelled = true;
            self.act.cancelled = Some(*stamp);
        }
    }

    pub(super) fn sees_more(&mut self, peer: PeerId, header: &Header) {
        let Some(stamp) = self
            .peers
            .get(&peer)
            .and_then(|view| view.ids.get(&header.id))
        else {
            return;
        };
        let more = header.properties.number("more").ok().flatten();
        if let (Some(case), Some(more)) = (self.cases.get_mut(stamp), more)
            && let Some(window) = &mut case.window
        {
            *window += more;
            self.act.more = Some((*stamp, more));
        }
    }

    /// Checks what a client is told.
    pub(super) fn sees_reply(&mut self, peer: PeerId, command: &ToClient) -> Verdict {
        let view = self.peers.get_mut(&peer).ok_or("a stranger is answered")?;
        let honest = view.traits.honest;
        match command {
            ToClient::Partial {
                service,
                header,
                body,
            } => {
                self.act.parted = None;
                if honest {
                    self.sees_pieces(peer, service, header, body, false)?;
                }
                Ok(())
            }
            ToClient::Final {
                service,
                header,
                body,
            } => {
                if service.is_reserved() {
                    return self.sees_status(peer, body);
                }
                if !honest {
                    view.answered += 1;
                    return Ok(());
                }
                let stamp = self.sees_pieces(peer, service, header, body, true)?;
                self.end_case(stamp);
                Ok(())
            }
            ToClient::Error { header, .. } if honest => self.sees_error(peer, header),
            ToClient::Error { .. } => Ok(()),
        }
    }

    /// Checks that an answer is that of the attempt under way, and in order.
    fn sees_pieces(
        &mut self,
        peer: PeerId,
        service: &ServiceName,
        header: &Header,
        body: &Message,
        ends: bool,
    ) -> Result<u64, Violation> {
        let pieces = Piece::read_all(body);
        let pieces = pieces.ok_or_else(|| format!("{body:?} is forged"))?;
        let stamp = pieces[0].question.stamp;
        let case = self.cases.get_mut(&stamp);
        let case = case.ok_or_else(|| format!("an answer to {stamp}, which was not asked"))?;
        ensure!(
            case.peer == peer,
            "an answer to {case:?} goes to another client"
        );
        ensure!(!case.ended, "an answer after the end of {case:?}");
        ensure!(*service == case.service, "{service} answers {case:?}");
        ensure!(
            header.id == case.id,
            "an answer under the id {}: {case:?}",
            header.id
        );
        ensure!(
            ends || !case.joins_partials,
            "a part for a client that takes one reply: {case:?}"
        );
        let attempt = if ends { self.act.ended } else { case.attempt };
        for piece in &pieces {
            ensure!(
                piece.question.stamp == stamp && Some(piece.token) == attempt,
                "{piece:?} is not of the attempt {attempt:?} of {case:?}"
            );
            ensure!(
                piece.index == case.parts,
                "{piece:?} is sent in place of part {}",
                case.parts
            );
            case.parts += 1;
        }
        let is_last = pieces.last().is_some_and(|piece| piece.is_last);
        ensure!(is_last == ends, "the last part is not the last of {case:?}");
        let attempt = attempt.and_then(|token| self.attempts.get(&token));
        if let (Some(window), Some(attempt)) = (case.window, attempt)
            && attempt.form.dialect.has_header()
            && !ends
        {
            ensure!(
                u64::from(case.parts) <= window.max(1),
                "{} parts are sent, and {window} were taken: {case:?}",
                case.parts
            );
        }
        let unwanted = header.properties.iter().find(|(name, _)| is_brokers(name));
        ensure!(unwanted.is_none(), "{unwanted:?} came from a worker");
        Ok(stamp)
    }

    fn sees_error(&mut self, peer: PeerId, header: &Header) -> Verdict {
        let now = self.now;
        let stamp = self.peers[&peer].ids.get(&header.id).copied();
        let Some(stamp) = stamp else {
            return Err(format!("an error for the id {}, which is not open", header.id).into());
        };
        let case = &self.cases[&stamp];
        let code = header.properties.get("code").unwrap_or_default();
        let code = ErrorCode::parse(code).ok_or_else(|| format!("the code {code:?}"))?;
        let queue_timeout = self.config.queue_timeout;
        let is_true = match code {
            ErrorCode::NoWorker => case.attempts == 0 && case.queued_since + queue_timeout <= now,
            ErrorCode::Timeout => case.deadline.is_some_and(|deadline| deadline <= now),
            ErrorCode::Cancelled => case.is_cancelled,
            ErrorCode::WorkerLost => case.dispatches > 0,
            ErrorCode::WorkerError => self.act.ended.is_some() && case.dispatches > 0,
            ErrorCode::Draining => self.is_draining,
            ErrorCode::Busy => case.dispatches == 0 || case.joins_partials,
            ErrorCode::TooLarge => true,
            ErrorCode::Denied | ErrorCode::BadRequest | ErrorCode::Unsupported => false,
        };
        ensure!(is_true, "{code} is not why {case:?} fails");
        self.end_case(stamp);
        Ok(())
    }

    /// Ends a case for its client.
    fn end_case(&mut self, stamp: u64) {
        let Some(case) = self.cases.get_mut(&stamp) else {
            return;
        };
        case.ended = true;
        let (peer, id, told) = (case.peer, case.id, case.tells_its_end());
        self.open.remove(&stamp);
        if let Some(view) = self.peers.get_mut(&peer) {
            if told {
                view.ids.remove(&id);
            } else {
                view.answered += 1;
            }
        }
    }

    /// Notes that a request ended for a client that is not told.
    pub(super) fn end_untold(&mut self, stamp: u64) {
        if let Some(case) = self.cases.get_mut(&stamp) {
            case.ended = true;
            self.open.remove(&stamp);
        }
    }

    /// Ends what the clients that are gone had asked.
    pub(super) fn bury_gone(&mut self) {
        for peer in std::mem::take(&mut self.act.gone) {
            let cases = &mut self.cases;
            self.open.retain(|stamp| {
                let Some(case) = cases.get_mut(stamp).filter(|case| case.peer == peer) else {
                    return true;
                };
                case.ended = true;
                false
            });
            if let Some(view) = self.peers.get_mut(&peer) {
                view.ids.clear();
                (view.taken, view.answered) = (0, 0);
            }
        }
    }

    /// Checks that what was cancelled has ended, and that each MORE has reached the worker.
    pub(super) fn check_heeded(&self) -> Verdict {
        if let Some(stamp) = self.act.cancelled {
            let case = &self.cases[&stamp];
            ensure!(case.ended, "a CANCEL was not answered: {case:?}");
        }
        let Some((stamp, more)) = self.act.more else {
            return Ok(());
        };
        let case = &self.cases[&stamp];
        let attempt = case.attempt.and_then(|token| self.attempts.get(&token));
        if let Some(attempt) = attempt
            && attempt.form.dialect.has_header()
        {
            ensure!(self.act.more_is_told, "MORE {more} was lost: {case:?}");
        }
        Ok(())
    }

    /// Checks that deadlines and waits ended when they were due.
    pub(super) fn check_cases_on_time(&self, now: Instant) -> Verdict {
        for stamp in &self.open {
            let case = &self.cases[stamp];
            if !case.tells_its_end() {
                continue;
            }
            ensure!(
                case.deadline.is_none_or(|deadline| deadline > now),
                "the deadline has passed: {case:?}"
            );
            if case.attempt.is_none() {
                ensure!(
                    case.queued_since + self.config.queue_timeout > now,
                    "nobody took this in time: {case:?}"
                );
                let mut workers = self.workers.iter();
                let idle = workers.find(|(_, worker)| {
                    worker.service == case.service && worker.has_room_for_certain()
                });
                ensure!(
                    idle.is_none(),
                    "{idle:?} has room, and this waits: {case:?}"
                );
            }
        }
        Ok(())
    }
}

/// Whether a property is the broker's to set.
pub(super) fn is_brokers(name: &str) -> bool {
    matches!(name, "principal" | "attempt" | "deadline-ms") || name.starts_with("broker-")
}

/// A property that is a number.
pub(super) fn number(properties: &Properties, name: &'static str) -> Option<u64> {
    properties.number(name).ok().flatten()
}
