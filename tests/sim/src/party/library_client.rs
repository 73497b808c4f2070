//! A program with the library's client: the machine, its links to every broker, and who reads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plantd_mdp::client::{Client, Config, Failure, LinkId, Output, Request, RequestId};
use plantd_mdp::command::FromClient;
use plantd_mdp::planted::Bug;
use plantd_mdp::{Properties, ReconnectDelays};
use plantd_zmtp::Message;

use super::wish::Wish;
use super::{Blow, Party};
use crate::agenda::Agenda;
use crate::body::{Piece, stamped};
use crate::ledger::End;
use crate::network::{ConnectionId, End as Side, Item, Traits};
use crate::stage::Stage;
use crate::verdict::{Verdict, ensure};
use crate::wire::assemble;

pub(super) struct LibraryClient {
    index: usize,
    bug: Option<Bug>,
    machine: Option<Client>,
    links: Vec<Link>,
    asked: BTreeMap<RequestId, Asked>,
    todo: Agenda<Deed>,
    has_left: bool,
}

struct Link {
    id: LinkId,
    connection: Option<ConnectionId>,
}

/// A question that has not ended.
struct Asked {
    /// When it has ended at the latest.
    until: Option<Instant>,
    pieces: Vec<Piece>,
}

enum Deed {
    Start,
    Ask,
    Cancel(RequestId),
    Read(RequestId, usize),
}

impl LibraryClient {
    pub(super) fn new(index: usize, bug: Option<Bug>) -> Self {
        Self {
            index,
            bug,
            machine: None,
            links: Vec::new(),
            asked: BTreeMap::new(),
            todo: Agenda::new(),
            has_left: false,
        }
    }

    fn start(&mut self, stage: &mut Stage) {
        let config = Config {
            reconnect: ReconnectDelays {
                first: Duration::from_millis(50),
                longest: Duration::from_secs(1),
            },
            connect_timeout: Duration::from_secs(3),
            heartbeat: stage.dice.milliseconds(300..=1000),
            max_unread_bytes: 256 * 1024,
            ..Config::default()
        };
        let mut machine = Client::new(config, stage.dice.seed());
        if let Some(bug) = self.bug {
            machine.plant(bug);
        }
        self.links = Vec::new();
        for _ in 0..stage.plan.brokers {
            let id = machine.add_link();
            let connection = None;
            self.links.push(Link { id, connection });
        }
        self.machine = Some(machine);
        self.settle(stage);
    }

    fn ask(&mut self, wish: Wish, stage: &mut Stage) {
        let Some(machine) = &mut self.machine else {
            let verdict = stage.ledger.ends(wish.number, End::GivenUp);
            return stage.judge(verdict);
        };
        let id = RequestId::new(wish.number).expect("questions are counted from 1");
        let request = Request {
            service: wish.service,
            properties: Properties::default().with("content-type", "text/plain"),
            body: wish.body,
            deadline: wish.deadline.map(|deadline| stage.now + deadline),
            retry: wish.retry,
            window: wish.window,
        };
        if machine.handle_request(id, request, stage.now).is_err() {
            let verdict = stage.ledger.ends(wish.number, End::GivenUp);
            return stage.judge(verdict);
        }
        if let Some(after) = wish.cancel_after {
            self.todo.put(stage.now + after, Deed::Cancel(id));
        }
        let grace = Config::default().deadline_grace;
        let asked = Asked {
            until: wish.deadline.map(|deadline| stage.now + deadline + grace),
            pieces: Vec::new(),
        };
        self.asked.insert(id, asked);
    }

    fn does(&mut self, deed: Deed, stage: &mut Stage) {
        match deed {
            Deed::Start => self.start(stage),
            Deed::Ask => {
                if stage.is_calm {
                    return;
                }
                let wish = Wish::draw(true, stage);
                self.ask(wish, stage);
                let every = stage.plan.asking.every;
                self.todo
                    .put(stage.now + stage.dice.around(every), Deed::Ask);
            }
            Deed::Cancel(id) => {
                if self.asked.remove(&id).is_some() {
                    if let Some(machine) = &mut self.machine {
                        machine.handle_cancel(id);
                    }
                    self.ends(id, End::GivenUp, stage);
                }
            }
            Deed::Read(id, bytes) => {
                if let Some(machine) = &mut self.machine {
                    machine.handle_read(id, bytes);
                }
            }
        }
        self.settle(stage);
    }

