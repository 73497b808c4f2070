//! What may be cached and served, told by hand; and against a service, a bus and readers that are
//! played in any order.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn source(number: u128) -> SourceId {
    SourceId::from_random(number)
}

fn told(sequence: u64, key: &str) -> Told<'_> {
    Told {
        source: source(1),
        sequence,
        of: ChangeOf::Key(key),
    }
}

/// A change of a key is told.
fn tells(sequence: u64, key: &str) -> impl Fn(&mut Coherence) {
    move |coherence| {
        coherence.handle_told(told(sequence, key));
    }
}

fn joined(sequence: u64) -> Coherence {
    let mut coherence = Coherence::default();
    coherence.handle_joined(sequence);
    coherence
}

#[test]
fn nothing_is_cached_before_the_scope_is_joined() {
    let mut coherence = Coherence::default();
    assert_eq!((coherence.era(), coherence.handle_asked("a")), (None, None));
    coherence.handle_joined(7);
    assert!(coherence.era().is_some());
    assert!(coherence.handle_asked("a").is_some());
}

#[test]
fn a_change_drops_what_is_older_and_changes_without_a_hole_keep_the_era() {
    let mut coherence = joined(7);
    let era = coherence.era();
    let drop = |key, older_than| Effect::Drop { key, older_than };
    assert_eq!(coherence.handle_told(told(8, "a")), drop("a", 8));
    assert_eq!(coherence.handle_told(told(9, "b")), drop("b", 9));
    // One that another broker has delivered late.
    assert_eq!(coherence.handle_told(told(6, "c")), drop("c", 6));
    let made = Told {
        of: ChangeOf::ScopeMade,
        ..told(10, "")
    };
    assert_eq!(coherence.handle_told(made), Effect::Nothing);
    assert_eq!(coherence.era(), era);
}

#[test]
fn a_hole_and_another_source_end_the_era() {
    let mut coherence = joined(7);
    assert_eq!(coherence.handle_told(told(9, "a")), Effect::Lost);
    assert_eq!(coherence.era(), None);
    coherence.handle_joined(9);
    coherence.handle_told(told(10, "a"));
    let of_another = Told {
        source: source(2),
        ..told(11, "a")
    };
    assert_eq!(coherence.handle_told(of_another), Effect::Lost);
    assert_eq!(coherence.era(), None);
}

#[test]
fn what_is_heard_while_the_scope_is_joined_is_no_hole() {
    let mut coherence = Coherence::default();
    // The sequence was read at 7; then 8 and 9 were told; then the answer comes.
    for sequence in [8, 9] {
        let effect = coherence.handle_told(told(sequence, "a"));
        assert_eq!(effect, Effect::Nothing);
    }
    coherence.handle_joined(7);
    assert_ne!(coherence.handle_told(told(10, "a")), Effect::Lost);
}

#[test]
fn a_scope_that_is_deleted_begins_an_era_and_stays_joined() {
    let mut coherence = joined(7);
    let era = coherence.era();
    let deleted = Told {
        of: ChangeOf::ScopeDeleted,
        ..told(8, "")
    };
    assert_eq!(coherence.handle_told(deleted), Effect::DropAll);
    assert!(coherence.era() > era);
}

#[test]
fn an_answer_is_cached_unless_something_newer_became_known_meanwhile() {
    let mut coherence = joined(7);
    let mut answered = |as_of, meanwhile: &dyn Fn(&mut Coherence)| {
        let ticket = coherence.handle_asked("a").unwrap();
        meanwhile(&mut coherence);
        let is_kept = coherence.handle_answered(ticket, "a", as_of);
        coherence.handle_landed("a");
        is_kept
    };
    assert!(answered(5, &|_| ()));
    assert!(answered(5, &tells(8, "b")));
    assert!(!answered(5, &tells(9, "a")));
    assert!(answered(10, &tells(10, "a")));
    // A late one.
    assert!(answered(10, &tells(4, "a")));
    assert!(!answered(99, &|it| it.handle_written("a")));
    assert!(!answered(99, &Coherence::handle_scope_written));
    assert!(!answered(10, &|it| it.handle_seen("a", 11)));
    assert!(!answered(99, &|it| {
        it.handle_lost();
        it.handle_joined(99);
    }));
    assert!(!coherence.has_flights());
}

