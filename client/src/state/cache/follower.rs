//! The task that follows scopes on the state bus.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tracing::debug;

use super::{
    Counts, Followed, Shelf,
    coherence::{ChangeOf, Told},
};
use crate::{
    Publication, Sink, SinkEvent, SourceId, Status,
    state::{ScopeStats, State, error::ReadError, exchange::DELAYS},
};

/// What comes before the scope in a topic.
const TOPIC: &str = "org.plantd.state.";

#[derive(Debug)]
pub(super) enum Command {
    Follow(Arc<Followed>),
    /// The scope of this name is read no more.
    Leave(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Follower {
    sink: Sink,
    status: watch::Receiver<Status>,
    asker: State,
    shelf: Arc<Shelf>,
    counts: Arc<Counts>,
    scopes: HashMap<Arc<str>, Arc<Followed>>,
    /// Counts how often the connections to the bus were others.
    round: u64,
    joining: JoinSet<Asked>,
}

/// What the service said of a scope that is to be followed.
#[derive(Debug)]
struct Asked {
    followed: Arc<Followed>,
    round: u64,
    /// How long was waited before it was asked.
    delay: Duration,
    stats: Result<ScopeStats, ReadError>,
}

/// A change, in the payload of a publication.
#[derive(Debug, Deserialize)]
struct Payload<'a> {
    sequence: u64,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

/// Why the task woke.
#[derive(Debug)]
enum Wake {
    Status,
    Command(Option<Command>),
    Asked(Asked),
    Event(Option<SinkEvent>),
}

impl Follower {
    pub(super) fn new(sink: Sink, asker: State, shelf: Arc<Shelf>, counts: Arc<Counts>) -> Self {
        Self {
            status: sink.status(),
            sink,
            asker,
            shelf,
            counts,
            scopes: HashMap::new(),
            round: 0,
            joining: JoinSet::new(),
        }
    }

    /// Runs until nobody reads any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            match self.wait(&mut commands).await {
                Wake::Status => self.begin_anew(),
                Wake::Command(Some(Command::Follow(followed))) => self.follow(followed),
                Wake::Command(Some(Command::Leave(scope))) => self.leave(&scope),
                Wake::Asked(asked) => self.take_asked(asked),
                Wake::Event(Some(event)) => self.take_event(event),
                Wake::Command(None) | Wake::Event(None) => break,
            }
        }
        for followed in self.scopes.values() {
            followed.lost();
        }
    }

    /// A connection that is lost comes first: nothing is served from then on.
    async fn wait(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Wake {
        loop {
            tokio::select! {
                biased;
                Ok(()) = self.status.changed() => return Wake::Status,
                command = commands.recv() => return Wake::Command(command),
                Some(asked) = self.joining.join_next() => {
                    // One that panicked was logged, and one that was stopped is of an earlier round.
                    if let Ok(asked) = asked {
                        return Wake::Asked(asked);
                    }
                }
                event = self.sink.next() => return Wake::Event(event),
            }
        }
    }

    /// Anything may have been missed while a connection changed: all scopes are followed anew.
    fn begin_anew(&mut self) {
        self.round += 1;
        self.joining.abort_all();
        for followed in self.scopes.values() {
            if followed.lost() {
                self.counts.interruptions.fetch_add(1, Ordering::Relaxed);
            }
        }
        let scopes: Vec<_> = self.scopes.values().cloned().collect();
        for followed in scopes {
            self.ask(followed, Duration::ZERO);
        }
    }

    fn follow(&mut self, followed: Arc<Followed>) {
        let scope = followed.name.clone();
        // A scope has a topic: one whose name is too long for it is none, and the service says so.
        let _ = self.sink.subscribe(topic_of(&scope));
        self.scopes.insert(scope, followed.clone());
        self.ask(followed, Duration::ZERO);
    }

    fn leave(&mut self, scope: &str) {
        if let Some(followed) = self.scopes.remove(scope) {
            followed.lost();
            let _ = self.sink.unsubscribe(topic_of(scope));
        }
    }

    /// Asks the service where a scope stands, after the broker has read the subscription; if every
    /// broker is there.
    fn ask(&mut self, followed: Arc<Followed>, delay: Duration) {
        let is_whole = {
            let status = self.status.borrow();
            !status.brokers.is_empty() && status.brokers.iter().all(|broker| broker.is_up)
        };
        if !is_whole {
            // It is asked when they are.
            return;
        }
        let settled = self.sink.settled();
        let asked = self.asker.scope(&*followed.name);
        let round = self.round;
        self.joining.spawn(async move {
            sleep(delay).await;
            // A sink that has ended tells so itself.
            let _ = settled.await;
            let stats = asked.stats().await;
            Asked {
                followed,
                round,
                delay,
                stats,
            }
        });
    }

    fn take_asked(&mut self, asked: Asked) {
        let Asked {
            followed,
            round,
            delay,
            stats,
        } = asked;
        // It may have been left, and be followed again.
        let present = self.scopes.get(&followed.name);
        if round != self.round || !present.is_some_and(|it| Arc::ptr_eq(it, &followed)) {
            return;
        }
        match stats {
            Ok(stats) if stats.is_published => {
                debug!(scope = %followed.name, sequence = stats.sequence, "a scope is cached");
                followed.joined(stats.sequence);
            }
            unfit => {
                debug!(scope = %followed.name, ?unfit, "a scope cannot be cached yet");
                let delay = (delay * 2).clamp(DELAYS.first, DELAYS.longest);
                self.ask(followed, delay);
            }
        }
    }

    fn take_event(&mut self, event: SinkEvent) {
        let topic = match &event {
            SinkEvent::Message(publication) => &publication.topic,
            SinkEvent::Gap(gap) => &gap.topic,
        };
        let scope = topic.as_str().and_then(|topic| topic.strip_prefix(TOPIC));
        // Topics are prefixes: others come along.
        let Some(followed) = scope.and_then(|scope| self.scopes.get(scope)) else {
            return;
        };
        let payload = match &event {
            SinkEvent::Message(publication) => Payload::read(publication),
            SinkEvent::Gap(_) => None,
        };
        let was_interrupted = match payload.as_ref().and_then(Payload::told) {
            Some(told) => !followed.told(told, &self.shelf, &self.counts),
            None => followed.lost(),
        };
        if was_interrupted {
            self.counts.interruptions.fetch_add(1, Ordering::Relaxed);
            self.ask(followed.clone(), Duration::ZERO);
        }
    }
}

impl<'a> Payload<'a> {
    /// Reads what the service publishes; `None` of anything else.
    fn read(publication: &'a Publication) -> Option<(SourceId, Self)> {
        let header = publication.header.as_ref()?;
        let payload = serde_json::from_str(publication.body.text().ok()?).ok()?;
        Some((header.source, payload))
    }

    fn told(read: &(SourceId, Self)) -> Option<Told<'_>> {
        let (
            source,
            Self {
                sequence,
                event,
                key,
            },
        ) = read;
        let of = match (key, &**event) {
            (Some(key), _) => ChangeOf::Key(key),
            (None, "create-scope") => ChangeOf::ScopeMade,
            (None, "delete-scope") => ChangeOf::ScopeDeleted,
            (None, _) => return None,
        };
        Some(Told {
            source: *source,
            sequence: *sequence,
            of,
        })
    }
}

fn topic_of(scope: &str) -> String {
    format!("{TOPIC}{scope}")
}