    /// Who sets a deadline hears by then, and a little, whatever becomes of the broker.
    fn check_on_time(&self, now: Instant) -> Verdict {
        for (request, asked) in &self.asked {
            let is_late = asked.until.is_some_and(|until| until < now);
            ensure!(!is_late, "{request} is not ended by its deadline");
        }
        Ok(())
    }

    /// Carries out what the machine wants.
    fn settle(&mut self, stage: &mut Stage) {
        while let Some(output) = self.machine.as_mut().and_then(Client::poll_output) {
            match output {
                Output::Connect { link } => self.connect(link, stage),
                Output::Close { link, .. } => {
                    if let Some(connection) = self.link(link).connection.take() {
                        stage.close(connection, Side::Party);
                    }
                }
                Output::Send { link, command } => self.send(link, command, stage),
                Output::Partial { request, body, .. } => {
                    let verdict = self.takes_piece(request, &body);
                    stage.judge(verdict);
                    let wait = stage.dice.milliseconds(0..=300);
                    let deed = Deed::Read(request, body.body_bytes());
                    self.todo.put(stage.now + wait, deed);
                }
                Output::Final { request, body, .. } => {
                    let verdict = self.takes_piece(request, &body);
                    stage.judge(verdict);
                    let asked = self.asked.remove(&request);
                    let last = asked.as_ref().and_then(|asked| asked.pieces.last());
                    if last.is_none_or(|piece| !piece.is_last) {
                        stage.judge(Err("the answer's last part is not its last".into()));
                    }
                    self.ends(request, End::Answered, stage);
                }
                Output::Failed { request, failure } => {
                    self.asked.remove(&request);
                    self.ends(request, End::Failed(name(failure)), stage);
                }
            }
        }
        if let Some(machine) = &self.machine {
            machine.check_invariants();
        }
    }

    fn connect(&mut self, link: LinkId, stage: &mut Stage) {
        let broker = self.links.iter().position(|known| known.id == link);
        let traits = Traits {
            party: self.index,
            broker: broker.expect("a link that was added"),
            honest: true,
            joins_partials: false,
            pings: stage.dice.chance(50),
        };
        self.link(link).connection = Some(stage.connect(traits));
    }

    fn send(&mut self, link: LinkId, mut command: FromClient, stage: &mut Stage) {
        if let FromClient::Request { body, .. } = &mut command
            && !body.is_empty()
        {
            *body = stamped(body, stage.ledger.stamp());
        }
        let message = assemble(|out| command.encode(out));
        let message = message.expect("the library writes its own dialect");
        if let Some(connection) = self.link(link).connection {
            stage.send(connection, Side::Broker, Item::Message(message));
        }
    }

    fn takes_piece(&mut self, request: RequestId, body: &Message) -> Verdict {
        let Some(asked) = self.asked.get_mut(&request) else {
            return Err(format!("{request} is answered and was not asked").into());
        };
        let Some(pieces) = Piece::read_all(body) else {
            return Err(format!("{request} has an answer that nobody gave: {body:?}").into());
        };
        for piece in pieces {
            let number = piece.question.number;
            ensure!(
                number.to_string() == request.to_string(),
                "{request} has the answer to {number}"
            );
            let expected = asked.pieces.len();
            ensure!(
                piece.index as usize == expected,
                "{request} has part {} in place of {expected}",
                piece.index
            );
            let is_of_one = asked.pieces.iter().all(|known| known.token == piece.token);
            ensure!(is_of_one, "{request} has parts of two attempts");
            asked.pieces.push(piece);
        }
        Ok(())
    }

    fn ends(&mut self, id: RequestId, end: End, stage: &mut Stage) {
        let number = id.to_string().parse().expect("an id is a number");
        let verdict = stage.ledger.ends(number, end);
        stage.judge(verdict);
    }

    fn gives_up_all(&mut self, stage: &mut Stage) {
        while let Some((id, _)) = self.asked.pop_first() {
            self.ends(id, End::GivenUp, stage);
        }
        self.todo.clear();
    }

