//! What is cached: bounded in bytes, entries and age.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use equivalent::Equivalent;
use moka::sync::Cache;

use crate::state::{Entry, Value};

/// What an entry takes beside its key and value: itself, its places in the tables and what counts it.
const OVERHEAD_BYTES: usize = 256;
/// Longer than any program runs, and not too long for the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) age: Duration,
}

/// Entries by the number of their scope and key. Any of them may be gone at any time.
pub(super) struct Shelf {
    entries: Cache<Place, Arc<Shelved>>,
    held: Arc<Held>,
    age: Duration,
}

/// What is known of a key.
#[derive(Debug)]
pub(super) struct Shelved {
    /// The era of the scope in which it was asked for.
    pub(super) era: u64,
    /// The version, or the sequence of the scope at which there was none.
    pub(super) as_of: u64,
    pub(super) entry: Option<Entry>,
    /// When it was asked for: it was so then or later.
    pub(super) asked: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    scope: u64,
    key: Box<str>,
}

/// A place that is looked for.
#[derive(Hash)]
struct Sought<'a> {
    scope: u64,
    key: &'a str,
}

impl Equivalent<Place> for Sought<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        (self.scope, self.key) == (place.scope, &*place.key)
    }
}

/// What is held at the moment.
#[derive(Debug, Default)]
struct Held {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Shelf {
    pub(super) fn new(limits: Limits) -> Self {
        let held = Arc::new(Held::default());
        // One weight stands for both limits: no more entries fit than are allowed.
        let least = limits.bytes.div_ceil(limits.entries.max(1));
        let weigh = move |place: &Place, shelved: &Arc<Shelved>| {
            u32::try_from(held_bytes(place, shelved).max(least)).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder()
            .max_capacity(limits.bytes)
            .weigher(weigh)
            .time_to_live(limits.age.min(LONGEST))
            .eviction_listener({
                let held = held.clone();
                move |place: Arc<Place>, shelved, _| {
                    let bytes = held_bytes(&place, &shelved);
                    held.entries.fetch_sub(1, Ordering::Relaxed);
                    held.bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
            })
            .build();
        Self {
            entries,
            held,
            age: limits.age,
        }
    }

    /// What is known of a key in this era, if it is fresh enough.
    pub(super) fn find(
        &self,
        scope: u64,
        era: u64,
        key: &str,
        now: Instant,
    ) -> Option<Arc<Shelved>> {
        let shelved = self.entries.get(&Sought { scope, key })?;
        (shelved.era == era && shelved.is_fresh(self.age, now)).then_some(shelved)
    }

    pub(super) fn put(&self, scope: u64, key: &str, shelved: Shelved) {
        let place = Place {
            scope,
            key: key.into(),
        };
        let shelved = Arc::new(shelved);
        let bytes = held_bytes(&place, &shelved);
        self.held.entries.fetch_add(1, Ordering::Relaxed);
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.insert(place, shelved);
    }

    /// Drops what is older; whether there was something.
    pub(super) fn drop_older(&self, scope: u64, key: &str, than: u64) -> bool {
        let sought = Sought { scope, key };
        let is_older = self
            .entries
            .get(&sought)
            .is_some_and(|shelved| shelved.as_of < than);
        if is_older {
            self.entries.invalidate(&sought);
        }
        is_older
    }

    /// How many entries are held, and their bytes.
    pub(super) fn held(&self) -> (u64, u64) {
        // What waits to be evicted is.
        self.entries.run_pending_tasks();
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.held.entries), count(&self.held.bytes))
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("held", &self.held).finish()
    }
}

impl Shelved {
    fn is_fresh(&self, age: Duration, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.asked);
        let ttl = self.entry.as_ref().and_then(|entry| entry.ttl);
        since < ttl.unwrap_or(age).min(age)
    }

