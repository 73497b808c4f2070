//! Conformance 58: whatever peers send.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PEERS: usize = 5;

/// A frame that may mean something.
#[derive(Debug, Clone)]
enum Part {
    Text(&'static str),
    Byte(u8),
    /// One of the tokens that the broker gave to anybody.
    Token(prop::sample::Index),
    Forged([u8; 16]),
    Header(u64, Vec<(&'static str, &'static str)>),
    Junk(Vec<u8>),
}

/// Something that happens to the broker; peers are numbered.
#[derive(Debug, Clone)]
enum Step {
    Opens(usize, bool),
    Closes(usize),
    /// Sends READY for a service, as the peer's dialect has it.
    Joins(usize, &'static str, &'static str),
    /// Sends REQUEST, as the peer's dialect has it.
    Asks(usize, u64, Terms, &'static str),
    /// Sends CANCEL or MORE.
    Minds(usize, u8, u64),
    /// Sends an answer to the oldest request that the peer was given.
    Answers(usize, Answer),
    /// Changes the credit.
    Credits(usize, &'static str),
    /// Sends anything.
    Sends(usize, Vec<Part>),
    Passes(u64),
    IsStopped(u64),
    Backlog(usize, usize),
}

pub(super) type Terms = &'static [(&'static str, &'static str)];

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Final,
    Partial,
    Error(Terms),
}

fn part() -> impl Strategy<Value = Part> {
    let text = prop::sample::select(vec![
        "",
        "MDPC01",
        "MDPC02",
        "MDPC03",
        "MDPW01",
        "MDPW02",
        "MDPW03",
        "READY",
        "REQUEST",
        "PARTIAL",
        "FINAL",
        "HEARTBEAT",
        "DISCONNECT",
        "echo",
        "other",
        "mmi.service",
        "mmi.workers",
        "mmi.dead",
        "org.plantd.Broker",
        "x",
    ]);
    prop_oneof![
        6 => text.prop_map(Part::Text),
        4 => (0u8..12).prop_map(Part::Byte),
        3 => any::<prop::sample::Index>().prop_map(Part::Token),
        1 => any::<[u8; 16]>().prop_map(Part::Forged),
        3 => a_header(),
        1 => vec(any::<u8>(), 0..40).prop_map(Part::Junk),
    ]
}

fn a_header() -> impl Strategy<Value = Part> {
    let property = prop::sample::select(vec![
        ("credit", "0"),
        ("credit", "3"),
        ("streams", "1"),
        ("deadline-ms", "40"),
        ("retry", "never"),
        ("retry", "2"),
        ("window", "1"),
        ("more", "2"),
        ("retryable", "true"),
        ("code", "draining"),
        ("heartbeat-ms", "100"),
        ("attempt", "7"),
        ("+x", ""),
        ("A", ""),
    ]);
    (0u64..4, vec(property, 0..3)).prop_map(|(id, properties)| Part::Header(id, properties))
}

/// Frame lists that are often commands, and often nearly so.
fn message() -> impl Strategy<Value = Vec<Part>> {
    let start = prop::sample::select(vec![
        vec![],
        vec![Part::Text("MDPC02"), Part::Byte(1)],
        vec![Part::Text("MDPC03"), Part::Byte(1), Part::Text("echo")],
        vec![Part::Text("MDPW02"), Part::Byte(4)],
        vec![Part::Text("MDPW03"), Part::Byte(3)],
        vec![Part::Text("MDPW03"), Part::Byte(7)],
        vec![Part::Text(""), Part::Text("MDPW02"), Part::Text("FINAL")],
    ]);
    (start, vec(part(), 0..6)).prop_map(|(start, rest)| [start, rest].concat())
}

pub(super) fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Final),
        2 => Just(Answer::Partial),
        1 => Just(Answer::Error(&[])),
        1 => Just(Answer::Error(&[("code", "draining")])),
        1 => Just(Answer::Error(&[("retryable", "true")])),
    ]
}

pub(super) fn terms() -> impl Strategy<Value = Terms> {
    prop::sample::select(vec![
        &[][..],
        &[("retry", "never")],
        &[("retry", "2"), ("deadline-ms", "5000")],
        &[("deadline-ms", "700")],
        &[("window", "4")],
    ])
}

