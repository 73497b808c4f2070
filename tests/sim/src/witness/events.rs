//! Workers that come and go, refusals, and connections that the broker closes.

use plantd_mdp::Rejection;
use plantd_mdp::broker::{CloseReason, Departure, Event, Output, PeerId};
use plantd_mdp::command::{ToClient, ToWorker};

use super::Witness;
use crate::stage::Stage;
use crate::verdict::{Verdict, ensure};

impl Witness {
    pub(super) fn sees_event(&mut self, event: &Event, stage: &Stage) -> Verdict {
        match event {
            Event::WorkerJoined {
                peer,
                service,
                dialect,
            } => self.sees_joined(*peer, service, *dialect),
            Event::WorkerLeft {
                peer,
                departure,
                unanswered,
                ..
            } => self.sees_left(*peer, *departure, *unanswered, stage),
            Event::RequestDied { attempts, .. } => {
                let limit = self.config.attempts;
                ensure!(
                    *attempts <= limit,
                    "{attempts} attempts of {limit} were made"
                );
                Ok(())
            }
            Event::Rejected { peer, reason } => self.check_rejection(*peer, *reason),
        }
    }

    /// Whoever keeps the protocol is refused nothing but what crossed something on its way.
    fn check_rejection(&self, peer: PeerId, reason: Rejection) -> Verdict {
        let view = &self.peers[&peer];
        let is_due = reason == Rejection::Orphaned
            || (reason == Rejection::NotReady && view.was_expired)
            || (reason == Rejection::Dismissed && (view.got_disconnect || view.is_closed))
            || (reason == Rejection::Draining && self.is_draining);
        ensure!(
            is_due || !view.traits.honest,
            "an honest peer is refused for {reason}"
        );
        Ok(())
    }

    pub(super) fn sees_close(&mut self, peer: PeerId, reason: CloseReason) -> Verdict {
        let view = self.peers.get_mut(&peer).ok_or("a stranger is closed")?;
        ensure!(!view.is_closed, "{peer:?} is closed twice");
        view.is_closed = true;
        if reason == CloseReason::OutboxFull {
            self.act.dismissed.retain(|dismissed| *dismissed != peer);
        }
        if reason != CloseReason::Dismissed {
            self.act.gone.push(peer);
        }
        ensure!(
            reason != CloseReason::DuplicateId || !view.traits.honest,
            "an honest client is closed for an id that it did not reuse"
        );
        Ok(())
    }

    fn sees_left(
        &mut self,
        peer: PeerId,
        departure: Departure,
        unanswered: usize,
        stage: &Stage,
    ) -> Verdict {
        let worker = self.workers.remove(&peer).ok_or("a stranger leaves")?;
        let is_behind = self.may_be_behind(&worker);
        let view = self.peers.get_mut(&peer).ok_or("a stranger leaves")?;
        match departure {
            Departure::Expired => {
                view.was_expired = true;
                if view.traits.honest
                    && !is_behind
                    && let Some(connection) = stage.connections.get(view.connection)
                {
                    let silence = self.now - connection.heard_at;
                    let intervals = worker.patience(self.config.busy_liveness);
                    let least = worker.heartbeat * (intervals - 1);
                    ensure!(
                        silence >= least,
                        "a worker is expired after {silence:?} of silence; it heartbeats every {:?}",
                        worker.heartbeat
                    );
                }
            }
            Departure::Dismissed => self
                .act
                .dismissed
                .extend(view.traits.honest.then_some(peer)),
            Departure::Draining => ensure!(self.is_draining, "a drain without a drain"),
            Departure::Closed | Departure::Left => {}
        }
        let held = self.attempts_end(peer);
        ensure!(
            held == unanswered,
            "a worker that held {held} requests leaves with {unanswered}"
        );
        Ok(())
    }
}

/// What is counted of an effect.
pub(super) fn name(output: &Output) -> Option<String> {
    match output {
        Output::ToClient {
            command: ToClient::Error { header, .. },
            ..
        } => Some(format!("failed: {}", header.properties.get("code")?)),
        Output::ToWorker {
            command: ToWorker::Request { header, .. },
            ..
        } => header
            .properties
            .get("attempt")
            .map(|_| "tried again".to_owned()),
        Output::ToWorker {
            command: ToWorker::More { .. },
            ..
        } => Some("more".to_owned()),
        Output::ToClient { .. } | Output::ToWorker { .. } | Output::Resume(_) => None,
        Output::Pause(_) => Some("paused".to_owned()),
        Output::Close(_, reason) => Some(format!("closed: {}", reason.as_str())),
        Output::Event(Event::Rejected { reason, .. }) => Some(format!("rejected: {reason}")),
        Output::Event(Event::WorkerLeft { departure, .. }) => Some(format!("left: {departure}")),
        Output::Event(Event::WorkerJoined { dialect, .. }) => Some(format!("joined: {dialect}")),
        Output::Event(Event::RequestDied { .. }) => Some("died".to_owned()),
        Output::Drained => Some("drained".to_owned()),
    }
}
