//! The loop that serves: registrations at every broker, listeners of its own, handlers, and leaving.

mod brokers;
mod parts;

use std::{
    collections::BTreeMap,
    future::Future,
    ops::Bound::{Excluded, Unbounded},
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use plantd_mdp::{ErrorCode, worker as machine};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant as Clock, sleep_until},
};
use tracing::{debug, trace};

use super::{
    Answer, Outcome, Served, Worker,
    held::{Held, HeldKey, Origin, body_bytes},
    listening::{Listening, Visit, Work},
    pledge::Returns,
    registration::{Registration, RegistrationId},
    request::PartToSend,
};
use crate::{
    Status,
    brokers::Directory,
    link::{LinkEvent, Links, Role},
};

/// Parts on their way from handlers; each handler waits for its own.
const PARTS: usize = 64;
/// After how many messages and other events, at most, what came of them is written.
const TURN: usize = 256;
/// After how many bytes of answers, at most, they are written.
const TURN_BYTES: usize = 1 << 20;

/// A worker that serves.
#[derive(Debug)]
pub(super) struct Server {
    config: machine::Config,
    drain_timeout: Duration,
    links: Links,
    directory: Directory,
    registrations: BTreeMap<RegistrationId, Registration>,
    next_registration: u64,
    listening: Option<Listening>,
    held: Held,
    /// Bytes of answers that are not written yet.
    owed_bytes: usize,
    /// Whose parts found no room in this turn.
    held_back: Vec<HeldKey>,
    parts: mpsc::Receiver<PartToSend>,
    status: watch::Sender<Status>,
    /// When the drain ends at the latest, once it has begun.
    drains_until: Option<Instant>,
    unfinished: usize,
}

/// Why the loop woke.
#[derive(Debug)]
enum Wake {
    Link(LinkEvent),
    Directory,
    Listening(Visit),
    Ended(Origin, Outcome),
    Part(PartToSend),
    Shutdown,
    Timeout,
}

impl Wake {
    /// What it counts as in a turn.
    fn weight(&self) -> usize {
        match self {
            Self::Link(LinkEvent::Messages { messages, .. }) => messages.len(),
            Self::Listening(visit) => visit.weight(),
            Self::Link(_)
            | Self::Directory
            | Self::Ended(..)
            | Self::Part(_)
            | Self::Shutdown
            | Self::Timeout => 1,
        }
    }
}

