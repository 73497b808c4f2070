//! Reads that are answered from memory: as new as they have to be, whatever happens to the bus.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use plantd_client::state::{Cache, CacheStats, Entry, Operation, Scope, Value};
use plantd_client::{State, Transport};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};

use crate::in_time;
use crate::installation::{Broker, Bus, Installation};

const SCOPE: &str = "org.example.Plant";
/// Longer than any test: nothing is read anew because of its age.
const LONG: Duration = Duration::from_secs(3_600);

/// A state that caches what it reads, for so long.
fn cached_for(installation: &Installation, bus: &Bus, age: Duration) -> State {
    let cache = Cache::builder().broker(&bus.backend).age(age);
    State::builder(&installation.client())
        .timeout(Duration::from_secs(30))
        .cache(cache.build().unwrap())
        .build()
}

pub(crate) fn cached(installation: &Installation) -> State {
    cached_for(installation, &installation.bus(), LONG)
}

pub(crate) fn stats(state: &State) -> CacheStats {
    state.cache_stats().unwrap()
}

/// Reads until it was answered from memory.
pub(crate) async fn until_hit(state: &State, scope: &Scope, key: &str) -> Option<Entry<u64>> {
    loop {
        let before = stats(state).hits;
        let read = scope.get(key).await.unwrap();
        if stats(state).hits > before {
            return read;
        }
        yield_now().await;
    }
}

/// Reads until it is this.
pub(crate) async fn until_read(scope: &Scope, key: &str, expected: Option<u64>) {
    while scope.get::<u64>(key).await.unwrap().map(|it| it.value) != expected {
        yield_now().await;
    }
}

