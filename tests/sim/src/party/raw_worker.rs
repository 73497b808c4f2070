//! A worker of an older dialect: one request at a time, and silent or not while it works.

use std::time::{Duration, Instant};

use plantd_mdp::{Dialect, Form, Token};
use plantd_zmtp::Message;

use super::job::{Job, Step};
use super::{Blow, Party};
use crate::agenda::Agenda;
use crate::network::{ConnectionId, End, Item, Traits};
use crate::stage::Stage;
use crate::wire::{Heard, Say, hear, say};

pub(super) struct RawWorker {
    index: usize,
    form: Form,
    broker: usize,
    service: usize,
    connection: Option<ConnectionId>,
    is_up: bool,
    job: Option<(Token, Job)>,
    /// Single-threaded workers are silent while they work.
    works_in_silence: bool,
    heard_at: Instant,
    todo: Agenda<Deed>,
    hangs: bool,
    has_left: bool,
}

enum Deed {
    Connect,
    Beat,
    Go(Token),
}

impl RawWorker {
    pub(super) fn new(
        index: usize,
        form: Form,
        broker: usize,
        service: usize,
        stage: &mut Stage,
    ) -> Self {
        Self {
            index,
            form,
            broker,
            service,
            connection: None,
            is_up: false,
            job: None,
            works_in_silence: stage.dice.chance(40),
            heard_at: stage.now,
            todo: Agenda::new(),
            hangs: false,
            has_left: false,
        }
    }

    fn connect(&mut self, stage: &mut Stage) {
        let traits = Traits {
            party: self.index,
            broker: self.broker,
            honest: true,
            joins_partials: false,
            pings: false,
        };
        self.is_up = false;
        self.connection = Some(stage.connect(traits));
    }

    /// Comes back on another connection after a while.
    fn comes_back(&mut self, stage: &mut Stage) {
        self.connection = None;
        self.is_up = false;
        self.job = None;
        self.hangs = false;
        self.todo.clear();
        if !self.has_left {
            let away = stage.dice.milliseconds(10..=1000);
            self.todo.put(stage.now + away, Deed::Connect);
        }
    }

    fn hang_up(&mut self, stage: &mut Stage) {
        if let Some(connection) = self.connection {
            stage.close(connection, End::Party);
        }
        self.comes_back(stage);
    }

    fn says(&self, command: Say<'_>, body: &Message, stage: &mut Stage) {
        let message = say(self.form, command, body);
        if let Some(connection) = self.connection {
            stage.send(connection, End::Broker, Item::Message(message));
        }
    }

    fn beats(&mut self, stage: &mut Stage) {
        let interval = stage.plan.broker.heartbeat_interval;
        self.todo.put(stage.now + interval.mul_f64(0.8), Deed::Beat);
        let patience = interval * (2 * stage.plan.broker.liveness + 2);
        if self.heard_at + patience < stage.now {
            return self.hang_up(stage);
        }
        if self.job.is_none() || !self.works_in_silence {
            self.says(Say::Heartbeat, &Message::EMPTY, stage);
        }
    }

    fn goes_on(&mut self, token: Token, stage: &mut Stage) {
        let Some((held, job)) = &mut self.job else {
            return;
        };
        if *held != token {
            return;
        }
        match job.next(stage) {
            // A dialect without PARTIAL answers with the last part alone.
            Step::Part(_) if self.form.dialect == Dialect::Mdp01 => {
                job.skips_parts();
                self.todo.put(stage.now, Deed::Go(token));
            }
            Step::Part(body) => {
                job.part_is_sent();
                let pause = Job::pause(stage);
                self.todo.put(stage.now + pause, Deed::Go(token));
                self.says(Say::Partial(token), &body, stage);
            }
            Step::Answer(body) => {
                self.job = None;
                self.says(Say::Final(token), &body, stage);
            }
            // Without ERROR in its dialect, a worker that fails dies.
            Step::Error { .. } => self.suffers(Blow::Crash, stage),
            Step::Nothing => {}
        }
    }
}

impl Party for RawWorker {
    fn starts(&mut self, stage: &mut Stage) {
        self.connect(stage);
    }

    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection != Some(connection) {
            return;
        }
        self.is_up = true;
        self.heard_at = stage.now;
        let service = stage.plan.services[self.service].clone();
        self.says(Say::Ready(service.as_str()), &Message::EMPTY, stage);
        let interval = stage.plan.broker.heartbeat_interval;
        self.todo.put(stage.now + interval.mul_f64(0.8), Deed::Beat);
    }

    fn closed(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection == Some(connection) {
            self.comes_back(stage);
        }
    }

    fn hears(&mut self, connection: ConnectionId, message: &Message, stage: &mut Stage) {
        if self.connection != Some(connection) {
            return;
        }
        self.heard_at = stage.now;
        match hear(self.form, message) {
            Some(Heard::Heartbeat) => {}
            Some(Heard::Disconnect) => self.hang_up(stage),
            Some(Heard::Request { token, body }) => {
                if self.job.is_some() {
                    stage.judge(Err("a worker without credit holds two requests".into()));
                }
                let job = Job::begin(token, &body, self.hangs, stage);
                self.job = Some((token, job));
                let pause = Job::pause(stage);
                self.todo.put(stage.now + pause, Deed::Go(token));
            }
            Some(Heard::Partial { .. } | Heard::Final { .. }) | None => {
                let words = format!("a worker cannot make sense of {message:?}");
                stage.judge(Err(words.into()));
            }
        }
    }

    fn wakes(&mut self, stage: &mut Stage) {
        while let Some((_, deed)) = self.todo.take(stage.now) {
            match deed {
                Deed::Connect => self.connect(stage),
                Deed::Beat => self.beats(stage),
                Deed::Go(token) => self.goes_on(token, stage),
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.todo.next()
    }

    fn suffers(&mut self, blow: Blow, stage: &mut Stage) {
        match blow {
            Blow::Crash => {
                if let Some(connection) = self.connection {
                    stage.die(connection, End::Party);
                }
                self.comes_back(stage);
            }
            Blow::Hang => self.hangs = true,
            Blow::Drain => {
                if self.is_up {
                    self.says(Say::Disconnect, &Message::EMPTY, stage);
                    self.hang_up(stage);
                }
            }
            Blow::Burst => {}
        }
    }

    fn calms(&mut self, stage: &mut Stage) {
        if self.hangs && stage.dice.chance(50) {
            return self.suffers(Blow::Crash, stage);
        }
        self.hangs = false;
        if let Some((token, job)) = &mut self.job {
            job.unhang();
            self.todo
                .put(stage.now + Duration::from_millis(1), Deed::Go(*token));
        }
    }

    fn is_idle(&self) -> bool {
        self.has_left || (self.is_up && self.job.is_none())
    }

    fn probes(&mut self, _service: usize, _stage: &mut Stage) -> bool {
        false
    }

    fn leaves(&mut self, stage: &mut Stage) {
        self.has_left = true;
        self.suffers(Blow::Drain, stage);
        if self.connection.is_some() {
            self.hang_up(stage);
        }
        self.todo.clear();
    }
}
