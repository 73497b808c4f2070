use std::fs;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use plantd_daemon::Daemon;
use plantd_daemon::shutdown::Shutdown;
use tempfile::TempDir;

use super::*;
use crate::metrics::Published;
use crate::names::{Key, Scope};
use crate::request::{Action, Condition, Edit};
use crate::value::Value;

mod damage;
mod model;

pub(super) const SCOPE: &str = "org.example";

/// A store in a folder of its own.
pub(super) struct Held {
    pub(super) store: Store,
    pub(super) options: Options,
    _folder: TempDir,
}

impl Held {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            database: folder.path().join("state.db"),
            scopes: 100,
            history_count: 1_000,
            history_age: Duration::from_secs(3_600),
            retry_window: Duration::from_secs(600),
            accepts_loss: false,
        };
        Self {
            store: open(&options).unwrap(),
            options,
            _folder: folder,
        }
    }

    pub(super) fn write(&self, write: Write) -> Answer {
        self.store
            .submit(write, None)
            .unwrap()
            .blocking_recv()
            .unwrap()
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Edited {
        match self.write(Write::Edit(set(key, value, Condition::None))) {
            Ok(Written::Edit(edited)) => edited,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn open(options: &Options) -> Result<Store, OpenError> {
    let daemon = Daemon::new(Shutdown::new());
    let pulse = daemon.health.pulse("writer", now());
    let check = daemon.health.check("store");
    let shared = Shared::new(Published::register(&daemon.metrics), check, pulse);
    Store::open(options, Arc::new(shared), None)
}

#[expect(clippy::disallowed_methods, reason = "where a test's writer begins")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

pub(super) fn set(key: &str, value: &str, condition: Condition) -> Edit {
    Edit {
        scope: Scope::parse(SCOPE).unwrap(),
        key: Key::parse(key).unwrap(),
        condition,
        action: Action::Set {
            value: Value::Json(Bytes::copy_from_slice(value.as_bytes())),
            ttl: None,
            creates_scope: true,
        },
    }
}

#[test]
fn a_clock_that_was_set_back_over_a_restart_expires_nothing_early() {
    let mut held = Held::new();
    let mut edit = set("a", "1", Condition::None);
    if let Action::Set { ttl, .. } = &mut edit.action {
        *ttl = Some(Duration::from_secs(60));
    }
    held.write(Write::Edit(edit)).unwrap();
    let (scope, key) = (Scope::parse(SCOPE).unwrap(), Key::parse("a").unwrap());
    let expires = |held: &Held| {
        let entry = held
            .store
            .read(|reader| reader.value(&scope, &key))
            .unwrap();
        entry.unwrap().expires.unwrap()
    };
    let left = |held: &Held| held.store.shared().time_left(expires(held), now());
    assert!(left(&held) <= Duration::from_secs(60));
    held.store.close();

    // As if the store had been written an hour from now, by a clock that was right or wrong.
    let connection = rusqlite::Connection::open(&held.options.database).unwrap();
    let mut row = read_store_row(&connection).unwrap();
    let ahead = clock::signed(Duration::from_secs(3_600));
    row.kept.wall += ahead;
    row.kept.clock += 1;
    let wall = clock::signed(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap(),
    );
    assert!(row.kept.wall > wall, "the wall clock has gone back");
    connection
        .execute(
            "UPDATE store SET wall = ?1, clock = ?2, checksum = ?3",
            (row.kept.wall, row.kept.clock, row.checksum()),
        )
        .unwrap();
    drop(connection);
    held.store = open(&held.options).unwrap();
    assert!(left(&held) > Duration::from_secs(50), "{:?}", left(&held));
}

#[test]
fn a_store_of_an_older_schema_is_brought_to_this_one_and_a_copy_of_it_is_not() {
    // There is one schema so far: an empty file is the oldest there is.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    assert!(schema::check(&connection).is_err());
    schema::migrate(&connection).unwrap();
    schema::migrate(&connection).unwrap();
    schema::check(&connection).unwrap();
    connection
        .execute_batch("DROP INDEX state_expires")
        .unwrap();
    assert!(matches!(
        schema::migrate(&connection),
        Err(OpenError::Damaged { .. })
    ));
}

#[test]
fn writes_that_wait_are_committed_together() {
    let held = Held::new();
    let answers: Vec<_> = (0..200)
        .map(|index| {
            let edit = set(&format!("key/{index}"), "1", Condition::None);
            held.store.submit(Write::Edit(edit), None).unwrap()
        })
        .collect();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    let totals = held.store.read(|reader| reader.totals()).unwrap();
    assert_eq!(totals.keys, 200);
    assert!(totals.commits < 100, "{totals:?}");
}