impl Server {
    pub(super) fn new(worker: Worker, answer: Answer) -> Self {
        let (part_sender, parts) = mpsc::channel(PARTS);
        let listening = (!worker.listeners.is_empty()).then(|| {
            Listening::new(
                worker.listeners,
                worker.listener_limits,
                &worker.config,
                worker.listener_status,
                Clock::now().into_std(),
            )
        });
        Self {
            config: worker.config,
            drain_timeout: worker.drain_timeout,
            links: Links::new(worker.transport, Role::Dealer),
            directory: Directory::new(worker.brokers),
            registrations: BTreeMap::new(),
            next_registration: 0,
            listening,
            held: Held::new(worker.concurrency, answer, Returns::new(part_sender)),
            owed_bytes: 0,
            held_back: Vec::new(),
            parts,
            status: worker.status,
            drains_until: None,
            unfinished: 0,
        }
    }

    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) -> Served {
        let mut shutdown = pin!(shutdown.fuse());
        let mut wake = Wake::Directory;
        loop {
            // The one clock of this loop: the runtime's, so that tests can let time pass.
            let now = Clock::now().into_std();
            self.take(wake, now);
            self.take_due(now);
            self.settle(now);
            // What else has come already shares the write.
            let mut taken = 1;
            while taken < TURN {
                let Some(wake) = self.next().now_or_never() else {
                    break;
                };
                taken += wake.weight();
                self.take(wake, now);
                self.settle(now);
            }
            self.flush();
            while self.retry_held_back(now) {
                self.settle(now);
                self.flush();
            }
            if self.drains_until.is_some() && self.has_left() {
                break;
            }
            wake = self.wait(shutdown.as_mut()).await;
        }
        self.links.finish().await;
        if let Some(listening) = self.listening {
            listening.finish().await;
        }
        match self.unfinished {
            0 => Served::Drained,
            unfinished => Served::TimedOut { unfinished },
        }
    }

    async fn wait(&mut self, shutdown: impl Future<Output = ()>) -> Wake {
        let machines = self
            .registrations
            .values()
            .map(|it| it.machine.poll_timeout());
        let own = self.listening.as_ref().and_then(Listening::poll_timeout);
        let due = machines.chain([own, self.drains_until]).flatten().min();
        let due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            wake = self.next() => wake,
            () = shutdown => Wake::Shutdown,
            () = due => Wake::Timeout,
        }
    }

    /// Waits for what brokers, clients and handlers do. Dropping the future loses nothing.
    async fn next(&mut self) -> Wake {
        let own = async {
            match &mut self.listening {
                Some(listening) => listening.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.links.next() => Wake::Link(event),
            () = self.directory.changed() => Wake::Directory,
            visit = own => Wake::Listening(visit),
            (origin, outcome) = self.held.next() => Wake::Ended(origin, outcome),
            Some(part) = self.parts.recv() => Wake::Part(part),
        }
    }

    fn flush(&mut self) {
        self.owed_bytes = 0;
        self.links.flush();
        if let Some(listening) = &mut self.listening {
            listening.flush();
        }
    }

    fn take(&mut self, wake: Wake, now: Instant) {
        match wake {
            Wake::Link(event) => self.take_event(event, now),
            Wake::Directory => self.take_directory(),
            Wake::Listening(visit) => {
                if let Some(listening) = &mut self.listening {
                    listening.take(visit, now);
                }
            }
            Wake::Ended(origin, outcome) => self.take_outcome(origin, outcome, now),
            Wake::Part(part) => self.take_part(part.key, part.part, part.sent, now),
            Wake::Shutdown => {
                debug!(service = %self.config.service, "leaving");
                self.drains_until = Some(now + self.drain_timeout);
                for registration in self.registrations.values_mut() {
                    registration.machine.drain(now);
                }
                if let Some(listening) = &mut self.listening {
                    listening.drain(now);
                }
            }
            Wake::Timeout => {}
        }
    }

    fn take_due(&mut self, now: Instant) {
        for registration in self.registrations.values_mut() {
            registration.machine.handle_timeout(now);
        }
        if let Some(listening) = &mut self.listening {
            listening.handle_timeout(now);
        }
        if self.drains_until.is_some_and(|until| until <= now) {
            for registration in self.registrations.values_mut() {
                self.unfinished += registration.machine.held_count();
                registration.machine.abandon(now);
            }
            if let Some(listening) = &mut self.listening {
                self.unfinished += listening.abandon(now);
            }
        }
    }

    /// Whether everybody has been said goodbye to.
    fn has_left(&self) -> bool {
        self.registrations.values().all(|it| it.has_left)
            && self.listening.as_ref().is_none_or(Listening::has_left)
    }

    fn take_event(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Opened { key, .. } => {
                if let Some((_, registration)) = self.registration_of(key) {
                    debug!(endpoint = %registration.endpoint, "connected to a broker");
                    registration.machine.handle_opened(now);
                }
            }
            LinkEvent::Messages { key, messages } => {
                let Some((id, _)) = self.registration_of(key) else {
                    return;
                };
                for message in messages {
                    trace!(?message, "received");
                    if let Some(registration) = self.registrations.get_mut(&id) {
                        registration.machine.handle_message(&message, now);
                    }
                    // At once, while what it wrote is in the processor's cache.
                    self.take_outputs_of(id, now);
                    self.send_answered_at_once(now);
                }
            }
            LinkEvent::Subscriptions { .. } | LinkEvent::Marked { .. } => {}
            LinkEvent::HasRoom { key } => {
                if let Some((id, _)) = self.registration_of(key) {
                    self.retry_parts(id, now);
                }
            }
            LinkEvent::Closed { key, reason } => {
                if let Some((_, registration)) = self.registration_of(key) {
                    registration.close_reason = Some(reason);
                    registration.machine.handle_closed(now);
                }
            }
        }
    }

    fn take_outcome(&mut self, origin: Origin, outcome: Outcome, now: Instant) {
        self.owed_bytes += body_bytes(&outcome);
        let Some(machine) = self.machine_of(origin.registration) else {
            return;
        };
        let token = origin.token;
        if !machine.is_held(token) {
            return;
        }
        match outcome.map(|reply| (reply.body.check_size(), reply)) {
            Ok((Ok(()), reply)) => {
                machine.send_final(token, reply.properties, reply.body.into(), now);
            }
            Ok((Err(message), _)) => {
                machine.send_error(token, ErrorCode::TooLarge.as_str(), &message, false, now);
            }
            Err(error) => {
                debug!(%error, "a request failed");
                machine.send_error(token, &error.code, &error.message, error.retryable, now);
            }
        }
    }

    /// Carries out what follows, and sends what is answered by now.
    fn settle(&mut self, now: Instant) {
        loop {
            self.take_outputs(now);
            self.write_if_much(now);
            let Some((origin, outcome)) = self.held.take_answered() else {
                return;
            };
            self.send_outcome(origin, outcome, now);
            while let Some((origin, outcome)) = self.held.take_answered() {
                self.send_outcome(origin, outcome, now);
            }
        }
    }

    /// Sends what handlers have answered as soon as they were tried.
    fn send_answered_at_once(&mut self, now: Instant) {
        while let Some((origin, outcome)) = self.held.take_answered_at_once() {
            self.send_outcome(origin, outcome, now);
        }
    }

    fn send_outcome(&mut self, origin: Origin, outcome: Outcome, now: Instant) {
        self.take_outcome(origin, outcome, now);
        self.take_outputs_of(origin.registration, now);
        self.write_if_much(now);
    }

    /// Writes what is owed before a turn is over, when it is much: so that who does not read is found
    /// before more is answered.
    fn write_if_much(&mut self, now: Instant) {
        if self.owed_bytes < TURN_BYTES {
            return;
        }
        self.flush();
        if let Some(listening) = &mut self.listening {
            listening.handle_timeout(now);
        }
    }

    fn take_outputs(&mut self, now: Instant) {
        let mut next = self.registrations.keys().next().copied();
        while let Some(id) = next {
            self.take_outputs_of(id, now);
            let mut others = self.registrations.range((Excluded(id), Unbounded));
            next = others.next().map(|(id, _)| *id);
        }
        self.take_outputs_of(RegistrationId::OWN, now);
    }

    fn take_outputs_of(&mut self, id: RegistrationId, now: Instant) {
        if id == RegistrationId::OWN {
            while let Some(listening) = &mut self.listening
                && let Some(work) = listening.poll_work(now)
            {
                self.take_work(id, work, now);
            }
            return;
        }
        while let Some(registration) = self.registrations.get_mut(&id)
            && let Some(output) = registration.machine.poll_output()
        {
            self.take_output(id, output, now);
        }
    }

    fn take_output(&mut self, id: RegistrationId, output: machine::Output, now: Instant) {
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        match output {
            machine::Output::Connect => {
                let endpoint = registration.endpoint.clone();
                debug!(%endpoint, "connecting to a broker");
                registration.connection = Some(self.links.dial(endpoint));
            }
            machine::Output::Close => {
                if let Some(key) = registration.connection.take() {
                    self.links.close(key);
                }
            }
            machine::Output::Send(command) => {
                trace!(?command, "sending");
                if let Some(key) = registration.connection {
                    self.links.send(key, |out| command.encode(out));
                }
            }
            machine::Output::Registered(_) => {
                registration.join(self.config.service.as_str());
                self.show_status();
            }
            machine::Output::Lost(loss) => {
                registration.lose(loss);
                self.directory.look_again();
                self.forget_gone();
                self.show_status();
            }
            machine::Output::Request {
                token,
                header,
                body,
            } => {
                let work = Work::Request {
                    token,
                    header,
                    body,
                };
                self.take_work(id, work, now);
            }
            machine::Output::Cancel { token } => self.take_work(id, Work::Cancel { token }, now),
            machine::Output::Room { token } => self.take_work(id, Work::Room { token }, now),
            machine::Output::Drained => {
                registration.has_left = true;
                registration.is_up = false;
                self.show_status();
            }
        }
    }

    /// Takes what concerns a request, wherever it came from.
    fn take_work(&mut self, registration: RegistrationId, work: Work, now: Instant) {
        let origin = |token| Origin {
            registration,
            token,
        };
        match work {
            Work::Request {
                token,
                header,
                body,
            } => self.held.take(origin(token), header, body),
            Work::Cancel { token } => {
                let had_no_handler = self.held.cancel(origin(token));
                if let Some(machine) = self.machine_of(registration)
                    && had_no_handler
                    && machine.is_held(token)
                {
                    let code = ErrorCode::Cancelled.as_str();
                    machine.send_error(token, code, "", false, now);
                }
            }
            Work::Room { token } => {
                if let Some(key) = self.held.key(origin(token))
                    && let Some((part, sent)) = self.held.take_part(key)
                {
                    self.take_part(key, part, sent, now);
                }
            }
            Work::RoomSomewhere => self.retry_parts(registration, now),
        }
    }

    /// The machine whose requests are held under this registration.
    fn machine_of(&mut self, registration: RegistrationId) -> Option<&mut machine::Worker> {
        if registration == RegistrationId::OWN {
            return self.listening.as_mut().map(Listening::resident);
        }
        let known = self.registrations.get_mut(&registration);
        known.map(|known| &mut known.machine)
    }
}
