//! A broker as a process: the machine, the connections that it is told of, and its turns.

use std::collections::BTreeSet;
use std::time::Instant;

use plantd_mdp::Broker;
use plantd_mdp::broker::{Origin, Output, PeerId};
use plantd_mdp::planted::Bug;
use plantd_zmtp::Message;
use slotmap::{SecondaryMap, SlotMap};

use crate::network::{ConnectionId, End, Item, Reading};
use crate::stage::{Event, Mend, Process, Stage};
use crate::wire::assemble;
use crate::witness::{Act, Witness};

/// Messages of one connection in one turn.
const TURN_MESSAGES: usize = 4;

/// One place where a broker runs, again and again.
pub(crate) struct BrokerProcess {
    index: usize,
    bug: Option<Bug>,
    running: Option<Running>,
}

/// One life of a broker.
struct Running {
    machine: Broker,
    witness: Witness,
    peers: SlotMap<PeerId, ConnectionId>,
    of_connections: SecondaryMap<ConnectionId, PeerId>,
    /// Connections that may have something to read.
    readable: BTreeSet<ConnectionId>,
    /// Peers whose outboxes may not be empty.
    unsettled: BTreeSet<PeerId>,
    /// Peers whose connections the machine wants closed.
    closing: Vec<PeerId>,
    is_drained: bool,
    woken_for: Option<Instant>,
}

impl BrokerProcess {
    pub(crate) fn new(index: usize, bug: Option<Bug>) -> Self {
        Self {
            index,
            bug,
            running: None,
        }
    }

