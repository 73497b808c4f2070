//! A peer that keeps no rule: it sends anything, steals tokens, and does not read.

use std::time::Instant;

use plantd_mdp::{Dialect, Form, Token};
use plantd_zmtp::Message;

use super::{Blow, Party};
use crate::agenda::Agenda;
use crate::body::{Piece, Question};
use crate::network::{ConnectionId, End, Item, Reading, Traits};
use crate::stage::Stage;
use crate::wire::{Heard, Say, hear, say};

/// How it speaks as a worker that is given something.
const FORM: Form = Form {
    dialect: Dialect::Mdp02,
    delimited: false,
};

pub(super) struct Hostile {
    index: usize,
    broker: usize,
    connection: Option<ConnectionId>,
    is_up: bool,
    /// What it was given itself, and can answer.
    given: Vec<(Token, Question)>,
    todo: Agenda<Deed>,
}

enum Deed {
    Connect,
    Mischief,
}

impl Hostile {
    pub(super) fn new(index: usize, broker: usize) -> Self {
        Self {
            index,
            broker,
            connection: None,
            is_up: false,
            given: Vec::new(),
            todo: Agenda::new(),
        }
    }

    fn connect(&mut self, stage: &mut Stage) {
        let traits = Traits {
            party: self.index,
            broker: self.broker,
            honest: false,
            joins_partials: stage.dice.chance(20),
            pings: false,
        };
        self.is_up = false;
        self.given.clear();
        self.connection = Some(stage.connect(traits));
    }

    fn comes_back(&mut self, stage: &mut Stage) {
        self.connection = None;
        self.is_up = false;
        self.todo.clear();
        if !stage.is_calm {
            let away = stage.dice.milliseconds(1..=500);
            self.todo.put(stage.now + away, Deed::Connect);
        }
    }

    fn sends(&self, frames: &[&[u8]], stage: &mut Stage) {
        if let (Some(connection), false) = (self.connection, frames.is_empty()) {
            let message = Message::from_frames(frames);
            stage.send(connection, End::Broker, Item::Message(message));
        }
    }

    fn does_mischief(&mut self, stage: &mut Stage) {
        let service = stage.dice.count(0..=stage.plan.services.len() - 1);
        let service = stage.plan.services[service].clone();
        let service = service.as_str().as_bytes();
        let id = header(stage.dice.number(0..=3), "");
        match stage.dice.count(0..=11) {
            0 | 1 => self.sends_anything(stage),
            2 => self.sends(&[b"MDPW02", &[1], service], stage),
            3 => {
                let offer = header(0, "\x06credit\0\0\0\x0299");
                self.sends(&[b"MDPW03", &[1], service, &offer], stage);
            }
            4 | 5 => self.answers_with_a_stolen_token(stage),
            6 => self.answers_twice(stage),
            7 => self.sends(
                &[b"MDPC03", &[1], service, &id, b"the same id twice?"],
                stage,
            ),
            8 => {
                let properties = [
                    "\x04more\0\0\0\x012",
                    "\x02+x\0\0\0\0",
                    "\x05retry\0\0\0\x02-1",
                ];
                let header = header(stage.dice.number(1..=3), stage.dice.pick(&properties));
                let command = stage.dice.pick(&[1u8, 5, 7]);
                self.sends(&[b"MDPC03", &[command], service, &header, b"?"], stage);
            }
            9 => self.sends(&[b"MDPC02", &[1], b"mmi.service", service], stage),
            10 => {
                let name = format!("nobody.{}", stage.dice.number(0..=99));
                self.sends(&[b"MDPC02", &[1], name.as_bytes(), b"?"], stage);
            }
            _ => {
                if let Some(connection) = self.connection {
                    stage.set_reading(connection, End::Party, Reading::Paused);
                }
            }
        }
    }