/// The first peers mostly ask and the last mostly serve, so that much comes of it.
fn step() -> impl Strategy<Value = Step> {
    let service = || prop::sample::select(vec!["echo", "echo", "echo", "other", "third", "fourth"]);
    let credit = || prop::sample::select(vec!["0", "1", "3"]);
    let clients = 0..3usize;
    let workers = 2..PEERS;
    prop_oneof![
        3 => (0..PEERS, any::<bool>()).prop_map(|(peer, joins)| Step::Opens(peer, joins)),
        1 => (0..PEERS).prop_map(Step::Closes),
        6 => (workers.clone(), service(), credit())
            .prop_map(|(peer, service, credit)| Step::Joins(peer, service, credit)),
        12 => (clients.clone(), 1u64..16, terms(), service())
            .prop_map(|(peer, id, terms, service)| Step::Asks(peer, id, terms, service)),
        4 => (clients, prop::sample::select(vec![5u8, 7]), 1u64..16)
            .prop_map(|(peer, command, id)| Step::Minds(peer, command, id)),
        12 => (workers.clone(), answer()).prop_map(|(peer, answer)| Step::Answers(peer, answer)),
        1 => (workers, credit()).prop_map(|(peer, credit)| Step::Credits(peer, credit)),
        3 => (0..PEERS, message()).prop_map(|(peer, message)| Step::Sends(peer, message)),
        3 => (0u64..3000).prop_map(Step::Passes),
        1 => (0u64..9000).prop_map(Step::IsStopped),
        2 => (0..PEERS, 0usize..4000).prop_map(|(peer, bytes)| Step::Backlog(peer, bytes)),
    ]
}

fn tight(config: &mut Config) {
    config.queue_timeout = Duration::from_secs(4);
    config.busy_liveness = 4;
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
}

/// Numbered peers, and what each was given and asked.
struct Crowd {
    plant: Plant,
    dialects: [usize; PEERS],
    peers: [Option<PeerId>; PEERS],
    tokens: Vec<Vec<u8>>,
    given: BTreeMap<PeerId, Vec<Frames>>,
    /// How often each id was asked, less how often it ended.
    asked: BTreeMap<(PeerId, u64), u32>,
    /// The same for clients without ids.
    asked_older: BTreeMap<PeerId, u32>,
}

impl Crowd {
    fn new(dialects: [usize; PEERS]) -> Self {
        let mut plant = Plant::with(tight);
        Self {
            peers: [(); PEERS].map(|()| Some(plant.opens(false))),
            plant,
            dialects,
            tokens: Vec::new(),
            given: BTreeMap::new(),
            asked: BTreeMap::new(),
            asked_older: BTreeMap::new(),
        }
    }

    fn does(&mut self, step: Step) {
        match step {
            Step::Opens(peer, joins) => {
                if self.peers[peer].is_none() {
                    self.peers[peer] = Some(self.plant.opens(joins));
                }
            }
            Step::Closes(peer) => {
                if let Some(peer) = self.peers[peer].take() {
                    self.plant.closes(peer);
                }
            }
            Step::Joins(peer, service, credit) => {
                self.comes_anew(peer);
                let offer = header(0, &[("credit", credit), ("streams", "1")]);
                self.sends(
                    peer,
                    [
                        frames!["", "MDPW01", 1, service],
                        frames!["MDPW02", 1, service],
                        frames!["", "MDPW02", "READY", service],
                        frames!["MDPW03", 1, service, offer],
                    ],
                );
            }
            Step::Asks(peer, id, terms, service) => self.sends(
                peer,
                [
                    frames!["", "MDPC01", service, "body"],
                    frames!["MDPC02", 1, service, "body"],
                    frames!["", "MDPC02", "REQUEST", service, "body"],
                    frames!["MDPC03", 1, service, header(id, terms), "body"],
                ],
            ),
            Step::Minds(peer, command, id) => {
                let message = frames!["MDPC03", command, "echo", header(id, &[("more", "2")])];
                if self.dialects[peer] == 3 {
                    self.sends(peer, [(); 4].map(|()| message.clone()));
                }
            }
            Step::Answers(peer, answer) => self.answers(peer, answer),
            Step::Credits(peer, credit) => self.sends(
                peer,
                [
                    frames!["", "MDPW01", 4],
                    frames!["MDPW02", 5],
                    frames!["", "MDPW02", "HEARTBEAT"],
                    frames!["MDPW03", 5, header(0, &[("credit", credit)])],
                ],
            ),
            Step::Sends(peer, parts) => {
                let message = self.written(&parts);
                self.sends(peer, [(); 4].map(|()| message.clone()));
            }
            Step::Passes(milliseconds) => self.plant.passes(Duration::from_millis(milliseconds)),
            Step::IsStopped(milliseconds) => {
                self.plant
                    .is_stopped_for(Duration::from_millis(milliseconds));
            }
            Step::Backlog(peer, bytes) => {
                if let Some(peer) = self.peers[peer] {
                    self.plant
                        .broker
                        .handle_backlog(peer, bytes, self.plant.now);
                    self.plant.settle();
                }
            }
        }
        self.look_at_what_came();
    }

