//! Watches a broker from outside: all that it is given and all that it wants done, against what it
//! promises.
//!
//! It knows requests by the stamps in their bodies, attempts by their tokens, and sums by the
//! tally. It never looks into the machine.

mod attempts;
mod cases;
mod events;
mod management;
mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plantd_mdp::broker::{Config, Origin, Output, PeerId, Tally};
use plantd_mdp::codec::{self, Inbound, Refusal, Role};
use plantd_mdp::command::{FromClient, FromWorker, ToWorker};
use plantd_mdp::{Form, Token};
use plantd_zmtp::Message;

use self::attempts::{Attempt, WorkerView};
use self::cases::Case;
use self::management::Managed;
use self::sums::Sums;
use crate::network::{ConnectionId, Traits};
use crate::stage::Stage;
use crate::verdict::{Verdict, ensure};

/// What a broker is given to take.
#[derive(Debug)]
pub(crate) enum Act {
    Opened(PeerId, Origin),
    Closed(PeerId),
    Message(PeerId, Message),
    Backlog(PeerId, usize),
    Drain,
    DrainDeadline,
    Timeout,
}

/// A broker's life as it can be seen.
#[derive(Debug)]
pub(crate) struct Witness {
    config: Config,
    peers: BTreeMap<PeerId, PeerView>,
    workers: BTreeMap<PeerId, WorkerView>,
    /// By stamp.
    cases: BTreeMap<u64, Case>,
    /// Cases that have not ended, as far as can be seen.
    open: BTreeSet<u64>,
    /// Every token that was ever given.
    attempts: BTreeMap<Token, Attempt>,
    /// Those whose attempts are under way.
    under_way: BTreeSet<Token>,
    now: Instant,
    is_draining: bool,
    /// When the process went on after a stop, and for how long it had done nothing.
    continued: Option<(Instant, Duration)>,
    /// What the act under way may still lead to.
    act: ActView,
    sums: Sums,
}

/// A connection.
#[derive(Debug)]
struct PeerView {
    connection: ConnectionId,
    traits: Traits,
    /// By the client's id, the stamps of open MDP/0.3 requests.
    ids: BTreeMap<u64, u64>,
    /// Requests taken and FINALs given, where ids do not tell.
    taken: usize,
    answered: usize,
    was_expired: bool,
    got_disconnect: bool,
    is_closed: bool,
}

/// What is known of the act under way.
#[derive(Debug, Default)]
struct ActView {
    /// Who sent a REQUEST, or something that is answered like one.
    asks: Option<PeerId>,
    /// The stamp of the request that was read, which may be refused.
    stamp: Option<u64>,
    /// How the worker speaks that sent something.
    form: Option<Form>,
    /// Clients that are gone.
    gone: Vec<PeerId>,
    /// Honest workers that were taken out, which only an outbox over its limit explains.
    dismissed: Vec<PeerId>,
    /// The attempt that a FINAL or ERROR has just ended.
    ended: Option<Token>,
    /// The attempt that became a stream, should its PARTIAL go out.
    parted: Option<Token>,
    /// Requests whose workers were told that nobody waits.
    dropped: Vec<u64>,
    /// The request that a CANCEL came for.
    cancelled: Option<u64>,
    /// The management service that was asked, and what is expected of the answer.
    managed: Option<Managed>,
    /// What a MORE adds, and to which case.
    more: Option<(u64, u64)>,
    more_is_told: bool,
}