    fn link(&mut self, id: LinkId) -> &mut Link {
        let link = self.links.iter_mut().find(|link| link.id == id);
        link.expect("a link that was added")
    }

    fn link_of(&self, connection: ConnectionId) -> Option<LinkId> {
        let mut links = self.links.iter();
        let link = links.find(|link| link.connection == Some(connection));
        link.map(|link| link.id)
    }
}

impl Party for LibraryClient {
    fn starts(&mut self, stage: &mut Stage) {
        self.start(stage);
        self.todo.put(stage.now, Deed::Ask);
    }

    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage) {
        let has_ping = stage.connections[connection].traits.pings;
        if let (Some(link), Some(machine)) = (self.link_of(connection), &mut self.machine) {
            machine.handle_opened(link, has_ping, stage.now);
        }
        self.settle(stage);
    }

    fn closed(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if let Some(link) = self.link_of(connection) {
            self.link(link).connection = None;
            if let Some(machine) = &mut self.machine {
                machine.handle_closed(link, stage.now);
            }
        }
        self.settle(stage);
    }

    fn hears(&mut self, connection: ConnectionId, message: &Message, stage: &mut Stage) {
        let counts = |machine: &Option<Client>| machine.as_ref().map(Client::counts);
        let before = counts(&self.machine);
        if let (Some(link), Some(machine)) = (self.link_of(connection), &mut self.machine) {
            machine.handle_message(link, message, stage.now);
        }
        let invalid = |counts: Option<plantd_mdp::client::Counts>| {
            counts.map_or(0, |counts| counts.invalid_replies)
        };
        if invalid(counts(&self.machine)) > invalid(before) {
            stage.judge(Err(format!("no command of MDP/0.3: {message:?}").into()));
        }
        self.settle(stage);
    }

    fn wakes(&mut self, stage: &mut Stage) {
        if let Some(machine) = &mut self.machine {
            machine.handle_timeout(stage.now);
        }
        self.settle(stage);
        let verdict = self.check_on_time(stage.now);
        stage.judge(verdict);
        while let Some((_, deed)) = self.todo.take(stage.now) {
            self.does(deed, stage);
        }
    }

    fn due(&self) -> Option<Instant> {
        let machine = self.machine.as_ref().and_then(Client::poll_timeout);
        machine.into_iter().chain(self.todo.next()).min()
    }

    fn suffers(&mut self, blow: Blow, stage: &mut Stage) {
        match blow {
            Blow::Crash => {
                for link in std::mem::take(&mut self.links) {
                    if let Some(connection) = link.connection {
                        stage.die(connection, Side::Party);
                    }
                }
                self.machine = None;
                self.gives_up_all(stage);
                let down = stage.dice.milliseconds(10..=2000);
                self.todo.put(stage.now + down, Deed::Start);
                self.todo.put(stage.now + down, Deed::Ask);
            }
            Blow::Burst => {
                for _ in 0..stage.dice.count(5..=40) {
                    let wish = Wish::draw(true, stage);
                    self.ask(wish, stage);
                }
                self.settle(stage);
            }
            Blow::Hang | Blow::Drain => {}
        }
    }

    fn calms(&mut self, _stage: &mut Stage) {}

    fn is_idle(&self) -> bool {
        let machine = self.machine.as_ref();
        let is_idle = machine.is_some_and(|machine| machine.request_count() == 0);
        self.has_left || (is_idle && self.asked.is_empty())
    }

    fn probes(&mut self, service: usize, stage: &mut Stage) -> bool {
        let wish = Wish::plain(service, stage);
        self.ask(wish, stage);
        self.settle(stage);
        true
    }

    fn leaves(&mut self, stage: &mut Stage) {
        self.has_left = true;
        if let Some(machine) = &mut self.machine {
            for link in &self.links {
                machine.remove_link(link.id, stage.now);
            }
        }
        self.settle(stage);
        self.machine = None;
        self.todo.clear();
    }
}

fn name(failure: Failure) -> String {
    match failure {
        Failure::Refused(refusal) => refusal.code,
        Failure::NotConnected | Failure::ConnectionLost | Failure::Timeout | Failure::Unread => {
            format!("{failure:?}")
        }
    }
}