#[test]
fn of_two_flights_the_older_answer_is_not_cached_after_the_newer() {
    let mut coherence = joined(7);
    let slow = coherence.handle_asked("a").unwrap();
    let quick = coherence.handle_asked("a").unwrap();
    assert!(coherence.handle_answered(quick, "a", 6));
    coherence.handle_landed("a");
    // Also when what the quick one brought was evicted.
    assert!(!coherence.handle_answered(slow, "a", 5));
    coherence.handle_landed("a");
    assert!(!coherence.has_flights());
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody else writes a key, or deletes it.
    Write(usize, bool),
    /// The same from here; it is committed now and returns later.
    OwnWrite(usize, bool),
    OwnWriteReturns,
    DeleteScope,
    /// A key is read: of the cache, or a flight begins.
    Read(usize),
    /// The service looks for a flight.
    Looks(usize),
    /// A flight's answer comes.
    Answers(usize),
    /// A flight is given up.
    GivesUp(usize),
    /// The bus delivers its next publication, loses it, or delivers it without losing it.
    Deliver,
    Lose,
    Repeat,
    /// The connection to the bus is lost.
    Disconnect,
    /// The service is asked for the sequence, and the answer comes.
    AskToJoin,
    Join,
    /// The service is another process from here on.
    Restart,
    /// Something is evicted.
    Evict(usize),
}

const KEYS: [&str; 2] = ["a", "b"];

/// Steps of two bytes: which, by weight, and of which key or flight.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = |(which, of): (u8, u8)| {
        let (key, flight, sets) = (usize::from(of) % KEYS.len(), usize::from(of) % 3, of < 200);
        match which % 64 {
            0..6 => Step::Write(key, sets),
            6..10 => Step::OwnWrite(key, sets),
            10..14 => Step::OwnWriteReturns,
            14 => Step::DeleteScope,
            15..30 => Step::Read(key),
            30..39 => Step::Looks(flight),
            39..48 => Step::Answers(flight),
            48 => Step::GivesUp(flight),
            49..55 => Step::Deliver,
            55 => Step::Lose,
            56 => Step::Repeat,
            57 => Step::Disconnect,
            58 | 59 => Step::AskToJoin,
            60 | 61 => Step::Join,
            62 => Step::Restart,
            _ => Step::Evict(key),
        }
    };
    prop::collection::vec(any::<(u8, u8)>(), 1..120)
        .prop_map(move |bytes| bytes.into_iter().map(step).collect())
}

/// A service, a bus, and one cache of the scope.
#[derive(Debug, Default)]
struct World {
    coherence: Coherence,
    /// What is cached: era, how new, and the version that is there, 0: none.
    shelf: HashMap<usize, (u64, u64, u64)>,
    sequence: u64,
    /// The version of each key; 0: it is not there.
    truth: [u64; KEYS.len()],
    source: u128,
    bus: VecDeque<(SourceId, u64, Option<usize>)>,
    last: Option<(SourceId, u64, Option<usize>)>,
    is_connected: bool,
    flights: Vec<Flight>,
    own_writes: VecDeque<(usize, u64)>,
    /// The sequence that was answered to who wants to join.
    joining: Option<u64>,
    /// How new what the reader knows of each key is.
    known: [u64; KEYS.len()],
    /// The last change that was lost and can not have been noticed.
    lost: Option<u64>,
    hits: u64,
}

#[derive(Debug)]
struct Flight {
    key: usize,
    ticket: Option<Ticket>,
    /// How new the answer is, and the version.
    found: Option<(u64, u64)>,
}

impl World {
    fn change(&mut self, key: Option<usize>, version_of: impl Fn(u64) -> u64) -> u64 {
        self.sequence += 1;
        match key {
            Some(key) => self.truth[key] = version_of(self.sequence),
            None => self.truth = [0; KEYS.len()],
        }
        let publication = (source(self.source), self.sequence, key);
        self.bus.push_back(publication);
        self.sequence
    }

    fn deliver(&mut self, publication: (SourceId, u64, Option<usize>)) {
        let (source, sequence, key) = publication;
        if !self.is_connected {
            return;
        }
        let was_joined = self.coherence.era().is_some();
        let of = key.map_or(ChangeOf::ScopeDeleted, |key| ChangeOf::Key(KEYS[key]));
        let effect = self.coherence.handle_told(Told {
            source,
            sequence,
            of,
        });
        match effect {
            Effect::Nothing | Effect::DropAll | Effect::Lost => {}
            Effect::Drop { older_than, .. } => {
                let key = key.unwrap();
                if self.shelf.get(&key).is_some_and(|it| it.1 < older_than) {
                    self.shelf.remove(&key);
                }
            }
        }
        if self.lost.is_some_and(|lost| lost < sequence) {
            self.lost = None;
        }
        if was_joined && let (Some(key), true) = (key, effect != Effect::Lost) {
            self.known[key] = self.known[key].max(sequence);
        }
    }

    fn read(&mut self, key: usize) {
        if let Some(era) = self.coherence.era()
            && let Some((of, as_of, version)) = self.shelf.get(&key).copied()
            && of == era
        {
            self.hits += 1;
            assert!(as_of >= self.known[key], "older than what was known");
            self.known[key] = as_of;
            let is_behind =
                self.lost.is_some() || !self.bus.is_empty() || !self.own_writes.is_empty();
            assert!(is_behind || version == self.truth[key], "out of date");
            return;
        }
        let ticket = self.coherence.handle_asked(KEYS[key]);
        self.flights.push(Flight {
            key,
            ticket,
            found: None,
        });
    }