    /// Starts with nothing remembered.
    pub(crate) fn start(&mut self, stage: &mut Stage) {
        let config = stage.plan.broker.clone();
        let mut machine = Broker::new(config.clone(), stage.dice.bytes(), stage.now);
        if let Some(bug) = self.bug {
            machine.plant(bug);
        }
        stage.listening[self.index] = true;
        self.running = Some(Running {
            machine,
            witness: Witness::new(config, stage.now),
            peers: SlotMap::with_key(),
            of_connections: SecondaryMap::new(),
            readable: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            closing: Vec::new(),
            is_drained: false,
            woken_for: None,
        });
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Is gone with all it knew. `silently` if its peers cannot tell.
    pub(crate) fn crash(&mut self, silently: bool, stage: &mut Stage) {
        self.running = None;
        stage.listening[self.index] = false;
        for connection in stage.connections_of(Process::Broker(self.index)) {
            if silently {
                stage.vanish(connection, End::Broker);
            } else {
                stage.die(connection, End::Broker);
            }
        }
    }

    /// Finishes what is under way and takes nothing more.
    pub(crate) fn drain(&mut self, stage: &mut Stage) {
        stage.listening[self.index] = false;
        self.perform(Act::Drain, stage);
        self.end_turn(stage);
    }

    pub(crate) fn drain_deadline(&mut self, stage: &mut Stage) {
        // A broker that was started again since is not in a drain.
        if !stage.listening[self.index] {
            self.perform(Act::DrainDeadline, stage);
            self.end_turn(stage);
        }
    }

    /// Notes that a connection has something to read.
    pub(crate) fn has_to_read(&mut self, connection: ConnectionId) {
        if let Some(running) = &mut self.running {
            running.readable.insert(connection);
        }
    }

    /// Forgives peers their silence while this process was stopped.
    pub(crate) fn continues(&mut self, stage: &mut Stage) {
        if let Some(running) = &mut self.running {
            running.witness.continues(stage.now);
        }
        stage.agenda.put(stage.now, Event::Turn(self.index));
    }

    /// Looks at everything that is there.
    pub(crate) fn turn(&mut self, stage: &mut Stage) {
        if self.running.is_none() || stage.stopped.contains(&Process::Broker(self.index)) {
            return;
        }
        self.settle_backlogs(stage);
        // Which of two things that are ready is looked at first is not known.
        let looks_at_clock_first = stage.dice.chance(50);
        if looks_at_clock_first {
            self.look_at_clock(stage);
        }
        let readable = self
            .running
            .as_mut()
            .map(|running| std::mem::take(&mut running.readable));
        let mut readable: Vec<ConnectionId> = readable.into_iter().flatten().collect();
        while !readable.is_empty() {
            let next = stage.dice.count(0..=readable.len() - 1);
            let connection = readable.swap_remove(next);
            self.read(connection, stage);
        }
        self.look_at_clock(stage);
        self.end_turn(stage);
    }

    /// Whether nothing is held for anybody.
    pub(crate) fn is_idle(&self) -> bool {
        let is_idle = |running: &Running| {
            let tally = running.machine.tally();
            tally.unanswered == 0 && tally.backlog_bytes == 0
        };
        self.running.as_ref().is_some_and(is_idle)
    }

    /// Checks that nothing is held but what registered workers hold.
    pub(crate) fn check_idle(&self, stage: &mut Stage) {
        if let Some(running) = &self.running {
            let verdict = running.witness.check_idle(running.machine.tally());
            stage.judge(verdict);
        }
    }

    /// Checks that nothing is left of anybody.
    pub(crate) fn check_empty(&self, stage: &mut Stage) {
        self.check_idle(stage);
        let Some(running) = &self.running else {
            return;
        };
        let tally = running.machine.tally();
        if tally.workers + tally.services > 0 {
            stage.judge(Err(format!("nobody is there: {tally:?}").into()));
        }
        if let Some(due) = running.machine.poll_timeout() {
            let words = format!(
                "nobody is there, and something is due in {:?}",
                due - stage.now
            );
            stage.judge(Err(words.into()));
        }
    }

    fn settle_backlogs(&mut self, stage: &mut Stage) {
        let unsettled = self
            .running
            .as_mut()
            .map(|running| std::mem::take(&mut running.unsettled));
        for peer in unsettled.into_iter().flatten() {
            let Some(running) = &mut self.running else {
                return;
            };
            let Some(connection) = running.peers.get(peer) else {
                continue;
            };
            let backlog_bytes = stage.unsent_bytes(*connection, End::Party);
            if backlog_bytes > 0 {
                running.unsettled.insert(peer);
            }
            self.perform(Act::Backlog(peer, backlog_bytes), stage);
        }
    }

    fn look_at_clock(&mut self, stage: &mut Stage) {
        let due = |running: &Running| running.machine.poll_timeout();
        let due = self.running.as_ref().and_then(due);
        if due.is_some_and(|due| due <= stage.now) {
            self.perform(Act::Timeout, stage);
        }
    }

    fn read(&mut self, connection: ConnectionId, stage: &mut Stage) {
        // What a connection has read in one go is taken whole, paused or not.
        let items = (0..TURN_MESSAGES).map_while(|_| stage.read(connection, End::Broker));
        let items: Vec<Item> = items.collect();
        if items.len() == TURN_MESSAGES {
            self.has_to_read(connection);
            stage.agenda.put(stage.now, Event::Turn(self.index));
        }
        for item in items {
            match item {
                Item::Opened => self.open(connection, stage),
                Item::Message(message) => self.take(connection, &message, stage),
                Item::Closed => self.close(connection, stage),
            }
        }
    }

    fn open(&mut self, connection: ConnectionId, stage: &mut Stage) {
        let Some(running) = &mut self.running else {
            return;
        };
        // Its end may have been read along with its beginning.
        let Some(traits) = stage.connections.get(connection).map(|known| known.traits) else {
            return;
        };
        let peer = running.peers.insert(connection);
        running.of_connections.insert(connection, peer);
        running.witness.meets(peer, connection, traits);
        let origin = Origin {
            address: format!("party-{}", traits.party),
            joins_partials: traits.joins_partials,
            may_serve: true,
        };
        self.perform(Act::Opened(peer, origin), stage);
        stage.send(connection, End::Party, Item::Opened);
    }

    fn take(&mut self, connection: ConnectionId, message: &Message, stage: &mut Stage) {
        let Some(running) = &self.running else {
            return;
        };
        if let Some(peer) = running.of_connections.get(connection) {
            self.perform(Act::Message(*peer, message.clone()), stage);
        }
    }

    fn close(&mut self, connection: ConnectionId, stage: &mut Stage) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Some(peer) = running.of_connections.remove(connection) {
            self.perform(Act::Closed(peer), stage);
            if let Some(running) = &mut self.running {
                running.peers.remove(peer);
                running.unsettled.remove(&peer);
            }
        }
    }

