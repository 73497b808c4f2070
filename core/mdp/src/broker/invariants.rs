//! What is true of a broker between two verbs.

use std::collections::BTreeSet;

use super::Broker;
use super::output::PeerId;
use super::peer::Side;
use super::request::{RequestKey, State};

impl Broker {
    /// Checks that the broker's state agrees with itself; for tests and simulations.
    ///
    /// # Panics
    /// If it does not, with what is wrong.
    pub fn check_invariants(&self) {
        self.check_requests();
        self.check_services();
        self.check_peers();
    }

    /// Each request is in exactly one place: a queue, or the hands of one worker.
    fn check_requests(&self) {
        let mut queued: BTreeSet<RequestKey> = BTreeSet::new();
        for service in self.services.values() {
            for key in service.queue.keys() {
                assert!(queued.insert(key), "{key:?} is queued twice");
            }
        }
        let mut unanswered = 0;
        let mut held_bytes = 0;
        for (key, request) in &self.requests {
            unanswered += usize::from(request.asker.is_some());
            if request.asker.is_none() {
                let kept = !request.body.is_empty() || !request.joined.is_empty();
                assert!(!kept, "{key:?} keeps a body for nobody");
                assert_eq!(request.held_bytes, 0);
            }
            held_bytes += request.held_bytes;
            match request.state {
                State::Unplaced => panic!("{key:?} is nowhere"),
                State::Queued { .. } => {
                    assert!(request.asker.is_some(), "{key:?} waits for nobody");
                    assert!(queued.remove(&key), "{key:?} is in no queue");
                }
                State::Dispatched {
                    worker, position, ..
                } => {
                    let known = self.peers.get(worker).and_then(|peer| peer.worker());
                    let held = known.and_then(|worker| worker.held.get(position));
                    assert_eq!(held, Some(&key), "its worker does not have it");
                }
            }
            if let Some(due) = request.due() {
                let in_time = request.armed.is_some_and(|armed| armed <= due);
                assert!(in_time, "nothing will happen to {key:?} by itself");
            }
        }
        assert!(queued.is_empty(), "queued but gone: {queued:?}");
        assert_eq!(self.tally.unanswered, unanswered);
        assert_eq!(self.tally.held_bytes, held_bytes);
    }

    fn check_services(&self) {
        assert_eq!(self.names.len(), self.services.len());
        assert_eq!(self.tally.services, self.services.len());
        let mut workerless = 0;
        let mut queued = 0;
        for (name, key) in &self.names {
            let service = &self.services[*key];
            assert_eq!(&service.name, name);
            assert!(
                !service.is_forgettable(),
                "{name} is remembered for nothing"
            );
            workerless += usize::from(service.workers.is_empty());
            queued += service.queue.len();
            assert!(
                service.queue.is_empty() || service.room.is_empty(),
                "{name} has both a queue and a worker with room"
            );
            for room in service.room.iter() {
                let worker = self.peers.get(room.worker).and_then(|peer| peer.worker());
                assert_eq!(worker.and_then(|worker| worker.room), Some(room));
            }
        }
        assert_eq!(self.workerless, workerless);
        assert_eq!(self.tally.queued, queued);
    }

    fn check_peers(&self) {
        let registered: BTreeSet<PeerId> = self.workers_in_order().collect();
        let mut workers = 0;
        let mut backlog_bytes = 0;
        for (id, peer) in &self.peers {
            backlog_bytes += peer.backlog_bytes;
            match &peer.side {
                Side::Unknown | Side::Expired(_) | Side::Dismissed => {}
                Side::Client(client) => {
                    let requests = client.requests.values();
                    let held: usize = requests.map(|key| self.requests[*key].held_bytes).sum();
                    assert_eq!(client.held_bytes, held);
                }
                Side::Worker(worker) => {
                    workers += 1;
                    assert!(registered.contains(&id));
                    assert!(worker.armed.is_some());
                    let streaming = worker.held.iter().filter(|key| {
                        matches!(
                            self.requests[**key].state,
                            State::Dispatched {
                                streaming: true,
                                ..
                            }
                        )
                    });
                    assert_eq!(worker.streams as usize, streaming.count());
                }
            }
        }
        assert_eq!(self.tally.workers, workers);
        assert_eq!(registered.len(), workers);
        assert_eq!(self.tally.backlog_bytes, backlog_bytes);
    }
}
