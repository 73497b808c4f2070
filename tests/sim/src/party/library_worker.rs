//! A program with the library's worker: the machine, and the jobs that it runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plantd_mdp::command::FromWorker;
use plantd_mdp::planted::Bug;
use plantd_mdp::worker::{Config, Output, PartSent, Terms, Worker};
use plantd_mdp::{Properties, ReconnectDelays, Token};
use plantd_zmtp::Message;

use super::job::{Job, Step};
use super::{Blow, Party};
use crate::agenda::Agenda;
use crate::network::{ConnectionId, End, Item, Traits};
use crate::stage::Stage;
use crate::wire::assemble;

pub(super) struct LibraryWorker {
    index: usize,
    bug: Option<Bug>,
    broker: usize,
    service: usize,
    offer: Terms,
    machine: Option<Worker>,
    connection: Option<ConnectionId>,
    jobs: BTreeMap<Token, Job>,
    todo: Agenda<Deed>,
    is_registered: bool,
    hangs: bool,
    has_left: bool,
}

enum Deed {
    Start,
    /// Goes on with a job.
    Go(Token),
    /// Ends a job that nobody waits for.
    Stop(Token),
}

impl LibraryWorker {
    pub(super) fn new(
        index: usize,
        broker: usize,
        service: usize,
        bug: Option<Bug>,
        stage: &mut Stage,
    ) -> Self {
        let dice = &mut stage.dice;
        Self {
            index,
            bug,
            broker,
            service,
            offer: Terms {
                credit: dice.pick(&[1, 1, 2, 5, 16]),
                streams: dice.pick(&[1, 3, 1024]),
                heartbeat: dice.milliseconds(200..=1500),
                liveness: dice.pick(&[3, 4, 5]),
            },
            machine: None,
            connection: None,
            jobs: BTreeMap::new(),
            todo: Agenda::new(),
            is_registered: false,
            hangs: false,
            has_left: false,
        }
    }

    fn start(&mut self, stage: &mut Stage) {
        let config = Config {
            service: stage.plan.services[self.service].clone(),
            name: format!("party-{}", self.index),
            version: String::new(),
            offer: self.offer,
            reconnect: ReconnectDelays {
                first: Duration::from_millis(50),
                longest: Duration::from_secs(1),
            },
        };
        let mut machine = Worker::new(config, stage.dice.seed());
        if let Some(bug) = self.bug {
            machine.plant(bug);
        }
        self.machine = Some(machine);
        self.is_registered = false;
        self.hangs = false;
        self.settle(stage);
    }

    fn crash(&mut self, stage: &mut Stage) {
        if let Some(connection) = self.connection.take() {
            stage.die(connection, End::Party);
        }
        self.machine = None;
        self.jobs.clear();
        self.todo.clear();
        let down = stage.dice.milliseconds(10..=2000);
        self.todo.put(stage.now + down, Deed::Start);
    }

    fn does(&mut self, deed: Deed, stage: &mut Stage) {
        match deed {
            Deed::Start => self.start(stage),
            Deed::Go(token) => self.goes_on(token, stage),
            Deed::Stop(token) => {
                if let (Some(machine), Some(_)) = (&mut self.machine, self.jobs.remove(&token)) {
                    machine.send_error(token, "cancelled", "nobody waits", false, stage.now);
                }
            }
        }
        self.settle(stage);
    }

    fn goes_on(&mut self, token: Token, stage: &mut Stage) {
        let (Some(machine), Some(job)) = (&mut self.machine, self.jobs.get_mut(&token)) else {
            return;
        };
        let now = stage.now;
        let properties = Properties::default();
        match job.next(stage) {
            Step::Part(body) => match machine.send_partial(token, properties, body, now) {
                PartSent::Sent => {
                    job.part_is_sent();
                    let pause = Job::pause(stage);
                    self.todo.put(now + pause, Deed::Go(token));
                }
                // Nobody will ask for more of what nobody waits for.
                PartSent::Later(_) if job.is_cancelled => self.todo.put(now, Deed::Stop(token)),
                PartSent::Later(_) => {}
                PartSent::Gone => {
                    self.jobs.remove(&token);
                }
            },
            Step::Answer(body) => {
                machine.send_final(token, properties, body, now);
                self.jobs.remove(&token);
            }
            Step::Error { retryable } => {
                machine.send_error(token, "broken", "it did not work", retryable, now);
                self.jobs.remove(&token);
            }
            Step::Nothing => {}
        }
    }

    /// Who leaves in good order has ended all that it took.
    fn judge_departure(&self, stage: &mut Stage) {
        let machine = self.machine.as_ref();
        if let Some(held) = machine.map(Worker::held_count).filter(|held| *held > 0) {
            let words = format!("a worker leaves and holds {held} requests");
            stage.judge(Err(words.into()));
        }
    }