    /// Gives the machine one thing to take, and carries out what comes of it.
    fn perform(&mut self, act: Act, stage: &mut Stage) {
        let Some(running) = &mut self.running else {
            return;
        };
        let now = stage.now;
        let (machine, witness) = (&mut running.machine, &mut running.witness);
        let index = self.index;
        stage.tell(|| format!("broker {index} takes {act:?}"));
        let verdict = witness.sees_act(&act, machine.tally(), now);
        stage.judge(verdict);
        match act {
            Act::Opened(peer, origin) => machine.handle_opened(peer, origin, now),
            Act::Closed(peer) => machine.handle_closed(peer, now),
            Act::Message(peer, message) => machine.handle_message(peer, message, now),
            Act::Backlog(peer, bytes) => machine.handle_backlog(peer, bytes, now),
            Act::Drain => machine.handle_drain(now),
            Act::DrainDeadline => machine.handle_drain_deadline(now),
            Act::Timeout => machine.handle_timeout(now),
        }
        while let Some(output) = running.machine.poll_output() {
            stage.tell(|| format!("broker {index} wants {output:?}"));
            let verdict = running.witness.sees_output(&output, stage);
            stage.judge(verdict);
            running.carry_out(output, stage);
        }
        if stage.violation().is_some() {
            return;
        }
        let verdict = running.witness.sums_up(running.machine.tally());
        stage.judge(verdict);
    }

    /// Closes what is to be closed, and asks to be woken.
    fn end_turn(&mut self, stage: &mut Stage) {
        while let Some(running) = &mut self.running
            && let Some(peer) = running.closing.pop()
        {
            if let Some(connection) = running.peers.get(peer).copied() {
                stage.close(connection, End::Broker);
                self.close(connection, stage);
            }
        }
        let Some(running) = &mut self.running else {
            return;
        };
        running.machine.check_invariants();
        if running.is_drained {
            let verdict = running.witness.check_drained(running.machine.tally());
            stage.judge(verdict);
            return self.exit(stage);
        }
        let verdict = running.witness.check_punctual(stage.now);
        stage.judge(verdict);
        let due = running.machine.poll_timeout();
        if due.is_some_and(|due| due <= stage.now) {
            stage.judge(Err("a timer is due and nothing comes of it".into()));
        }
        if running.woken_for != due
            && let Some(due) = due
        {
            running.woken_for = Some(due);
            stage.agenda.put(due, Event::Turn(self.index));
        }
    }

    /// Ends in good order: every connection is written out.
    fn exit(&mut self, stage: &mut Stage) {
        self.running = None;
        for connection in stage.connections_of(Process::Broker(self.index)) {
            stage.close(connection, End::Broker);
        }
        let away = stage.dice.milliseconds(10..=2000);
        stage
            .agenda
            .put(stage.now + away, Event::Mend(Mend::StartBroker(self.index)));
    }
}

impl Running {
    fn carry_out(&mut self, output: Output, stage: &mut Stage) {
        match output {
            Output::ToClient {
                peer,
                form,
                command,
            } => {
                let message = assemble(|out| command.encode(form, out));
                self.write(peer, message, stage);
            }
            Output::ToWorker {
                peer,
                form,
                command,
            } => {
                let message = assemble(|out| command.encode(form, out));
                self.write(peer, message, stage);
            }
            Output::Pause(peer) => self.set_reading(peer, Reading::Paused, stage),
            Output::Resume(peer) => {
                self.set_reading(peer, Reading::Eager, stage);
                if let Some(connection) = self.peers.get(peer) {
                    self.readable.insert(*connection);
                }
            }
            Output::Close(peer, _) => self.closing.push(peer),
            Output::Event(_) => {}
            Output::Drained => self.is_drained = true,
        }
    }

    fn write(&mut self, peer: PeerId, message: Option<Message>, stage: &mut Stage) {
        let Some(message) = message else {
            return stage.judge(Err("the dialect has no such command".into()));
        };
        if let Some(connection) = self.peers.get(peer) {
            stage.send(*connection, End::Party, Item::Message(message));
            self.unsettled.insert(peer);
        }
    }

    fn set_reading(&mut self, peer: PeerId, reading: Reading, stage: &mut Stage) {
        if let Some(connection) = self.peers.get(peer) {
            stage.set_reading(*connection, End::Broker, reading);
        }
    }
}
