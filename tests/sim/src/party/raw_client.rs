//! A client without the library: of an older dialect, or of MDP/0.3 on its own account.

use std::collections::BTreeMap;
use std::time::Instant;

use plantd_mdp::client::Retry;
use plantd_mdp::command::{FromClient, ToClient};
use plantd_mdp::{Dialect, Form, Header, Properties, ServiceName};
use plantd_zmtp::Message;

use super::wish::Wish;
use super::{Blow, Party};
use crate::agenda::Agenda;
use crate::body::{Piece, stamped};
use crate::ledger::End;
use crate::network::{ConnectionId, End as Side, Item, Traits};
use crate::stage::Stage;
use crate::verdict::{Verdict, ensure};
use crate::wire::{Heard, Say, assemble, hear, say};

pub(super) struct RawClient {
    index: usize,
    form: Form,
    joins_partials: bool,
    connection: Option<ConnectionId>,
    is_up: bool,
    /// By the number of the question.
    asked: BTreeMap<u64, Asked>,
    /// Of MDP/0.3 requests; begins anew with each connection.
    next_id: u64,
    todo: Agenda<Deed>,
    has_left: bool,
}

/// A question that has not ended.
struct Asked {
    id: u64,
    service: ServiceName,
    pieces: Vec<Piece>,
}

enum Deed {
    Connect,
    Ask,
    /// Waits no longer.
    GiveUp(u64),
    Cancel(u64),
    More(u64),
}

impl RawClient {
    pub(super) fn new(index: usize, form: Form, stage: &mut Stage) -> Self {
        Self {
            index,
            form,
            joins_partials: form.dialect == Dialect::Mdp02 && stage.dice.chance(30),
            connection: None,
            is_up: false,
            asked: BTreeMap::new(),
            next_id: 0,
            todo: Agenda::new(),
            has_left: false,
        }
    }

    fn connect(&mut self, stage: &mut Stage) {
        let traits = Traits {
            party: self.index,
            broker: stage.dice.count(0..=stage.plan.brokers - 1),
            honest: true,
            joins_partials: self.joins_partials,
            pings: stage.dice.chance(50),
        };
        self.is_up = false;
        self.next_id = 0;
        self.connection = Some(stage.connect(traits));
    }

    /// Gives up what is open, and comes back on another connection after a while.
    fn comes_back(&mut self, stage: &mut Stage) {
        self.connection = None;
        self.is_up = false;
        while let Some((number, _)) = self.asked.pop_first() {
            let verdict = stage.ledger.ends(number, End::GivenUp);
            stage.judge(verdict);
        }
        self.todo.clear();
        if !self.has_left {
            let away = stage.dice.milliseconds(10..=1000);
            self.todo.put(stage.now + away, Deed::Connect);
        }
    }

    fn hang_up(&mut self, stage: &mut Stage) {
        if let Some(connection) = self.connection {
            stage.close(connection, Side::Party);
        }
        self.comes_back(stage);
    }

    fn sends(&self, message: Message, stage: &mut Stage) {
        if let Some(connection) = self.connection {
            stage.send(connection, Side::Broker, Item::Message(message));
        }
    }

    fn sends_command(&self, command: &FromClient, stage: &mut Stage) {
        let message = assemble(|out| command.encode(out));
        self.sends(message.expect("the library writes its own dialect"), stage);
    }

    fn ask(&mut self, wish: Wish, stage: &mut Stage) {
        self.next_id += 1;
        let id = self.next_id;
        let number = wish.number;
        let body = stamped(&wish.body, stage.ledger.stamp());
        if self.form == Form::MDP03 {
            let command = FromClient::Request {
                service: wish.service.clone(),
                header: Header {
                    id,
                    properties: properties(&wish),
                },
                body,
            };
            self.sends_command(&command, stage);
        } else {
            let request = say(self.form, Say::Request(wish.service.as_str()), &body);
            self.sends(request, stage);
        }
        // A dialect without errors has no other end than patience.
        let patience = if self.form == Form::MDP03 {
            60_000
        } else {
            12_000
        };
        let patience = stage.dice.milliseconds(patience / 2..=patience);
        self.todo.put(stage.now + patience, Deed::GiveUp(number));
        if let Some(after) = wish.cancel_after {
            self.todo.put(stage.now + after, Deed::Cancel(number));
        }
        let asked = Asked {
            id,
            service: wish.service,
            pieces: Vec::new(),
        };
        self.asked.insert(number, asked);
    }

