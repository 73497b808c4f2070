//! The codec: frames to commands and back, each dialect by itself.

use arbitrary::Arbitrary;
use plantd_mdp::codec::{Inbound, Role, decode};
use plantd_mdp::command::{FromClient, FromWorker, ToClient, ToWorker};
use plantd_mdp::{Dialect, Form, Header, ServiceName, Token};
use plantd_zmtp::Message;

use crate::input::{Part, Word, frames, message, read};
use crate::wire;

/// What a peer of a dialect sends after the protocol's name.
#[derive(Debug, Arbitrary)]
struct Spoken<'a> {
    by_worker: bool,
    delimited: bool,
    byte: u8,
    word: Word,
    parts: Vec<Part<'a>>,
}

/// MDP/0.1 (RFC 7).
pub fn mdp01(bytes: &[u8]) {
    speaks(bytes, Dialect::Mdp01);
}

/// MDP/0.2 (RFC 18).
pub fn mdp02(bytes: &[u8]) {
    speaks(bytes, Dialect::Mdp02);
}

/// The words of the Go plantd.
pub fn words(bytes: &[u8]) {
    speaks(bytes, Dialect::Words);
}

/// MDP/0.3.
pub fn mdp03(bytes: &[u8]) {
    speaks(bytes, Dialect::Mdp03);
}

/// A message of a dialect is a command in this dialect, or refused; and the answer is written in
/// the form in which it was asked.
fn speaks(bytes: &[u8], dialect: Dialect) {
    let Some(spoken) = read::<Spoken<'_>>(bytes) else {
        return;
    };
    let message = spoken.in_dialect(dialect);
    let read = decode(&message, None);
    let known = "echo".parse::<ServiceName>().expect("a name");
    assert_eq!(
        decode(&message, Some(&known)),
        read,
        "who is known makes no difference"
    );
    let role = if spoken.by_worker {
        Role::Worker
    } else {
        Role::Client
    };
    match read {
        Ok((form, command)) => {
            assert_eq!(form.dialect, dialect);
            assert_eq!(form.delimited, spoken.delimited);
            assert_eq!(matches!(command, Inbound::Worker(_)), spoken.by_worker);
            check_answer(form, &command);
            if dialect == Dialect::Mdp03 {
                assert_eq!(written_by_library(command.clone()), Some((form, command)));
            }
        }
        Err(refusal) => {
            assert!(refusal.request.is_none() || refusal.speaker.is_some());
            let spoke = refusal.speaker.map(|(role, form)| (role, form.dialect));
            // Who sends no command has not said whether in bytes or in words.
            let same = |(known, dialects): (Role, Dialect)| {
                let is_02 = |of| matches!(of, Dialect::Mdp02 | Dialect::Words);
                known == role && (dialects == dialect || is_02(dialects) && is_02(dialect))
            };
            assert!(spoke.is_none_or(same), "{refusal:?}");
        }
    }
}

impl Spoken<'_> {
    fn in_dialect(&self, dialect: Dialect) -> Message {
        let mut all: Vec<Vec<u8>> = Vec::new();
        if self.delimited {
            all.push(Vec::new());
        }
        let protocol = match (self.by_worker, dialect) {
            (false, Dialect::Mdp01) => Word::Client01,
            (false, Dialect::Mdp02 | Dialect::Words) => Word::Client02,
            (false, Dialect::Mdp03) => Word::Client03,
            (true, Dialect::Mdp01) => Word::Worker01,
            (true, Dialect::Mdp02 | Dialect::Words) => Word::Worker02,
            (true, Dialect::Mdp03) => Word::Worker03,
        };
        all.push(protocol.bytes().to_vec());
        match dialect {
            Dialect::Mdp01 if !self.by_worker => {}
            Dialect::Mdp01 | Dialect::Mdp02 | Dialect::Mdp03 => all.push(vec![self.byte]),
            Dialect::Words => all.push(self.word.bytes().to_vec()),
        }
        all.extend(frames(&self.parts));
        Message::from_frames(all)
    }
}

/// What a command is answered by begins as the peer expects and ends with the body.
fn check_answer(form: Form, command: &Inbound) {
    let answer = match command {
        Inbound::Client(FromClient::Request {
            service,
            header,
            body,
        }) => {
            let answer = ToClient::Final {
                service: service.clone(),
                header: header.clone(),
                body: body.clone(),
            };
            let written = wire::written(|out| answer.encode(form, out));
            (
                written.expect("every dialect has a last answer"),
                body.clone(),
            )
        }
        Inbound::Worker(FromWorker::Final {
            token,
            header,
            body,
        }) => {
            let request = ToWorker::Request {
                token: *token,
                header: header.clone(),
                body: body.clone(),
            };
            let written = wire::written(|out| request.encode(form, out));
            (written.expect("every dialect has a request"), body.clone())
        }
        Inbound::Client(_) | Inbound::Worker(_) => return,
    };
    let (written, body) = answer;
    let envelope = written.frame_count() - body.frame_count();
    assert!((2..=5).contains(&envelope), "{written:?}");
    assert_eq!(written.skip_frames(envelope), body);
}

/// What the broker reads of a command that the library has written.
fn written_by_library(command: Inbound) -> Option<(Form, Inbound)> {
    let mut wire = Vec::new();
    let body = match &command {
        // A header that says nothing is left out of HEARTBEAT.
        Inbound::Worker(FromWorker::Heartbeat { header }) if header.properties.is_empty() => {
            return Some((Form::MDP03, command));
        }
        Inbound::Client(command) => command.encode(&mut wire),
        Inbound::Worker(command) => command.encode(&mut wire),
    };
    wire.extend_from_slice(body.map_or(&[], |body| body.encoded()));
    decode(&wire::read(&wire), None).ok()
}

/// What the library makes of whatever comes instead of an answer or a request.
pub fn replies(bytes: &[u8]) {
    let Some((of_worker, byte, parts)) = read::<(bool, u8, Vec<Part<'_>>)>(bytes) else {
        return;
    };
    let protocol = if of_worker {
        Word::Worker03
    } else {
        Word::Client03
    };
    let rest = message(&parts);
    let start = Message::from_frames([protocol.bytes(), &[byte % 12]]);
    for message in [&rest, &Message::concat([&start, &rest])] {
        if let Ok(Some(command)) = ToClient::decode(message) {
            let written = wire::written(|out| command.encode(Form::MDP03, out));
            let written = written.expect("MDP/0.3 has every command");
            assert_eq!(ToClient::decode(&written), Ok(Some(command)));
        }
        if let Ok(Some(command)) = ToWorker::decode(message) {
            let command = without_needless_header(command);
            let written = wire::written(|out| command.encode(Form::MDP03, out));
            let written = written.expect("MDP/0.3 has every command");
            assert_eq!(ToWorker::decode(&written), Ok(Some(command)));
        }
    }
}

/// A header that says nothing is left out of DISCONNECT.
fn without_needless_header(command: ToWorker) -> ToWorker {
    match command {
        ToWorker::Disconnect { header } if header.properties.is_empty() => ToWorker::Disconnect {
            header: Header::default(),
        },
        ToWorker::Disconnect { .. }
        | ToWorker::Welcome { .. }
        | ToWorker::Request { .. }
        | ToWorker::Cancel { .. }
        | ToWorker::More { .. }
        | ToWorker::Heartbeat => command,
    }
}

/// The token with this number.
pub(crate) fn token(number: u8) -> Token {
    Token::parse(&[number; Token::BYTES]).expect("a token has 16 bytes")
}