    fn sends_anything(&self, stage: &mut Stage) {
        let junk: [u8; 20] = stage.dice.bytes();
        let words: [&[u8]; 16] = [
            b"",
            b"MDPC01",
            b"MDPC02",
            b"MDPC03",
            b"MDPW01",
            b"MDPW02",
            b"MDPW03",
            b"READY",
            b"FINAL",
            b"REQUEST",
            b"alpha",
            b"mmi.workers",
            b"\x01",
            b"\x03",
            b"\x04",
            &junk,
        ];
        let count = stage.dice.count(1..=6);
        let frames: Vec<&[u8]> = (0..count).map(|_| stage.dice.pick(&words)).collect();
        self.sends(&frames, stage);
    }

    fn answers_with_a_stolen_token(&self, stage: &mut Stage) {
        let forged = Token::parse(&stage.dice.bytes::<{ Token::BYTES }>());
        let mut tokens = stage.ledger.tokens_of_others(self.index);
        tokens.extend(forged);
        let token = stage.dice.pick(&tokens);
        if stage.dice.chance(50) {
            self.sends(&[b"MDPW02", &[4], token.as_bytes(), b"", b"forged"], stage);
        } else {
            let header = header(0, "");
            self.sends(
                &[b"MDPW03", &[4], token.as_bytes(), &header, b"forged"],
                stage,
            );
        }
    }

    /// The first answer is as good as any other's.
    fn answers_twice(&mut self, stage: &mut Stage) {
        let (Some((token, question)), Some(connection)) = (self.given.pop(), self.connection)
        else {
            return;
        };
        let verdict = stage.ledger.executes(question);
        stage.judge(verdict);
        let piece = Piece {
            question,
            token,
            index: 0,
            is_last: true,
        };
        let answer = say(FORM, Say::Final(token), &piece.write(0));
        for _ in 0..2 {
            stage.send(connection, End::Broker, Item::Message(answer.clone()));
        }
    }
}

/// A header of MDP/0.3 with encoded properties.
fn header(id: u64, properties: &str) -> Vec<u8> {
    [&id.to_be_bytes(), properties.as_bytes()].concat()
}

impl Party for Hostile {
    fn starts(&mut self, stage: &mut Stage) {
        self.connect(stage);
    }

    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection == Some(connection) {
            self.is_up = true;
            self.todo.put(stage.now, Deed::Mischief);
        }
    }

    fn closed(&mut self, connection: ConnectionId, stage: &mut Stage) {
        if self.connection == Some(connection) {
            self.comes_back(stage);
        }
    }

    fn hears(&mut self, _connection: ConnectionId, message: &Message, _stage: &mut Stage) {
        if let Some(Heard::Request { token, body }) = hear(FORM, message) {
            let question = Question::read(&body);
            self.given
                .extend(question.map(|question| (token, question)));
        }
    }

    fn wakes(&mut self, stage: &mut Stage) {
        while let Some((_, deed)) = self.todo.take(stage.now) {
            match deed {
                Deed::Connect => self.connect(stage),
                Deed::Mischief => {
                    if stage.is_calm {
                        continue;
                    }
                    if stage.dice.chance(5) {
                        self.suffers(Blow::Crash, stage);
                        continue;
                    }
                    self.does_mischief(stage);
                    let rest = stage.dice.milliseconds(1..=400);
                    self.todo.put(stage.now + rest, Deed::Mischief);
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.todo.next()
    }

    fn suffers(&mut self, blow: Blow, stage: &mut Stage) {
        if blow == Blow::Crash
            && let Some(connection) = self.connection
        {
            stage.die(connection, End::Party);
            self.comes_back(stage);
        }
    }

    fn calms(&mut self, stage: &mut Stage) {
        self.todo.clear();
        if let Some(connection) = self.connection.take() {
            stage.die(connection, End::Party);
        }
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn probes(&mut self, _service: usize, _stage: &mut Stage) -> bool {
        false
    }

    fn leaves(&mut self, _stage: &mut Stage) {}
}
