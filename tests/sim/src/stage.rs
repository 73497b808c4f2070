//! What everybody in a run shares: the clock, chance, the network, and the record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::network::{Connection, ConnectionId, End, Traits};
use crate::plan::{Fault, Plan};
use crate::verdict::{Verdict, Violation};

/// Something that happens at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Arrive(ConnectionId, End),
    Read(ConnectionId, End),
    Reset(ConnectionId, End),
    HandshakeDue(ConnectionId),
    StallDue(ConnectionId, End),
    LingerDue(ConnectionId, End),
    PingDue(ConnectionId, End),
    /// A broker looks at what there is.
    Turn(usize),
    /// A party looks at its clock.
    Wake(usize),
    Strike(Fault),
    Mend(Mend),
}

/// The end of a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mend {
    Unstall(ConnectionId, End),
    Undelay(ConnectionId),
    ReadEagerly(ConnectionId),
    Continue(Process),
    StartBroker(usize),
    DrainDeadline(usize),
}

/// Something that can be stopped as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Process {
    Party(usize),
    Broker(usize),
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) dice: Dice,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) connections: SlotMap<ConnectionId, Connection>,
    /// Which brokers take connections.
    pub(crate) listening: Vec<bool>,
    pub(crate) stopped: BTreeSet<Process>,
    /// Whether faults are over.
    pub(crate) is_calm: bool,
    pub(crate) ledger: Ledger,
    /// What brokers did, and how often.
    pub(crate) seen: BTreeMap<String, u64>,
    violation: Option<Violation>,
    is_verbose: bool,
}

impl Stage {
    pub(crate) fn new(seed: u64, is_verbose: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice);
        #[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
        let now = Instant::now();
        Self {
            listening: vec![true; plan.brokers],
            plan,
            now,
            began: now,
            dice,
            agenda: Agenda::new(),
            connections: SlotMap::with_key(),
            stopped: BTreeSet::new(),
            is_calm: false,
            ledger: Ledger::default(),
            seen: BTreeMap::new(),
            violation: None,
            is_verbose,
        }
    }

    /// How long the run has taken, in its own time.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    /// Remembers the first violation; the run ends with it.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        if let Err(violation) = verdict
            && self.violation.is_none()
        {
            self.violation = Some(violation);
        }
    }

    /// Checks that every question has ended.
    pub(crate) fn judge_by_ledger(&mut self) {
        let verdict = self.ledger.closes();
        self.judge(verdict);
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Counts something that a broker did.
    pub(crate) fn sees(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// Tells who replays a run what happens.
    pub(crate) fn tell(&self, words: impl FnOnce() -> String) {
        if self.is_verbose {
            let line = format!("{:10.4} {}", self.elapsed().as_secs_f64(), words());
            crate::report::line(&line);
        }
    }

    /// Whether the process at an end is stopped.
    pub(crate) fn is_stopped(&self, traits: Traits, end: End) -> bool {
        let process = match end {
            End::Party => Process::Party(traits.party),
            End::Broker => Process::Broker(traits.broker),
        };
        self.stopped.contains(&process)
    }

    /// The connections of a party or a broker.
    pub(crate) fn connections_of(&self, process: Process) -> Vec<ConnectionId> {
        let is_its = |connection: &Connection| match process {
            Process::Party(party) => connection.traits.party == party,
            Process::Broker(broker) => connection.traits.broker == broker,
        };
        let connections = self.connections.iter();
        let its = connections.filter(|(_, connection)| is_its(connection));
        its.map(|(id, _)| id).collect()
    }
}