    fn asks_something(&mut self, stage: &mut Stage) {
        let wish = Wish::draw(self.form == Form::MDP03, stage);
        self.ask(wish, stage);
    }

    /// Asks the broker whether a service has workers; the witness knows what is true.
    fn asks_broker(&mut self, stage: &mut Stage) {
        let service = stage.dice.count(0..=stage.plan.services.len() - 1);
        let name = stage.plan.services[service].as_str();
        let body = Message::from_frames([name]);
        if self.form == Form::MDP03 {
            self.next_id += 1;
            let command = FromClient::Request {
                service: "mmi.service".parse().expect("a name"),
                header: Header::new(self.next_id),
                body,
            };
            self.sends_command(&command, stage);
        } else {
            self.sends(say(self.form, Say::Request("mmi.service"), &body), stage);
        }
    }

    fn does(&mut self, deed: Deed, stage: &mut Stage) {
        match deed {
            Deed::Connect => self.connect(stage),
            Deed::Ask => {
                if stage.is_calm {
                    return;
                }
                if stage.dice.chance(10) {
                    self.asks_broker(stage);
                } else {
                    self.asks_something(stage);
                }
                let every = stage.plan.asking.every;
                self.todo
                    .put(stage.now + stage.dice.around(every), Deed::Ask);
            }
            Deed::GiveUp(number) => {
                if self.asked.contains_key(&number) {
                    self.hang_up(stage);
                }
            }
            Deed::Cancel(number) => {
                if let Some(asked) = self.asked.get(&number) {
                    let command = FromClient::Cancel {
                        service: asked.service.clone(),
                        header: Header::new(asked.id),
                    };
                    self.sends_command(&command, stage);
                }
            }
            Deed::More(number) => {
                if let Some(asked) = self.asked.get(&number) {
                    let command = FromClient::More {
                        service: asked.service.clone(),
                        header: Header {
                            id: asked.id,
                            properties: Properties::default().with("more", 1),
                        },
                    };
                    self.sends_command(&command, stage);
                }
            }
        }
    }

    /// Takes a message of MDP/0.3.
    fn hears_command(&mut self, message: &Message, stage: &mut Stage) -> Verdict {
        match ToClient::decode(message) {
            Ok(Some(ToClient::Partial { header, body, .. })) => {
                let number = self.takes_pieces(&body, Some(header.id), false)?;
                let wait = stage.dice.milliseconds(0..=300);
                self.todo.put(stage.now + wait, Deed::More(number));
                Ok(())
            }
            Ok(Some(ToClient::Final { service, .. })) if service.is_reserved() => Ok(()),
            Ok(Some(ToClient::Final { header, body, .. })) => {
                let number = self.takes_pieces(&body, Some(header.id), true)?;
                self.asked.remove(&number);
                stage.ledger.ends(number, End::Answered)
            }
            Ok(Some(ToClient::Error { header, .. })) => {
                let mut asked = self.asked.iter();
                let Some((&number, _)) = asked.find(|(_, asked)| asked.id == header.id) else {
                    return Err(format!("an error for the id {} that has ended", header.id).into());
                };
                self.asked.remove(&number);
                let code = header.properties.get("code").unwrap_or_default();
                stage.ledger.ends(number, End::Failed(code.to_owned()))
            }
            Ok(None) | Err(_) => Err(format!("no command of MDP/0.3: {message:?}").into()),
        }
    }