/// Reads until a read is not answered from memory, which it has to be in the end.
async fn until_asked(state: &State, scope: &Scope, key: &str) {
    loop {
        let before = stats(state).hits;
        scope.get::<u64>(key).await.unwrap();
        if stats(state).hits == before {
            return;
        }
        yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_answered_from_memory_until_somebody_changes_it() {
    in_time(async {
        let installation = Installation::start(Transport::Plantd).await;
        let (state, others) = (cached(&installation), installation.state().scope(SCOPE));
        let scope = state.scope(SCOPE);
        let written = others.set("a", &1).await.unwrap();
        let entry = until_hit(&state, &scope, "a").await.unwrap();
        assert_eq!(
            (entry.value, entry.version, &*entry.key),
            (1, written.version, "a")
        );
        let before = stats(&state);
        for _ in 0..100 {
            assert_eq!(scope.get::<u64>("a").await.unwrap().unwrap().value, 1);
        }
        let after = stats(&state);
        assert_eq!(
            (after.hits, after.misses),
            (before.hits + 100, before.misses)
        );
        assert_eq!((after.scopes, after.entries), (1, 1));
        assert!((256..600).contains(&after.bytes), "{after:?}");

        others.set("a", &2).await.unwrap();
        until_read(&scope, "a", Some(2)).await;
        assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, 2);
        others.delete("a").await.unwrap();
        until_read(&scope, "a", None).await;
        // That there is none is remembered as well, and that is news for nobody.
        assert_eq!(until_hit(&state, &scope, "a").await, None);
        others.set("a", &3).await.unwrap();
        until_read(&scope, "a", Some(3)).await;
        let all = stats(&state);
        assert!(all.invalidated >= 2, "{all:?}");
        assert_eq!(all.interruptions, 0);
        assert!(all.hit_rate().unwrap() > 0.5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_from_here_is_seen_by_the_next_read_whatever_wrote_it() {
    in_time(async {
        let installation = Installation::start(Transport::Plantd).await;
        let state = cached(&installation);
        let scope = state.scope(SCOPE);
        scope.set("a", &0).await.unwrap();
        until_hit(&state, &scope, "a").await;
        let read = || async { scope.get::<u64>("a").await.unwrap().map(|it| it.value) };
        for value in 1..50 {
            scope.set("a", &value).await.unwrap();
            assert_eq!(read().await, Some(value));
            assert_eq!(read().await, Some(value));
        }
        let set = |value: u64| Operation::set(SCOPE, "a", Value::json(&value).unwrap());
        for value in 50..100 {
            state.batch([set(value)]).await.unwrap();
            assert_eq!(read().await, Some(value));
            scope.delete("a").await.unwrap();
            assert_eq!(read().await, None);
            state.batch([set(value)]).await.unwrap();
            assert_eq!(read().await, Some(value));
            scope.delete_prefix("").await.unwrap();
            assert_eq!(read().await, None);
        }
        scope.set("a", &1).await.unwrap();
        assert_eq!(read().await, Some(1));
        scope.touch("a", Some(LONG)).await.unwrap();
        assert!(scope.get::<u64>("a").await.unwrap().unwrap().ttl.is_some());
        state.delete_scope(SCOPE).await.unwrap();
        assert_eq!(read().await, None);
        assert!(stats(&state).hits > 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_not_answered_from_memory_beyond_its_time() {
    in_time(async {
        let installation = Installation::start(Transport::Plantd).await;
        let (state, others) = (cached(&installation), installation.state().scope(SCOPE));
        let scope = state.scope(SCOPE);
        others.set("stays", &1).await.unwrap();
        until_hit(&state, &scope, "stays").await;
        let ttl = Duration::from_millis(400);
        others.set("goes", &1).ttl(ttl).await.unwrap();
        let entry = until_hit(&state, &scope, "goes").await.unwrap();
        assert!(entry.ttl.unwrap() <= ttl, "{entry:?}");
        until_read(&scope, "goes", None).await;
        assert_eq!(until_hit(&state, &scope, "goes").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_publish_is_asked_every_time() {
    in_time(async {
        let mut installation = Installation::without_daemon(Transport::Plantd).await;
        installation.start_daemon(&[("BUS_ENDPOINT", "")]);
        let (state, others) = (cached(&installation), installation.state().scope(SCOPE));
        let scope = state.scope(SCOPE);
        for value in 0..200 {
            others.set("a", &value).await.unwrap();
            let read = scope.get::<u64>("a").await.unwrap().unwrap();
            assert_eq!(read.value, value);
        }
        assert!(!scope.stats().await.unwrap().is_published);
        let counted = stats(&state);
        assert_eq!(
            (counted.hits, counted.entries, counted.bypassed),
            (0, 0, 200)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_is_read_over_restarts_of_the_broker_and_the_daemon() {
    in_time(async {
        let mut installation = Installation::start(Transport::Plantd).await;
        let (state, others) = (cached(&installation), installation.state().scope(SCOPE));
        let scope = state.scope(SCOPE);
        for value in 0..3_u64 {
            others.set("a", &value).await.unwrap();
            until_read(&scope, "a", Some(value)).await;
            assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, value);
            installation.stop_broker().await;
            installation.start_broker().await;
            // Written while the bus is found again.
            others.set("a", &(value + 100)).await.unwrap();
            until_read(&scope, "a", Some(value + 100)).await;
            assert_eq!(
                until_hit(&state, &scope, "a").await.unwrap().value,
                value + 100
            );
            installation.kill_daemon().await;
            installation.start_daemon(&[]);
            others.set("a", &(value + 200)).await.unwrap();
            until_read(&scope, "a", Some(value + 200)).await;
            assert_eq!(
                until_hit(&state, &scope, "a").await.unwrap().value,
                value + 200
            );
        }
        assert!(stats(&state).interruptions >= 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bus_is_away_every_read_asks_the_service() {
    in_time(async {
        let mut installation = Installation::without_daemon(Transport::Plantd).await;
        let bus = installation.bus_named("other");
        let broker = installation.start_bus(&bus).await;
        installation.start_daemon(&[("BUS_ENDPOINT", &bus.frontend)]);
        let state = cached_for(&installation, &bus, LONG);
        let (scope, others) = (state.scope(SCOPE), installation.state().scope(SCOPE));
        others.set("a", &1).await.unwrap();
        until_hit(&state, &scope, "a").await;

        broker.stop().await;
        until_asked(&state, &scope, "a").await;
        let before = stats(&state);
        assert_eq!((before.scopes, before.interruptions), (0, 1));
        for value in 2..100 {
            others.set("a", &value).await.unwrap();
            assert_eq!(scope.get::<u64>("a").await.unwrap().unwrap().value, value);
        }
        assert_eq!(stats(&state).hits, before.hits);

        let broker = installation.start_bus(&bus).await;
        assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, 99);
        others.set("a", &100).await.unwrap();
        until_read(&scope, "a", Some(100)).await;
        broker.stop().await;
    })
    .await;
}

/// Hands on what the daemon publishes, from a bus of its own to the one that is subscribed to; and does
/// not, for as many changes of the scope as it is told.
struct Forwarder {
    to_lose: Arc<AtomicU32>,
    /// Whose bus the daemon publishes on.
    _hidden: Broker,
    lost: mpsc::UnboundedReceiver<()>,
    subscribed: mpsc::UnboundedReceiver<String>,
    is_wanted: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Forwarder {
    fn start(hidden: Broker, from: &Bus, to: &Bus) -> Self {
        let context = zmq::Context::new();
        let subscriber = context.socket(zmq::SUB).unwrap();
        subscriber.connect(&from.backend).unwrap();
        subscriber.set_subscribe(b"").unwrap();
        let publisher = context.socket(zmq::XPUB).unwrap();
        publisher.connect(&to.frontend).unwrap();
        let to_lose = Arc::new(AtomicU32::new(0));
        let is_wanted = Arc::new(AtomicBool::new(true));
        let (tell_lost, lost) = mpsc::unbounded_channel();
        let (tell_subscribed, subscribed) = mpsc::unbounded_channel();
        let thread = thread::spawn({
            let (to_lose, is_wanted) = (to_lose.clone(), is_wanted.clone());
            let one_less = |left: u32| left.checked_sub(1);
            move || {
                let mut known = BTreeSet::new();
                while is_wanted.load(Ordering::Relaxed) {
                    let mut ready = [
                        subscriber.as_poll_item(zmq::POLLIN),
                        publisher.as_poll_item(zmq::POLLIN),
                    ];
                    zmq::poll(&mut ready, 20).unwrap();
                    if ready[1].is_readable() {
                        let change = publisher.recv_bytes(0).unwrap();
                        let topic = String::from_utf8_lossy(&change[1..]).into_owned();
                        if known.insert(topic.clone()) {
                            // The test may be over.
                            let _ = tell_subscribed.send(topic);
                        }
                    }
                    if ready[0].is_readable() {
                        let message = subscriber.recv_multipart(0).unwrap();
                        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
                        if to_lose.fetch_update(set, fetch, one_less).is_ok() {
                            let _ = tell_lost.send(());
                        } else {
                            publisher.send_multipart(message, 0).unwrap();
                        }
                    }
                }
            }
        });
        Self {
            to_lose,
            _hidden: hidden,
            lost,
            subscribed,
            is_wanted,
            thread: Some(thread),
        }
    }

    /// Loses the next changes.
    fn lose(&self, changes: u32) {
        self.to_lose.store(changes, Ordering::Relaxed);
    }

    /// Waits until one is lost.
    async fn wait_for_loss(&mut self) {
        self.lost.recv().await.unwrap();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// A daemon whose changes go through a forwarder; read from memory, and written by others.
async fn forwarded(age: Duration) -> (Installation, Forwarder, State, Scope) {
    let mut installation = Installation::without_daemon(Transport::Plantd).await;
    let hidden = installation.bus_named("hidden");
    let broker = installation.start_bus(&hidden).await;
    let mut forwarder = Forwarder::start(broker, &hidden, &installation.bus());
    installation.start_daemon(&[("BUS_ENDPOINT", &hidden.frontend)]);
    let others = installation.state().scope(SCOPE);
    others.set("a", &0).await.unwrap();
    let state = cached_for(&installation, &installation.bus(), age);
    let scope = state.scope(SCOPE);
    until_hit(&state, &scope, "a").await;
    assert_eq!(
        forwarder.subscribed.recv().await.unwrap(),
        format!("org.plantd.state.{SCOPE}")
    );
    (installation, forwarder, state, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_bus_lost_is_noticed_with_the_next_one() {
    in_time(async {
        let (_installation, mut forwarder, state, others) = forwarded(LONG).await;
        let scope = state.scope(SCOPE);
        for value in 1..5_u64 {
            let before = stats(&state).interruptions;
            until_hit(&state, &scope, "a").await;
            forwarder.lose(1);
            others.set("a", &value).await.unwrap();
            forwarder.wait_for_loss().await;
            // Another key's change shows it.
            others.set("b", &value).await.unwrap();
            until_read(&scope, "a", Some(value)).await;
            assert_eq!(stats(&state).interruptions, before + 1);
            assert_eq!(until_hit(&state, &scope, "a").await.unwrap().value, value);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_change_that_the_bus_lost_is_seen_when_the_age_has_passed() {
    in_time(async {
        let (_installation, mut forwarder, state, others) =
            forwarded(Duration::from_millis(300)).await;
        let scope = state.scope(SCOPE);
        until_hit(&state, &scope, "a").await;
        forwarder.lose(1);
        others.set("a", &1).await.unwrap();
        forwarder.wait_for_loss().await;
        until_read(&scope, "a", Some(1)).await;
        assert_eq!(stats(&state).interruptions, 0);
    })
    .await;
}

/// Reads keys over and over: each read is as new as the one before.
async fn read_on(scope: Scope, keys: u64, is_over: Arc<AtomicBool>) {
    let mut last = vec![(0, 0); usize::try_from(keys).unwrap()];
    while !is_over.load(Ordering::Relaxed) {
        for (key, last) in last.iter_mut().enumerate() {
            if let Some(entry) = scope.get::<u64>(&key.to_string()).await.unwrap() {
                let read = (entry.version, entry.value);
                assert!(read >= *last, "{key}: {read:?} after {last:?}");
                *last = read;
            }
        }
        yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_writes_of_others_no_read_goes_back_and_own_writes_are_seen() {
    const KEYS: u64 = 4;
    const ROUNDS: u64 = 400;
    in_time(async {
        let installation = Installation::start(Transport::Plantd).await;
        let state = cached(&installation);
        let is_over = Arc::new(AtomicBool::new(false));
        let mut readers = JoinSet::new();
        for _ in 0..4 {
            readers.spawn(read_on(state.scope(SCOPE), KEYS, is_over.clone()));
        }
        let mut writers = JoinSet::new();
        for key in 0..KEYS {
            let others = installation.state().scope(SCOPE);
            writers.spawn(async move {
                for round in 1..=ROUNDS {
                    others.set(&key.to_string(), &round).await.unwrap();
                }
            });
        }
        let own = state.scope(SCOPE);
        writers.spawn(async move {
            for round in 1..=ROUNDS {
                let written = own.set("own", &round).await.unwrap();
                let read = own.get::<u64>("own").await.unwrap().unwrap();
                assert_eq!((read.value, read.version), (round, written.version));
            }
        });
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        let scope = state.scope(SCOPE);
        for key in 0..KEYS {
            until_read(&scope, &key.to_string(), Some(ROUNDS)).await;
            until_hit(&state, &scope, &key.to_string()).await;
        }
        is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = readers.join_next().await {
            ended.unwrap();
        }
        let counted = stats(&state);
        assert!(counted.hits > 0 && counted.invalidated > 0, "{counted:?}");
        assert_eq!(counted.interruptions, 0, "{counted:?}");
    })
    .await;
}