    fn drains(&mut self, deadline: bool) {
        if deadline {
            self.plant.drain_deadline_passes();
        } else {
            self.plant.drains();
        }
        self.look_at_what_came();
    }

    /// A worker comes on a connection of its own.
    fn comes_anew(&mut self, peer: usize) {
        if let Some(old) = self.peers[peer] {
            self.plant.closes(old);
        }
        self.peers[peer] = Some(self.plant.opens(false));
    }

    /// Sends the one of these messages that is of the peer's dialect.
    fn sends(&mut self, peer: usize, of_dialects: [Frames; 4]) {
        if let Some(id) = self.peers[peer] {
            self.send(id, of_dialects[self.dialects[peer]].clone());
        }
    }

    fn answers(&mut self, peer: usize, answer: Answer) {
        let Some(peer) = self.peers[peer] else {
            return;
        };
        let given = self.given.entry(peer).or_default();
        let Some(request) = given.first().cloned() else {
            return;
        };
        let newer = request.0[0] == b"MDPW03";
        let message = match answer {
            Answer::Final => request.echo(),
            Answer::Partial => request.partial("part"),
            Answer::Error(properties) if newer => request.fails_with(properties),
            Answer::Error(_) => return,
        };
        if !matches!(answer, Answer::Partial) || request.0[0].is_empty() {
            given.remove(0);
        }
        self.send(peer, message);
    }

    fn written(&self, parts: &[Part]) -> Frames {
        let frame = |part: &Part| match part {
            Part::Text(text) => text.as_bytes().to_vec(),
            Part::Byte(byte) => vec![*byte],
            Part::Token(index) if self.tokens.is_empty() => vec![index.index(256) as u8; 16],
            Part::Token(index) => index.get(&self.tokens).clone(),
            Part::Forged(bytes) => bytes.to_vec(),
            Part::Header(id, properties) => header(*id, properties),
            Part::Junk(bytes) => bytes.clone(),
        };
        Frames(parts.iter().map(frame).collect())
    }

    fn send(&mut self, peer: PeerId, message: Frames) {
        if let [protocol, command, _, header, ..] = &message.0[..]
            && protocol == b"MDPC03"
            && command == &[1]
            && let Some(id) = header.first_chunk()
        {
            *self
                .asked
                .entry((peer, u64::from_be_bytes(*id)))
                .or_default() += 1;
        }
        *self.asked_older.entry(peer).or_default() += 1;
        self.plant.sends(peer, message);
    }

    /// Keeps what was given, and checks that nothing ends more often than it was asked.
    fn look_at_what_came(&mut self) {
        let peers: Vec<PeerId> = self.plant.inboxes.keys().copied().collect();
        for peer in peers {
            for message in self.plant.takes(peer) {
                self.look_at(peer, message);
            }
        }
        for peer in &mut self.peers {
            if peer.is_some_and(|peer| self.plant.closed.contains_key(&peer)) {
                *peer = None;
            }
        }
    }

    fn look_at(&mut self, peer: PeerId, message: Frames) {
        let undelimited = usize::from(message.0[0].is_empty());
        let protocol = &message.0[undelimited];
        let command = &message.0[undelimited + 1];
        if protocol.starts_with(b"MDPW") {
            if command == &[2] || command == b"REQUEST" {
                self.tokens.push(message.token());
                self.given.entry(peer).or_default().push(message);
            }
        } else if protocol == b"MDPC03" {
            let asked = self.asked.entry((peer, message.id())).or_default();
            assert!(*asked > 0, "{message:?} answers nothing");
            *asked -= u32::from(command != &[2]);
        } else if command != &[2] && command != b"PARTIAL" {
            let asked = self.asked_older.entry(peer).or_default();
            assert!(*asked > 0, "{message:?} answers nothing");
            *asked -= 1;
        }
    }

    /// Everybody leaves, time passes, and nothing is left.
    fn goes_home(mut self) {
        for peer in self.peers.into_iter().flatten() {
            self.plant.closes(peer);
        }
        self.plant.assert_nothing_is_held();
        assert_eq!(self.plant.broker.tally().backlog_bytes, 0);
        self.plant.passes(Duration::from_secs(60));
        assert_eq!(self.plant.broker.poll_timeout(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn case_58_whatever_comes_each_request_is_in_one_place_and_ends_once(
        dialects in prop::array::uniform5(0usize..4),
        steps in vec(step(), 1..100),
        drain in prop::option::of((0usize..200, any::<bool>())),
    ) {
        let mut crowd = Crowd::new(dialects);
        for (index, step) in steps.into_iter().enumerate() {
            if let Some((at, deadline)) = drain && at == index {
                crowd.drains(deadline);
            }
            crowd.does(step);
        }
        crowd.goes_home();
    }
}
