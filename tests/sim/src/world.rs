//! A run from its seed to its end: a storm, a calm, and a farewell.

use std::time::{Duration, Instant};

use plantd_mdp::planted::Bug;

use crate::broker_process::BrokerProcess;
use crate::faults;
use crate::network::{ConnectionId, End, Item, Reading};
use crate::party::{Party, cast};
use crate::stage::{Event, Mend, Process, Stage};
use crate::verdict::Violation;

/// How long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it takes at most until who was lost knows it.
const HEARTBEATS: Duration = Duration::from_secs(10);
/// How often it is looked whether all is at rest.
const LOOK: Duration = Duration::from_millis(250);
/// Events of one instant after which the world is taken to be stuck.
const STUCK: u32 = 100_000;

pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) parties: Vec<Box<dyn Party>>,
    pub(crate) brokers: Vec<BrokerProcess>,
    /// When each party is woken next.
    woken_for: Vec<Option<Instant>>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, is_verbose: bool) -> Self {
        let mut stage = Stage::new(seed, is_verbose);
        stage.tell(|| format!("{:#?}", stage.plan));
        let brokers = (0..stage.plan.brokers).map(|index| BrokerProcess::new(index, bug));
        let brokers = brokers.collect();
        let roles = stage.plan.cast.clone();
        let roles = roles.into_iter().enumerate();
        let parties: Vec<_> = roles
            .map(|(index, role)| cast(index, role, bug, &mut stage))
            .collect();
        Self {
            woken_for: vec![None; parties.len()],
            stage,
            parties,
            brokers,
        }
    }

    /// Plays it all; gives what went wrong.
    pub(crate) fn play(&mut self) -> Result<(), Violation> {
        for broker in &mut self.brokers {
            broker.start(&mut self.stage);
        }
        for party in 0..self.parties.len() {
            self.with_party(party, |party, stage| party.starts(stage));
        }
        for (fault, every) in self.stage.plan.faults.clone() {
            let first = self.stage.dice.around(every);
            self.stage
                .agenda
                .put(self.stage.now + first, Event::Strike(fault));
        }
        let storm = self.stage.plan.storm;
        self.pass(storm)?;
        self.calm()?;
        self.probe()?;
        self.farewell()
    }

    /// Ends all faults, and waits until all is at rest.
    fn calm(&mut self) -> Result<(), Violation> {
        self.stage.tell(|| "calm".to_owned());
        self.stage.is_calm = true;
        for process in std::mem::take(&mut self.stage.stopped) {
            self.continues(process);
        }
        for (connection, _) in self.list_connections() {
            for end in End::BOTH {
                self.stage.set_reading_eager_again(connection, end);
            }
            self.stage.delay(connection, Duration::ZERO);
            let known = &self.stage.connections[connection];
            if known.is_stalled() || End::BOTH.iter().any(|end| !known.is_open(*end)) {
                self.stage.cut(connection);
            }
        }
        for broker in 0..self.brokers.len() {
            if !self.brokers[broker].is_up() {
                self.brokers[broker].start(&mut self.stage);
            }
        }
        for party in 0..self.parties.len() {
            self.with_party(party, |party, stage| party.calms(stage));
        }
        self.pass(HEARTBEATS)?;
        self.rest("after the storm")
    }

    /// Asks every service once more, over every kind of client.
    fn probe(&mut self) -> Result<(), Violation> {
        self.stage.tell(|| "probes".to_owned());
        for party in 0..self.parties.len() {
            for service in 0..self.stage.plan.services.len() {
                let before = self.stage.ledger.answered;
                if self.with_party(party, |party, stage| party.probes(service, stage)) {
                    self.rest("after a question in the calm")?;
                    let answered = self.stage.ledger.answered - before;
                    if answered != 1 {
                        let role = self.stage.plan.cast[party];
                        return Err(format!("{role:?} has no answer in the calm").into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets everybody leave, and looks at what is left.
    fn farewell(&mut self) -> Result<(), Violation> {
        self.stage.tell(|| "farewell".to_owned());
        for party in 0..self.parties.len() {
            self.with_party(party, |party, stage| party.leaves(stage));
        }
        self.pass(Duration::from_secs(60))?;
        for broker in &self.brokers {
            broker.check_empty(&mut self.stage);
        }
        self.stage.judge_by_ledger();
        self.verdict()
    }

    /// Waits until nobody waits for anybody.
    fn rest(&mut self, when: &str) -> Result<(), Violation> {
        let until = self.stage.now + PATIENCE;
        self.pass(LOOK)?;
        while let Some(who) = self.who_waits() {
            if self.stage.now > until {
                return Err(format!("{who} does not come to rest {when}").into());
            }
            self.pass(LOOK)?;
        }
        for broker in &self.brokers {
            broker.check_idle(&mut self.stage);
        }
        self.verdict()
    }

    fn who_waits(&self) -> Option<String> {
        let brokers = self.brokers.iter().enumerate();
        let mut brokers = brokers.filter(|(_, broker)| !broker.is_idle());
        if let Some((index, _)) = brokers.next() {
            return Some(format!("broker {index}"));
        }
        let parties = self.parties.iter().enumerate();
        let mut parties = parties.filter(|(_, party)| !party.is_idle());
        let (index, _) = parties.next()?;
        Some(format!("party {index}, {:?},", self.stage.plan.cast[index]))
    }

    fn verdict(&self) -> Result<(), Violation> {
        self.stage.violation().cloned().map_or(Ok(()), Err)
    }

    /// Lets time pass, with all that happens in it.
    fn pass(&mut self, time: Duration) -> Result<(), Violation> {
        let end = self.stage.now + time;
        let mut at_once = 0;
        while let Some((at, event)) = self.stage.agenda.take(end) {
            at_once = if at > self.stage.now { 0 } else { at_once + 1 };
            if at_once > STUCK {
                return Err(format!("time stands still at {event:?}").into());
            }
            self.stage.now = self.stage.now.max(at);
            self.happens(event);
            self.verdict()?;
        }
        self.stage.now = end;
        Ok(())
    }

    fn happens(&mut self, event: Event) {
        let stage = &mut self.stage;
        match event {
            Event::Arrive(connection, end) => {
                if stage.arrive(connection, end) {
                    self.reads(connection, end);
                }
            }
            Event::Read(connection, end) => self.reads(connection, end),
            Event::Reset(connection, end) => {
                if stage.reset(connection, end) {
                    self.reads(connection, end);
                }
            }
            Event::HandshakeDue(connection) => stage.handshake_due(connection),
            Event::StallDue(connection, end) => stage.stall_due(connection, end),
            Event::LingerDue(connection, end) => stage.linger_due(connection, end),
            Event::PingDue(connection, end) => stage.ping_due(connection, end),
            Event::Turn(broker) => self.brokers[broker].turn(stage),
            Event::Wake(party) => {
                if self.woken_for[party] == Some(stage.now) {
                    self.woken_for[party] = None;
                }
                if !stage.stopped.contains(&Process::Party(party)) {
                    self.with_party(party, |party, stage| party.wakes(stage));
                }
            }
            Event::Strike(fault) => {
                if !stage.is_calm {
                    stage.tell(|| format!("{fault:?}"));
                    faults::strike(fault, self);
                    self.strike_again(fault);
                }
            }
            Event::Mend(mend) => self.mends(mend),
        }
    }

    fn strike_again(&mut self, fault: crate::plan::Fault) {
        let mut faults = self.stage.plan.faults.iter();
        if let Some((_, every)) = faults.find(|(known, _)| *known == fault) {
            let next = self.stage.now + self.stage.dice.around(*every);
            self.stage.agenda.put(next, Event::Strike(fault));
        }
    }

    fn mends(&mut self, mend: Mend) {
        let stage = &mut self.stage;
        match mend {
            Mend::Unstall(connection, end) => stage.unstall(connection, end),
            Mend::Undelay(connection) => stage.delay(connection, Duration::ZERO),
            Mend::ReadEagerly(connection) => {
                stage.set_reading(connection, End::Party, Reading::Eager);
            }
            Mend::Continue(process) => {
                if stage.stopped.remove(&process) {
                    self.continues(process);
                }
            }
            Mend::StartBroker(broker) => {
                if !self.brokers[broker].is_up() {
                    self.brokers[broker].start(stage);
                }
            }
            Mend::DrainDeadline(broker) => self.brokers[broker].drain_deadline(stage),
        }
    }

    /// A process that was stopped looks at what came meanwhile.
    fn continues(&mut self, process: Process) {
        match process {
            Process::Broker(broker) => self.brokers[broker].continues(&mut self.stage),
            Process::Party(party) => {
                let looks_at_clock_first = self.stage.dice.chance(50);
                if looks_at_clock_first {
                    self.with_party(party, |party, stage| party.wakes(stage));
                }
                for connection in self.stage.connections_of(process) {
                    self.reads(connection, End::Party);
                }
                self.with_party(party, |party, stage| party.wakes(stage));
            }
        }
    }

    /// Lets an end take what has arrived.
    fn reads(&mut self, connection: ConnectionId, end: End) {
        let Some(known) = self.stage.connections.get(connection) else {
            return;
        };
        let traits = known.traits;
        if end == End::Broker {
            self.brokers[traits.broker].has_to_read(connection);
            return self
                .stage
                .agenda
                .put(self.stage.now, Event::Turn(traits.broker));
        }
        if self.stage.is_stopped(traits, end) {
            return;
        }
        while let Some(item) = self.stage.read(connection, end) {
            self.stage
                .tell(|| format!("party {} reads {item:?}", traits.party));
            self.with_party(traits.party, |party, stage| match item {
                Item::Opened => party.opened(connection, stage),
                Item::Message(message) => party.hears(connection, &message, stage),
                Item::Closed => party.closed(connection, stage),
            });
        }
    }

    /// Lets a party do something, and sees when it wants to be woken.
    pub(crate) fn with_party<T>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut dyn Party, &mut Stage) -> T,
    ) -> T {
        let party = &mut self.parties[index];
        let result = act(party.as_mut(), &mut self.stage);
        if let Some(due) = party.due()
            && self.woken_for[index].is_none_or(|at| due < at)
        {
            self.woken_for[index] = Some(due.max(self.stage.now));
            self.stage
                .agenda
                .put(due.max(self.stage.now), Event::Wake(index));
        }
        result
    }

    fn list_connections(&self) -> Vec<(ConnectionId, usize)> {
        let connections = self.stage.connections.iter();
        let listed = connections.map(|(id, connection)| (id, connection.traits.party));
        listed.collect()
    }
}
