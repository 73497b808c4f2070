//! A broker, its connections, and the time that passes for them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plantd_mdp::broker::{Config, Origin, Output, PeerId};
use plantd_mdp::command::{ToClient, ToWorker};
use plantd_mdp::{Broker, Form};
use plantd_zmtp::Message;
use slotmap::SlotMap;

use crate::{clock, wire};

/// What a peer was told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Client(Form, ToClient),
    Worker(Form, ToWorker),
}

/// A broker whose peers read at once, unless a backlog is told.
pub(crate) struct Plant {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
    connections: SlotMap<PeerId, ()>,
    paused: BTreeSet<PeerId>,
    told: Vec<(PeerId, Told)>,
}

impl Plant {
    pub(crate) fn new(config: Config) -> Self {
        let now = clock::start();
        Self {
            broker: Broker::new(config, [7; 32], now),
            now,
            connections: SlotMap::with_key(),
            paused: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn opens(&mut self, joins_partials: bool) -> PeerId {
        let peer = self.connections.insert(());
        let origin = Origin {
            address: "somewhere".to_owned(),
            joins_partials,
            may_serve: true,
        };
        self.broker.handle_opened(peer, origin, self.now);
        self.settle();
        peer
    }

    pub(crate) fn closes(&mut self, peer: PeerId) {
        if self.connections.remove(peer).is_some() {
            self.broker.handle_closed(peer, self.now);
            self.paused.remove(&peer);
            self.settle();
        }
    }

    pub(crate) fn is_gone(&self, peer: PeerId) -> bool {
        !self.connections.contains_key(peer)
    }

    /// Whether the broker has asked not to be given this peer's messages.
    pub(crate) fn is_paused(&self, peer: PeerId) -> bool {
        self.paused.contains(&peer)
    }

    pub(crate) fn sends(&mut self, peer: PeerId, message: Message) {
        self.broker.handle_message(peer, message, self.now);
        self.settle();
    }

    pub(crate) fn backlog(&mut self, peer: PeerId, bytes: usize) {
        if !self.is_gone(peer) {
            self.broker.handle_backlog(peer, bytes, self.now);
            self.settle();
        }
    }

    pub(crate) fn drains(&mut self) {
        self.broker.handle_drain(self.now);
        self.settle();
    }

    pub(crate) fn drain_deadline_passes(&mut self) {
        self.broker.handle_drain_deadline(self.now);
        self.settle();
    }

    pub(crate) fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.broker.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.broker.handle_timeout(self.now);
            let next = self.broker.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer is stuck");
            self.settle();
        }
        self.now = end;
    }

    /// Takes what everybody was told, in order.
    pub(crate) fn takes(&mut self) -> Vec<(PeerId, Told)> {
        std::mem::take(&mut self.told)
    }

    /// Checks that nothing is kept for who is gone.
    pub(crate) fn assert_is_empty(&self) {
        let tally = self.broker.tally();
        let held = (
            tally.workers,
            tally.services,
            tally.queued,
            tally.unanswered,
            tally.held_bytes,
            tally.backlog_bytes,
        );
        assert_eq!(held, (0, 0, 0, 0, 0, 0));
        assert_eq!(self.broker.poll_timeout(), None);
    }

    /// Carries out what the broker wants.
    fn settle(&mut self) {
        loop {
            self.broker.check_invariants();
            let mut ends = Vec::new();
            while let Some(output) = self.broker.poll_output() {
                match output {
                    Output::ToClient {
                        peer,
                        form,
                        command,
                    } => {
                        let written = wire::written(|out| command.encode(form, out));
                        assert!(written.is_some(), "the dialect has no {command:?}");
                        assert!(!self.is_gone(peer), "who is gone is written to");
                        self.told.push((peer, Told::Client(form, command)));
                    }
                    Output::ToWorker {
                        peer,
                        form,
                        command,
                    } => {
                        let written = wire::written(|out| command.encode(form, out));
                        assert!(written.is_some(), "the dialect has no {command:?}");
                        assert!(!self.is_gone(peer), "who is gone is written to");
                        self.told.push((peer, Told::Worker(form, command)));
                    }
                    Output::Pause(peer) => assert!(self.paused.insert(peer), "paused twice"),
                    Output::Resume(peer) => assert!(self.paused.remove(&peer), "was not paused"),
                    Output::Close(peer, _) => {
                        assert!(!self.is_gone(peer), "closed twice");
                        ends.push(peer);
                    }
                    Output::Event(_) | Output::Drained => {}
                }
            }
            if ends.is_empty() {
                return;
            }
            for peer in ends {
                self.connections.remove(peer);
                self.paused.remove(&peer);
                self.broker.handle_closed(peer, self.now);
            }
        }
    }
}
