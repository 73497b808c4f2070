//! What happens by itself: heartbeats, expiry, deadlines.

use std::time::{Duration, Instant};

use super::Broker;
use super::output::{CloseReason, Departure, Output, PeerId};
use super::peer::{Peer, Side};
use super::request::{RequestKey, State};
use crate::ErrorCode;
use crate::command::ToWorker;
use crate::planted::Bug;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The worker needs a heartbeat, or is to be expired.
    Worker(PeerId),
    /// The dismissed peer had its time.
    Dismissed(PeerId),
    /// The request waited too long, or its deadline passes.
    Request(RequestKey),
}

/// How late a turn is that was not just waited for: the least heartbeat interval.
const STALL: Duration = Duration::from_millis(100);

impl Broker {
    /// Takes note of the time.
    ///
    /// When a turn begins late, and more than a worker's heartbeat interval after the turn before,
    /// this process was stopped, not the worker: its expiry moves by the gap between the turns.
    pub(super) fn observe(&mut self, now: Instant) {
        if now == self.observed {
            return;
        }
        let due = self.timers.next().unwrap_or(now).max(self.observed);
        let late = now.saturating_duration_since(due);
        let gap = now.saturating_duration_since(self.observed);
        self.observed = now.max(self.observed);
        if late <= STALL || self.planted.has(Bug::ExpireByWallClock) {
            return;
        }
        let stop = if self.planted.has(Bug::MeasureStopFromDue) {
            late
        } else {
            gap
        };
        let workers: Vec<PeerId> = self.workers_in_order().collect();
        for peer in workers {
            if let Some(worker) = self.peers.get_mut(peer).and_then(Peer::worker_mut)
                && stop > worker.heartbeat
            {
                worker.last_heard += gap;
            }
        }
    }

    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop(now) {
            if !self.is_live(at, timer) {
                continue;
            }
            match timer {
                Timer::Worker(peer) => self.check_worker(peer, now),
                Timer::Request(key) => self.check_request(key, now),
                Timer::Dismissed(peer) => {
                    let close = Output::Close(peer, CloseReason::Dismissed);
                    self.outputs.push_back(close);
                }
            }
        }
    }

    pub(super) fn compact_timers(&mut self) {
        let live = self.requests.len() + self.peers.len();
        if !self.timers.is_worth_compacting(live) {
            return;
        }
        let mut timers = std::mem::replace(&mut self.timers, crate::timers::Timers::new());
        timers.compact(live, |at, timer| self.is_live(at, timer));
        self.timers = timers;
    }

    pub(super) fn arm_worker(&mut self, peer: PeerId) {
        let busy_liveness = self.config.busy_liveness;
        if let Some(worker) = self.peers.get_mut(peer).and_then(Peer::worker_mut) {
            let at = worker.heartbeat_at().min(worker.expires_at(busy_liveness));
            worker.armed = Some(at);
            self.timers.arm(at, Timer::Worker(peer));
        }
    }

    pub(super) fn arm_request(&mut self, key: RequestKey) {
        let request = &mut self.requests[key];
        let Some(at) = request.due() else {
            request.armed = None;
            return;
        };
        if request.armed.is_none_or(|armed| at < armed) {
            self.timers.arm(at, Timer::Request(key));
            request.armed = Some(at);
        }
    }

    fn is_live(&self, at: Instant, timer: Timer) -> bool {
        match timer {
            Timer::Worker(peer) => {
                let worker = self.peers.get(peer).and_then(Peer::worker);
                worker.is_some_and(|worker| worker.armed == Some(at))
            }
            Timer::Dismissed(peer) => {
                let peer = self.peers.get(peer);
                peer.is_some_and(|peer| matches!(peer.side, Side::Dismissed))
            }
            Timer::Request(key) => {
                let request = self.requests.get(key);
                request.is_some_and(|request| request.armed == Some(at))
            }
        }
    }

    fn check_worker(&mut self, peer: PeerId, now: Instant) {
        let busy_liveness = if self.planted.has(Bug::ExpireBusyEarly) {
            0
        } else {
            self.config.busy_liveness
        };
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let paused = known.paused;
        let Some(worker) = known.worker_mut() else {
            return;
        };
        if paused {
            // Nobody reads what it sends, so its silence says nothing.
            worker.last_heard = now;
        }
        if worker.expires_at(busy_liveness) <= now {
            self.lose_worker(peer, Departure::Expired, now);
            return;
        }
        if worker.heartbeat_at() <= now {
            let form = worker.form;
            if self.planted.has(Bug::SkipHeartbeat) {
                worker.last_sent = now;
            } else {
                self.tell_worker(peer, form, ToWorker::Heartbeat, now);
            }
        }
        self.arm_worker(peer);
    }

    fn check_request(&mut self, key: RequestKey, now: Instant) {
        let request = &mut self.requests[key];
        request.armed = None;
        let is_dispatched = matches!(request.state, State::Dispatched { .. });
        if is_dispatched && self.planted.has(Bug::IgnoreDeadline) {
            request.deadline = None;
        }
        if request.due().is_none_or(|due| due > now) {
            self.arm_request(key);
            return;
        }
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(key, ErrorCode::Timeout, "the deadline has passed", now);
        } else if let State::Queued { .. } = request.state {
            self.fail_unserved(key, now);
        }
    }
}