    /// The entry, with the time that it has left.
    pub(super) fn entry_at(&self, now: Instant) -> Option<Entry> {
        let mut entry = self.entry.clone()?;
        let since = now.saturating_duration_since(self.asked);
        entry.ttl = entry.ttl.map(|ttl| ttl.saturating_sub(since));
        Some(entry)
    }
}

fn held_bytes(place: &Place, shelved: &Shelved) -> u64 {
    let value = match shelved.entry.as_ref().map(|entry| &entry.value) {
        Some(Value::Json(json)) => json.as_str().len(),
        Some(Value::Bytes { content_type, data }) => content_type.len() + data.len(),
        None => 0,
    };
    // The key stands in the entry, too.
    (2 * place.key.len() + value + OVERHEAD_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn shelf(bytes: u64, entries: u64) -> Shelf {
        Shelf::new(Limits {
            bytes,
            entries,
            age: Duration::from_secs(60),
        })
    }

    fn shelved(value: &str, ttl: Option<Duration>, asked: Instant) -> Shelved {
        let entry = Entry {
            key: "a".to_owned(),
            value: Value::json(value).unwrap(),
            version: 3,
            timestamp: SystemTime::UNIX_EPOCH,
            ttl,
        };
        Shelved {
            era: 1,
            as_of: 3,
            entry: Some(entry),
            asked,
        }
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn an_entry_is_found_in_its_era_until_its_age_or_its_time_has_passed() {
        let (shelf, now) = (shelf(1 << 20, 100), now());
        let seconds = Duration::from_secs;
        shelf.put(7, "a", shelved("x", None, now));
        shelf.put(7, "b", shelved("x", Some(seconds(5)), now));
        assert!(shelf.find(7, 1, "a", now + seconds(59)).is_some());
        assert!(shelf.find(7, 1, "a", now + seconds(60)).is_none());
        let found = shelf.find(7, 1, "b", now + seconds(3)).unwrap();
        let left = found.entry_at(now + seconds(3)).unwrap().ttl;
        assert_eq!(left, Some(seconds(2)));
        assert!(shelf.find(7, 1, "b", now + seconds(5)).is_none());
        assert!(shelf.find(7, 2, "a", now).is_none());
        assert!(shelf.find(8, 1, "a", now).is_none());
    }

    #[test]
    fn any_limits_can_be_used() {
        for (bytes, entries, age) in [(0, 0, Duration::ZERO), (u64::MAX, u64::MAX, Duration::MAX)] {
            let limits = Limits {
                bytes,
                entries,
                age,
            };
            let (shelf, now) = (Shelf::new(limits), now());
            shelf.put(1, "a", shelved("x", None, now));
            assert_eq!(shelf.find(1, 1, "a", now).is_some(), bytes > 0);
        }
    }

    #[test]
    fn entries_and_bytes_are_limited_and_counted_as_they_are_held() {
        let now = now();
        let few = shelf(1 << 20, 10);
        for key in 0..1_000 {
            few.put(1, &key.to_string(), shelved("x", None, now));
        }
        let (entries, bytes) = few.held();
        assert!((1..=10).contains(&entries), "{entries}");
        assert!(bytes <= 10 * 300, "{bytes}");

        let small = shelf(64 << 10, 1_000_000);
        let value = "x".repeat(8 << 10);
        for key in 0..100 {
            small.put(1, &key.to_string(), shelved(&value, None, now));
        }
        let (entries, bytes) = small.held();
        assert!((1..=7).contains(&entries), "{entries}");
        assert!((8 << 10..=64 << 10).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_is_older_is_dropped_and_what_is_replaced_is_not_counted_twice() {
        let (shelf, now) = (shelf(1 << 20, 100), now());
        shelf.put(1, "a", shelved("x", None, now));
        shelf.put(1, "a", shelved("y", None, now));
        assert_eq!(shelf.held().0, 1);
        assert!(!shelf.drop_older(1, "a", 3));
        assert!(shelf.drop_older(1, "a", 4));
        assert!(!shelf.drop_older(1, "a", 4));
        assert_eq!(shelf.held(), (0, 0));
    }
}
