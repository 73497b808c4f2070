//! The broker against a crowd of peers that send what they like when they like.

pub(crate) mod plant;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Arbitrary;
use plantd_mdp::broker::{Config, PeerId};
use plantd_mdp::codec::{Inbound, decode};
use plantd_mdp::command::{FromClient, FromWorker, ToClient, ToWorker};
use plantd_mdp::{Dialect, Form, Token};
use plantd_zmtp::Message;

use self::plant::{Plant, Told};
use crate::input::{Part, Property, Which, frame_of, header, message, steps};

/// How many peers there are at a time.
const PEERS: u8 = 6;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Opens(Which, bool),
    Closes(Which),
    Joins(Which, Speech, Service, Vec<Property>),
    Asks(Which, Speech, Service, u8, Vec<Property>),
    Cancels(Which, u8),
    TakesMore(Which, u8, u8),
    Answers(Which, Which, Answer),
    Beats(Which, Vec<Property>),
    Leaves(Which),
    Sends(Which, Vec<Part<'a>>),
    Passes(u16),
    IsStopped(u16),
    Backlog(Which, u16),
    Drains,
    DrainDeadline,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Speech {
    Mdp01,
    Mdp02,
    Req02,
    Words,
    Mdp03,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Service {
    Echo,
    Other,
    Mmi,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Answer {
    Final,
    Partial,
    Error,
    Retryable,
    Draining,
}

impl Speech {
    fn form(self) -> Form {
        let (dialect, delimited) = match self {
            Self::Mdp01 => (Dialect::Mdp01, true),
            Self::Mdp02 => (Dialect::Mdp02, false),
            Self::Req02 => (Dialect::Mdp02, true),
            Self::Words => (Dialect::Words, true),
            Self::Mdp03 => (Dialect::Mdp03, false),
        };
        Form { dialect, delimited }
    }
}

impl Service {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Echo => b"echo",
            Self::Other => b"other",
            Self::Mmi => b"mmi.services",
        }
    }
}

/// What a worker was given: how it is answered, and with what.
struct Given {
    form: Form,
    token: Token,
    body: Message,
}

/// Peers, and what each was asked and given.
struct Crowd {
    plant: Plant,
    peers: [PeerId; PEERS as usize],
    given: BTreeMap<PeerId, Vec<Given>>,
    tokens: BTreeSet<Token>,
    /// How often each id was asked, less how often it ended.
    open: BTreeMap<(PeerId, u64), u32>,
    /// The same for clients without ids.
    open_older: BTreeMap<PeerId, u32>,
    /// The bodies of all requests of a client.
    asked: BTreeMap<PeerId, Vec<Message>>,
    count: u64,
}

impl Crowd {
    fn new() -> Self {
        let mut plant = Plant::new(config());
        Self {
            peers: [(); PEERS as usize].map(|()| plant.opens(false)),
            plant,
            given: BTreeMap::new(),
            tokens: BTreeSet::new(),
            open: BTreeMap::new(),
            open_older: BTreeMap::new(),
            asked: BTreeMap::new(),
            count: 0,
        }
    }

    fn peer(&self, which: Which) -> PeerId {
        self.peers[usize::from(which.below(PEERS))]
    }

    fn does(&mut self, step: &Step<'_>) {
        match step {
            Step::Opens(which, joins_partials) => {
                let place = usize::from(which.below(PEERS));
                if self.plant.is_gone(self.peers[place]) {
                    self.peers[place] = self.plant.opens(*joins_partials);
                }
            }
            Step::Closes(which) => self.plant.closes(self.peer(*which)),
            Step::Joins(which, speech, service, terms) => {
                let mut frames = start(speech.form(), b"MDPW");
                frames.push(code(speech.form(), 1, b"READY"));
                frames.push(service.name().to_vec());
                if speech.form().dialect.has_header() {
                    frames.push(frame_of(&header(0, terms)));
                }
                self.sends(self.peer(*which), Message::from_frames(frames));
            }
            Step::Asks(which, speech, service, id, properties) => {
                self.asks(self.peer(*which), *speech, *service, *id, properties);
            }
            Step::Cancels(which, id) => self.minds(*which, 5, *id, &[]),
            Step::TakesMore(which, id, more) => {
                self.minds(*which, 7, *id, &[Property::More(*more)]);
            }
            Step::Answers(which, given, answer) => self.answers(self.peer(*which), *given, *answer),
            Step::Beats(which, properties) => {
                let command = FromWorker::Heartbeat {
                    header: header(0, properties),
                };
                let mut wire = Vec::new();
                let _no_body = command.encode(&mut wire);
                self.sends(self.peer(*which), crate::wire::read(&wire));
            }
            Step::Leaves(which) => {
                let message = Message::from_frames([&b"MDPW02"[..], &[6]]);
                self.sends(self.peer(*which), message);
            }
            Step::Sends(which, parts) => self.sends(self.peer(*which), message(parts)),
            Step::Passes(milliseconds) => {
                self.plant
                    .passes(Duration::from_millis((*milliseconds).into()));
            }
            Step::IsStopped(milliseconds) => {
                self.plant.now += Duration::from_millis((*milliseconds).into());
            }
            Step::Backlog(which, bytes) => {
                self.plant.backlog(self.peer(*which), usize::from(*bytes));
            }
            Step::Drains => self.plant.drains(),
            Step::DrainDeadline => self.plant.drain_deadline_passes(),
        }
        self.looks();
    }

    fn asks(
        &mut self,
        peer: PeerId,
        speech: Speech,
        service: Service,
        id: u8,
        properties: &[Property],
    ) {
        let form = speech.form();
        let mut frames = start(form, b"MDPC");
        if form.dialect != Dialect::Mdp01 {
            frames.push(code(form, 1, b"REQUEST"));
        }
        frames.push(service.name().to_vec());
        if form.dialect.has_header() {
            frames.push(frame_of(&header(id.into(), properties)));
        }
        self.count += 1;
        frames.push(self.count.to_string().into_bytes());
        self.sends(peer, Message::from_frames(frames));
    }

    fn minds(&mut self, which: Which, command: u8, id: u8, properties: &[Property]) {
        let header = frame_of(&header(id.into(), properties));
        let frames = [&b"MDPC03"[..], &[command], b"echo", &header];
        self.sends(self.peer(which), Message::from_frames(frames));
    }

    /// Answers something that the peer was given at any time, with the body of it.
    fn answers(&mut self, peer: PeerId, which: Which, answer: Answer) {
        let given = self.given.get(&peer).map_or(&[][..], Vec::as_slice);
        let Some(given) = given.get(usize::from(which.below(given.len().clamp(1, 255) as u8)))
        else {
            return;
        };
        let form = given.form;
        let (byte, word, properties): (_, &[u8], &[Property]) = match answer {
            Answer::Final if form.dialect == Dialect::Mdp01 => (3, b"", &[]),
            Answer::Final => (4, b"FINAL", &[]),
            Answer::Partial => (3, b"PARTIAL", &[]),
            Answer::Error => (7, b"ERROR", &[]),
            Answer::Retryable => (7, b"ERROR", &[Property::Retryable]),
            Answer::Draining => (7, b"ERROR", &[Property::CodeDraining]),
        };
        let mut frames = start(form, b"MDPW");
        frames.push(code(form, byte, word));
        frames.push(given.token.as_bytes().to_vec());
        match form.dialect {
            Dialect::Mdp01 | Dialect::Mdp02 => frames.push(Vec::new()),
            Dialect::Words => {}
            Dialect::Mdp03 => frames.push(frame_of(&header(1, properties))),
        }
        frames.extend(given.body.frames().map(<[u8]>::to_vec));
        self.sends(peer, Message::from_frames(frames));
    }

    fn sends(&mut self, peer: PeerId, message: Message) {
        if message.is_empty() || self.plant.is_gone(peer) || self.plant.is_paused(peer) {
            return;
        }
        let mut frames = message.frames();
        if frames.next() == Some(b"MDPC03")
            && frames.next() == Some(&[1])
            && let Some(id) = frames.nth(1).and_then(|header| header.first_chunk())
        {
            let id = u64::from_be_bytes(*id);
            *self.open.entry((peer, id)).or_default() += 1;
        }
        *self.open_older.entry(peer).or_default() += 1;
        if let Ok((_, Inbound::Client(FromClient::Request { body, .. }))) = decode(&message, None) {
            self.asked.entry(peer).or_default().push(body);
        }
        self.plant.sends(peer, message);
    }

    /// Looks at what peers were told.
    fn looks(&mut self) {
        for (peer, told) in self.plant.takes() {
            match told {
                Told::Client(form, command) => self.client_is_told(peer, form, &command),
                Told::Worker(form, ToWorker::Request { token, body, .. }) => {
                    assert!(self.tokens.insert(token), "a token is given twice");
                    self.given
                        .entry(peer)
                        .or_default()
                        .push(Given { form, token, body });
                }
                Told::Worker(..) => {}
            }
        }
    }

    fn client_is_told(&mut self, peer: PeerId, form: Form, command: &ToClient) {
        let (id, is_last) = match command {
            ToClient::Partial { header, .. } => (header.id, false),
            ToClient::Final { header, .. } | ToClient::Error { header, .. } => (header.id, true),
        };
        let open = if form.dialect.has_header() {
            self.open.entry((peer, id)).or_default()
        } else {
            self.open_older.entry(peer).or_default()
        };
        assert!(*open > 0, "{command:?} answers nothing");
        *open -= u32::from(is_last);
        if let ToClient::Final { service, body, .. } = command
            && !service.is_reserved()
            && form.dialect.has_header()
        {
            let asked = self.asked.get(&peer).map_or(&[][..], Vec::as_slice);
            assert!(asked.contains(body), "{command:?} answers somebody else");
        }
    }

    /// Everybody leaves, time passes, and nothing is left.
    fn goes_home(mut self) {
        for peer in self.peers {
            self.plant.closes(peer);
        }
        self.plant.passes(Duration::from_secs(60));
        self.plant.assert_is_empty();
    }
}

fn config() -> Config {
    let mut config = Config {
        queue_timeout: Duration::from_secs(4),
        busy_liveness: 4,
        ..Config::default()
    };
    config.limits.frame_bytes = 30;
    config.limits.body_frames = 3;
    config.limits.client_requests = 4;
    config.limits.client_bytes = 2000;
    config.limits.queue_requests = 5;
    config.limits.names = 2;
    config.limits.dead = 2;
    config.limits.dispatch_bytes = 1000;
    config.limits.outbox_bytes = 2000;
    config.limits.outbox_max_bytes = 4000;
    config.limits.memory_bytes = 8000;
    config
}

fn start(form: Form, role: &[u8]) -> Vec<Vec<u8>> {
    let version: &[u8] = match form.dialect {
        Dialect::Mdp01 => b"01",
        Dialect::Mdp02 | Dialect::Words => b"02",
        Dialect::Mdp03 => b"03",
    };
    let mut frames = vec![[role, version].concat()];
    if form.delimited {
        frames.insert(0, Vec::new());
    }
    frames
}

fn code(form: Form, byte: u8, word: &[u8]) -> Vec<u8> {
    match form.dialect {
        Dialect::Words => word.to_vec(),
        Dialect::Mdp01 | Dialect::Mdp02 | Dialect::Mdp03 => vec![byte],
    }
}

/// Each request is in one place and ends once, with an answer of its own, and nothing is kept for
/// who is gone.
pub fn broker(bytes: &[u8]) {
    let mut crowd = Crowd::new();
    for step in steps(bytes).take(300) {
        crowd.does(&step);
    }
    crowd.goes_home();
}
