//! What planted bugs do that takes more than a branch.

use std::time::Instant;

use plantd_zmtp::Message;

use super::Broker;
use super::output::{Output, PeerId};
use super::peer::Peer;
use super::request::{RequestKey, State};
use super::service::ServiceKey;
use crate::command::ToWorker;
use crate::{Form, Header};

impl Broker {
    /// `Bug::LoseLastOfBatch`.
    pub(super) fn lose_last_of_batch(&mut self) {
        if self.outputs.len() > 2 {
            self.outputs.pop_back();
        }
    }

    /// `Bug::AnswerWrongRequest`.
    pub(super) fn answer_another(
        &mut self,
        from: PeerId,
        header: &Header,
        body: &Message,
        now: Instant,
    ) {
        let held = self.peers.get(from).and_then(Peer::worker);
        let held = held.map_or(&[][..], |worker| &worker.held);
        let mut held = held.iter().copied();
        if let Some(key) = held.find(|key| self.requests[*key].asker.is_some()) {
            self.end_attempt(key);
            self.answer(key, header, body.clone(), now);
        }
    }

    /// `Bug::DispatchTwiceOnReady`.
    pub(super) fn dispatch_twice(
        &mut self,
        worker: PeerId,
        service: ServiceKey,
        form: Form,
        now: Instant,
    ) {
        let mut requests = self.requests.values();
        let taken = requests.find_map(|request| match request.state {
            State::Dispatched { token, .. } if request.service == service => {
                Some((token, request.id, request.body.message()))
            }
            State::Dispatched { .. } | State::Queued { .. } | State::Unplaced => None,
        });
        if let Some((token, id, body)) = taken {
            let header = Header::new(id);
            let request = ToWorker::Request {
                token,
                header,
                body,
            };
            self.tell_worker(worker, form, request, now);
        }
    }

    /// `Bug::DropAtDrain`.
    pub(super) fn drop_queued(&mut self) {
        let services = self.services.values();
        let queued: Vec<RequestKey> = services.flat_map(|service| service.queue.keys()).collect();
        for key in queued {
            let service = self.requests[key].service;
            self.release_asker(key);
            self.requests.remove(key);
            self.forget_if_unused(service);
        }
    }

    /// `Bug::NeverResume`.
    pub(super) fn swallow_resume(&mut self) {
        if let Some(Output::Resume(_)) = self.outputs.back() {
            self.outputs.pop_back();
        }
    }
}