    /// Programs may heed it, at once or later, or go on.
    fn hears_cancel(&mut self, token: Token, stage: &mut Stage) {
        let wait = stage.dice.milliseconds(0..=100);
        let deed = if stage.dice.chance(60) {
            Deed::Stop(token)
        } else {
            Deed::Go(token)
        };
        if let Some(job) = self.jobs.get_mut(&token) {
            job.is_cancelled = true;
            self.todo.put(stage.now + wait, deed);
        }
    }

    /// Carries out what the machine wants.
    fn settle(&mut self, stage: &mut Stage) {
        while let Some(output) = self.machine.as_mut().and_then(Worker::poll_output) {
            match output {
                Output::Connect => {
                    let traits = Traits {
                        party: self.index,
                        broker: self.broker,
                        honest: true,
                        joins_partials: false,
                        pings: stage.dice.chance(30),
                    };
                    self.connection = Some(stage.connect(traits));
                }
                Output::Close => {
                    if let Some(connection) = self.connection.take() {
                        stage.close(connection, End::Party);
                    }
                }
                Output::Send(command) => {
                    if command == FromWorker::Disconnect {
                        self.judge_departure(stage);
                    }
                    let message = assemble(|out| command.encode(out));
                    let message = message.expect("the library writes its own dialect");
                    if let Some(connection) = self.connection {
                        stage.send(connection, End::Broker, Item::Message(message));
                    }
                }
                Output::Registered(_) => self.is_registered = true,
                Output::Lost(_) => self.is_registered = false,
                Output::Request { token, body, .. } => {
                    let job = Job::begin(token, &body, self.hangs, stage);
                    self.jobs.insert(token, job);
                    let pause = Job::pause(stage);
                    self.todo.put(stage.now + pause, Deed::Go(token));
                }
                Output::Cancel { token } => self.hears_cancel(token, stage),
                Output::Room { token } => self.todo.put(stage.now, Deed::Go(token)),
                Output::Drained => {
                    self.machine = None;
                    self.connection = None;
                    if !self.has_left {
                        let away = stage.dice.milliseconds(10..=3000);
                        self.todo.put(stage.now + away, Deed::Start);
                    }
                }
            }
        }
        if let Some(machine) = &self.machine {
            machine.check_invariants();
        }
    }
}

impl Party for LibraryWorker {
    fn starts(&mut self, stage: &mut Stage) {
        self.start(stage);
    }

    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if let (Some(machine), true) = (&mut self.machine, self.connection == Some(connection)) {
            machine.handle_opened(stage.now);
        }
        self.settle(stage);
    }

    fn closed(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection == Some(connection) {
            self.connection = None;
            if let Some(machine) = &mut self.machine {
                machine.handle_closed(stage.now);
            }
        }
        self.settle(stage);
    }

    fn hears(&mut self, connection: ConnectionId, message: &Message, stage: &mut Stage) {
        if let (Some(machine), true) = (&mut self.machine, self.connection == Some(connection)) {
            let before = machine.counts().invalid_messages;
            machine.handle_message(message, stage.now);
            if machine.counts().invalid_messages > before {
                let words = format!("a worker cannot make sense of {message:?}");
                stage.judge(Err(words.into()));
            }
        }
        self.settle(stage);
    }

    fn wakes(&mut self, stage: &mut Stage) {
        if let Some(machine) = &mut self.machine {
            machine.handle_timeout(stage.now);
        }
        self.settle(stage);
        while let Some((_, deed)) = self.todo.take(stage.now) {
            self.does(deed, stage);
        }
    }

    fn due(&self) -> Option<Instant> {
        let machine = self.machine.as_ref().and_then(Worker::poll_timeout);
        machine.into_iter().chain(self.todo.next()).min()
    }

    fn suffers(&mut self, blow: Blow, stage: &mut Stage) {
        match blow {
            Blow::Crash => self.crash(stage),
            Blow::Hang => self.hangs = true,
            Blow::Drain => {
                if let Some(machine) = &mut self.machine {
                    if stage.dice.chance(70) {
                        machine.drain(stage.now);
                    } else {
                        machine.abandon(stage.now);
                    }
                }
                self.settle(stage);
            }
            Blow::Burst => {}
        }
    }

    fn calms(&mut self, stage: &mut Stage) {
        if self.hangs && stage.dice.chance(50) {
            return self.crash(stage);
        }
        self.hangs = false;
        for (token, job) in &mut self.jobs {
            job.unhang();
            self.todo.put(stage.now, Deed::Go(*token));
        }
    }

    fn is_idle(&self) -> bool {
        let machine = self.machine.as_ref();
        let holds_nothing = machine.is_some_and(|machine| machine.held_count() == 0);
        self.has_left || (self.is_registered && holds_nothing)
    }

    fn probes(&mut self, _service: usize, _stage: &mut Stage) -> bool {
        false
    }

    fn leaves(&mut self, stage: &mut Stage) {
        self.has_left = true;
        if let Some(machine) = &mut self.machine {
            machine.drain(stage.now);
        }
        self.settle(stage);
    }
}