    fn answer(&mut self, index: usize) {
        let Some(Flight {
            key,
            ticket,
            found: Some((as_of, version)),
        }) = self.flights.get(index)
        else {
            return;
        };
        let (key, ticket, as_of, version) = (*key, *ticket, *as_of, *version);
        self.flights.remove(index);
        let era = self.coherence.era();
        let cached = self.shelf.get(&key).filter(|it| Some(it.0) == era);
        let cached = cached.map(|it| it.1);
        let mut is_kept = false;
        match ticket {
            Some(ticket) => {
                is_kept = self.coherence.handle_answered(ticket, KEYS[key], as_of);
                self.coherence.handle_landed(KEYS[key]);
            }
            None => self.coherence.handle_seen(KEYS[key], as_of),
        }
        if is_kept {
            self.shelf.insert(key, (era.unwrap(), as_of, version));
        } else if cached.is_some_and(|cached| cached < as_of) {
            self.shelf.remove(&key);
        }
        // Reads are concurrent: an answer that is older than what another one brought is none that a
        // reader who waited for both would take for news.
        self.known[key] = self.known[key].max(as_of);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(key, sets) => {
                self.change(Some(key), |sequence| if sets { sequence } else { 0 });
            }
            Step::OwnWrite(key, sets) => {
                let sequence = self.change(Some(key), |it| if sets { it } else { 0 });
                self.own_writes.push_back((key, sequence));
            }
            Step::OwnWriteReturns => {
                if let Some((key, sequence)) = self.own_writes.pop_front() {
                    self.coherence.handle_written(KEYS[key]);
                    self.shelf.remove(&key);
                    self.known[key] = self.known[key].max(sequence);
                }
            }
            Step::DeleteScope => {
                self.change(None, |_| 0);
            }
            Step::Read(key) => self.read(key),
            Step::Looks(index) => {
                if let Some(flight) = self.flights.get_mut(index) {
                    let version = self.truth[flight.key];
                    let as_of = if version == 0 { self.sequence } else { version };
                    flight.found.get_or_insert((as_of, version));
                }
            }
            Step::Answers(index) => self.answer(index),
            Step::GivesUp(index) => {
                if index < self.flights.len() {
                    let flight = self.flights.remove(index);
                    if flight.ticket.is_some() {
                        self.coherence.handle_landed(KEYS[flight.key]);
                    }
                }
            }
            Step::Deliver => {
                if let Some(publication) = self.bus.pop_front() {
                    self.last = Some(publication);
                    self.deliver(publication);
                }
            }
            Step::Lose => {
                if let Some((_, sequence, _)) = self.bus.pop_front() {
                    self.lost = Some(sequence);
                }
            }
            Step::Repeat => {
                if let Some(publication) = self.last {
                    self.deliver(publication);
                }
            }
            Step::Disconnect => {
                self.is_connected = false;
                self.joining = None;
                self.bus.clear();
                self.coherence.handle_lost();
            }
            Step::AskToJoin => {
                if self.coherence.era().is_none() {
                    self.is_connected = true;
                    self.joining = Some(self.sequence);
                    self.lost = None;
                }
            }
            Step::Join => {
                if let Some(sequence) = self.joining.take() {
                    self.coherence.handle_joined(sequence);
                }
            }
            Step::Restart => self.source += 1,
            Step::Evict(key) => {
                self.shelf.remove(&key);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_is_served_is_never_older_than_what_is_known(steps in steps()) {
        let mut world = World::default();
        for step in [Step::AskToJoin, Step::Join].iter().chain(&steps) {
            world.step(step);
        }
        // When everything has come, nothing is out of date.
        while !world.own_writes.is_empty() {
            world.step(&Step::OwnWriteReturns);
        }
        while !world.bus.is_empty() {
            world.step(&Step::Deliver);
        }
        for key in 0..KEYS.len() {
            world.read(key);
        }
        for flight in std::mem::take(&mut world.flights) {
            if flight.ticket.is_some() {
                world.coherence.handle_landed(KEYS[flight.key]);
            }
        }
        prop_assert!(!world.coherence.has_flights());
    }
}

#[test]
fn the_world_that_is_played_has_hits() {
    let mut world = World::default();
    let read = [
        Step::Read(0),
        Step::Looks(0),
        Step::Answers(0),
        Step::Read(0),
    ];
    world.step(&Step::Write(0, true));
    for step in [Step::AskToJoin, Step::Join].iter().chain(&read) {
        world.step(step);
    }
    assert_eq!(world.hits, 1);
    for step in [Step::Write(0, true), Step::Deliver, Step::Deliver]
        .iter()
        .chain(&read)
    {
        world.step(step);
    }
    assert_eq!(world.hits, 2);
}