    /// Takes a message of an older dialect.
    fn hears_words(&mut self, message: &Message, stage: &mut Stage) -> Verdict {
        match hear(self.form, message) {
            Some(Heard::Partial { body, .. }) if !self.joins_partials => {
                self.takes_pieces(&body, None, false)?;
                Ok(())
            }
            Some(Heard::Final { service, .. }) if service.starts_with("mmi.") => Ok(()),
            Some(Heard::Final { body, service }) => {
                let number = self.takes_pieces(&body, None, true)?;
                let asked = self.asked.remove(&number);
                let right = asked.is_some_and(|asked| asked.service.as_str() == service);
                ensure!(right, "{number} is answered by {service}");
                stage.ledger.ends(number, End::Answered)
            }
            Some(
                Heard::Partial { .. }
                | Heard::Request { .. }
                | Heard::Heartbeat
                | Heard::Disconnect,
            )
            | None => Err(format!("a client cannot make sense of {message:?}").into()),
        }
    }

    /// Takes parts of an answer; gives the number of its question.
    fn takes_pieces(
        &mut self,
        body: &Message,
        id: Option<u64>,
        ends: bool,
    ) -> Result<u64, crate::verdict::Violation> {
        let Some(pieces) = Piece::read_all(body) else {
            return Err(format!("an answer that nobody gave: {body:?}").into());
        };
        let number = pieces[0].question.number;
        let Some(asked) = self.asked.get_mut(&number) else {
            return Err(format!("{number} is answered and has ended").into());
        };
        ensure!(
            id.is_none_or(|id| id == asked.id),
            "{number} is answered under the id {id:?} and was asked under {}",
            asked.id
        );
        for piece in pieces {
            let right = piece.question.number == number
                && piece.index as usize == asked.pieces.len()
                && asked.pieces.iter().all(|known| known.token == piece.token);
            ensure!(right, "{piece:?} follows {:?}", asked.pieces);
            asked.pieces.push(piece);
        }
        let is_last = asked.pieces.last().is_some_and(|piece| piece.is_last);
        ensure!(
            is_last == ends,
            "{number} ends without its last part, or goes on after it"
        );
        Ok(number)
    }
}

fn properties(wish: &Wish) -> Properties {
    // The first three are the broker's to set, and never reach a worker.
    let mut properties = Properties::default()
        .with("principal", "root")
        .with("attempt", 99)
        .with("broker-x", "y")
        .with("traceparent", "00-1-2-01");
    if let Some(deadline) = wish.deadline {
        properties = properties.with("deadline-ms", deadline.as_millis().max(1));
    }
    match wish.retry {
        Retry::Usual => {}
        Retry::Never => properties = properties.with("retry", "never"),
        Retry::AtMost(most) => properties = properties.with("retry", most),
    }
    if let Some(window) = wish.window {
        properties = properties.with("window", window);
    }
    properties
}

impl Party for RawClient {
    fn starts(&mut self, stage: &mut Stage) {
        self.connect(stage);
    }

    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection == Some(connection) {
            self.is_up = true;
            self.todo.put(stage.now, Deed::Ask);
        }
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
        let verdict = if self.form == Form::MDP03 {
            self.hears_command(message, stage)
        } else {
            self.hears_words(message, stage)
        };
        stage.judge(verdict);
    }

    fn wakes(&mut self, stage: &mut Stage) {
        while let Some((_, deed)) = self.todo.take(stage.now) {
            self.does(deed, stage);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.todo.next()
    }

    fn suffers(&mut self, blow: Blow, stage: &mut Stage) {
        match blow {
            Blow::Crash => {
                if let Some(connection) = self.connection {
                    stage.die(connection, Side::Party);
                }
                self.comes_back(stage);
            }
            Blow::Burst => {
                for _ in 0..stage.dice.count(5..=40) {
                    if self.is_up {
                        self.asks_something(stage);
                    }
                }
            }
            Blow::Hang | Blow::Drain => {}
        }
    }

    fn calms(&mut self, _stage: &mut Stage) {}

    /// A client of an older dialect may wait for what was refused without a word; it gives that up
    /// when its patience ends.
    fn is_idle(&self) -> bool {
        self.has_left || (self.is_up && self.asked.is_empty())
    }

    fn probes(&mut self, service: usize, stage: &mut Stage) -> bool {
        let wish = Wish::plain(service, stage);
        self.ask(wish, stage);
        true
    }

    fn leaves(&mut self, stage: &mut Stage) {
        self.has_left = true;
        self.hang_up(stage);
        self.todo.clear();
    }
}