impl Witness {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            workers: BTreeMap::new(),
            cases: BTreeMap::new(),
            open: BTreeSet::new(),
            attempts: BTreeMap::new(),
            under_way: BTreeSet::new(),
            now,
            is_draining: false,
            continued: None,
            act: ActView::default(),
            sums: Sums::default(),
        }
    }

    pub(crate) fn meets(&mut self, peer: PeerId, connection: ConnectionId, traits: Traits) {
        let view = PeerView {
            connection,
            traits,
            ids: BTreeMap::new(),
            taken: 0,
            answered: 0,
            was_expired: false,
            got_disconnect: false,
            is_closed: false,
        };
        self.peers.insert(peer, view);
    }

    /// Takes note of what the broker is about to be given.
    pub(crate) fn sees_act(&mut self, act: &Act, tally: &Tally, now: Instant) -> Verdict {
        self.act = ActView::default();
        self.now = now;
        self.sums = Sums::of(tally);
        match act {
            Act::Message(peer, message) => {
                self.sees_message(*peer, message);
                Ok(())
            }
            Act::Closed(peer) => {
                self.act.gone.push(*peer);
                Ok(())
            }
            Act::Drain | Act::DrainDeadline => {
                self.is_draining = true;
                Ok(())
            }
            Act::Backlog(peer, bytes) => {
                if let Some(worker) = self.workers.get_mut(peer) {
                    worker.has_backlog = *bytes > 0;
                }
                Ok(())
            }
            Act::Opened(..) | Act::Timeout => Ok(()),
        }
    }

    /// Checks one effect.
    pub(crate) fn sees_output(&mut self, output: &Output, stage: &mut Stage) -> Verdict {
        if let Some(what) = events::name(output) {
            stage.sees(what);
        }
        match output {
            Output::ToClient { peer, command, .. } => {
                self.check_writable(*peer)?;
                self.sees_reply(*peer, command)
            }
            Output::ToWorker { peer, command, .. } => {
                self.check_writable(*peer)?;
                if let ToWorker::Request { token, .. } = command {
                    let party = self.peers[peer].traits.party;
                    stage.ledger.gives(*token, party);
                }
                self.sees_order(*peer, command)
            }
            Output::Event(event) => self.sees_event(event, stage),
            Output::Close(peer, reason) => self.sees_close(*peer, *reason),
            Output::Pause(peer) => {
                if let Some(worker) = self.workers.get_mut(peer) {
                    worker.is_paused = true;
                }
                Ok(())
            }
            Output::Resume(peer) => {
                if let Some(worker) = self.workers.get_mut(peer) {
                    worker.is_paused = false;
                    worker.heard_at = self.now;
                }
                Ok(())
            }
            Output::Drained => {
                ensure!(self.is_draining, "drained without a drain");
                Ok(())
            }
        }
    }

    /// Checks what is left when an act and all its effects are done.
    pub(crate) fn sums_up(&mut self, tally: &Tally) -> Verdict {
        self.check_limits(tally)?;
        self.check_managed()?;
        self.undo_stream();
        self.take_case(tally)?;
        self.balance(tally)?;
        self.bury_gone();
        self.check_cancels()?;
        ensure!(
            self.act.dismissed.is_empty(),
            "an honest worker is dismissed"
        );
        self.check_heeded()?;
        let workers = self.workers.len();
        ensure!(
            tally.workers == workers,
            "{} workers are counted, and {workers} are registered",
            tally.workers
        );
        Ok(())
    }

    /// Checks what must have happened by itself by the end of a turn.
    pub(crate) fn check_punctual(&self, now: Instant) -> Verdict {
        self.check_cases_on_time(now)?;
        self.check_workers_on_time(now)
    }

    pub(crate) fn check_idle(&self, tally: &Tally) -> Verdict {
        let held = tally.queued + tally.unanswered + tally.held_bytes + tally.backlog_bytes;
        ensure!(held == 0, "something is held when all is calm: {tally:?}");
        let mut services: BTreeSet<_> = BTreeSet::new();
        services.extend(self.workers.values().map(|worker| &worker.service));
        ensure!(
            tally.services == services.len(),
            "{} services are known, and workers serve {services:?}",
            tally.services
        );
        for stamp in &self.open {
            let case = &self.cases[stamp];
            ensure!(!case.tells_its_end(), "a request never ended: {case:?}");
        }
        Ok(())
    }

    pub(crate) fn check_drained(&self, tally: &Tally) -> Verdict {
        let left = tally.queued + tally.unanswered + tally.workers;
        ensure!(left == 0, "something is left after a drain: {tally:?}");
        for stamp in &self.open {
            let case = &self.cases[stamp];
            ensure!(!case.tells_its_end(), "a drain lost {case:?}");
        }
        Ok(())
    }

    /// The process was stopped and goes on.
    pub(crate) fn continues(&mut self, now: Instant) {
        self.continued = Some((now, now - self.now));
        for worker in self.workers.values_mut() {
            worker.heard_at = now;
        }
    }

    /// Whether what a worker sent may be unread: the process was stopped for too short a time to
    /// notice, and looks at the clock first.
    fn may_be_behind(&self, worker: &WorkerView) -> bool {
        self.continued
            .is_some_and(|(at, gap)| at == self.now && gap <= worker.heartbeat)
    }

    fn check_writable(&self, peer: PeerId) -> Verdict {
        let Some(view) = self.peers.get(&peer) else {
            return Err(format!("{peer:?} is unknown and written to").into());
        };
        ensure!(!view.is_closed, "{peer:?} is written to after its end");
        ensure!(
            !view.got_disconnect,
            "{peer:?} is written to after DISCONNECT"
        );
        Ok(())
    }

    fn sees_message(&mut self, peer: PeerId, message: &Message) {
        match codec::decode(message, None) {
            Ok((form, Inbound::Client(command))) => match command {
                FromClient::Request {
                    service,
                    header,
                    body,
                } => {
                    self.act.asks = Some(peer);
                    self.act.managed = self.expect_status(peer, &service, &body);
                    self.open_case(peer, form, service, &header, &body);
                }
                FromClient::Cancel { header, .. } => self.sees_cancel(peer, header.id),
                FromClient::More { header, .. } => self.sees_more(peer, &header),
            },
            Ok((form, Inbound::Worker(command))) => {
                self.act.form = Some(form);
                self.sees_worker(peer, form, &command);
            }
            Err(Refusal {
                speaker: Some((Role::Client, _)),
                request: Some(_),
                ..
            }) => self.act.asks = Some(peer),
            Err(_) => {}
        }
    }

    fn sees_worker(&mut self, peer: PeerId, form: Form, command: &FromWorker) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        if worker.form != form {
            return;
        }
        worker.heard_at = self.now;
        match command {
            FromWorker::Heartbeat { header } => {
                if let Ok(Some(credit)) = header.properties.number("credit") {
                    worker.credit = credit.min(4096);
                }
            }
            FromWorker::Partial { token, .. } => self.sees_partial(peer, *token),
            FromWorker::Final { token, .. } => self.sees_attempt_end(peer, *token, None),
            FromWorker::Error { token, header } => {
                let code = header.properties.get("code").unwrap_or("error");
                self.sees_attempt_end(peer, *token, Some(code));
            }
            FromWorker::Ready { .. } | FromWorker::Disconnect => {}
        }
    }
}
