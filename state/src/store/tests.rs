use std::fs;
use std::time::{Duration, SystemTime};

use plantd_daemon::Daemon;
use plantd_daemon::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::runtime;

use super::writer::{Answer, WriterError};
use super::*;
use crate::metrics::Published;
use crate::names::{Key, Scope};
use crate::request::{Action, Condition, Edit, Write};
use crate::value::Value;

mod damage;
mod folding;
mod model;
mod past;

pub(super) const SCOPE: &str = "org.example";

/// A store in a folder of its own.
pub(super) struct Held {
    pub(super) store: Store,
    pub(super) options: Options,
    answers: Mutex<UnboundedReceiver<Answered>>,
    _folder: TempDir,
}

impl Held {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(configure: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            database: folder.path().join("state.db"),
            scopes: 100,
            history_count: 1_000,
            history_age: Duration::from_secs(3_600),
            history_per_key: 0,
            ahead: 3,
            rest: Duration::from_millis(1),
            retry_window: Duration::from_secs(600),
            accepts_loss: false,
        };
        configure(&mut options);
        Self::open(options, folder)
    }

    fn open(options: Options, folder: TempDir) -> Self {
        let mut store = open(&options).unwrap();
        let answers = store.answers().unwrap();
        Self {
            store,
            options,
            answers: Mutex::new(answers),
            _folder: folder,
        }
    }

    /// Opens the store for another daemon too, as on a file system where locks do not hold.
    fn open_again(&self) -> Self {
        fs::remove_file(beside(&self.options.database, "-lock")).unwrap();
        Self::open(self.options.clone(), tempfile::tempdir().unwrap())
    }

    fn begin(&mut self) {
        self.store = open(&self.options).unwrap();
        self.answers = Mutex::new(self.store.answers().unwrap());
    }

    fn submit(&self, write: Write) {
        let submission = Submission {
            write: Box::new(write),
            id: None,
            ticket: Ticket::default(),
        };
        self.store.submit(submission).unwrap();
    }

    /// The answers to the next writes that are committed together.
    fn answers(&self) -> Answered {
        self.answers.lock().unwrap().blocking_recv().unwrap()
    }

    pub(super) fn write(&self, write: Write) -> Answer {
        self.submit(write);
        let (_, answer) = self.answers().pop().unwrap();
        answer
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Edited {
        match self.write(Write::Edit(set(key, value, Condition::None))) {
            Ok(Written::Edit(edited)) => edited,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn delete(&self, key: &str) {
        let mut delete = set(key, "0", Condition::None);
        delete.action = Action::Delete;
        self.write(Write::Edit(delete)).unwrap();
    }

    /// Ends the daemon and begins the next one, with this done in between.
    pub(super) fn reopen(&mut self, meanwhile: impl FnOnce(&mut Options)) {
        self.store.close();
        meanwhile(&mut self.options);
        self.begin();
    }

    /// The scope as it is.
    pub(super) fn row(&self) -> ScopeRow {
        let scope = Scope::parse(SCOPE).unwrap();
        let row = self.store.read(|reader| reader.scope(&scope)).unwrap();
        row.expect("it exists")
    }

    /// What happened to a key, as it is told.
    pub(super) fn history(&self, key: &str) -> Result<Vec<Change>, Fault> {
        let (scope, key) = (Scope::parse(SCOPE).unwrap(), Key::parse(key).unwrap());
        let told = self.store.history(&scope, &key, None, 1_000)?;
        let (changes, has_more) = told.expect("the scope exists");
        assert!(!has_more);
        Ok(changes)
    }

    /// What a change of a key was, as it is told.
    pub(super) fn change(&self, key: &str, version: u64) -> Option<Change> {
        let (row, key) = (self.row(), Key::parse(key).unwrap());
        let told = self.store.read(|reader| reader.change(&row, &key, version));
        told.unwrap()
    }

    /// Gives keys a value, without waiting for one before the next.
    pub(super) fn set_all(&self, keys: impl Iterator<Item = String>) {
        let submit = |key: String| self.submit(Write::Edit(set(&key, "1", Condition::None)));
        self.await_answers(keys.map(submit).count());
    }

    /// Waits until so many writes are on disk.
    fn await_answers(&self, mut waiting: usize) {
        while waiting > 0 {
            for (_, answer) in self.answers() {
                answer.unwrap();
                waiting -= 1;
            }
        }
    }

    /// Copies the store as it is, as when the process is killed.
    pub(super) fn copy(&self, to: &Path) -> Contents {
        let copied = self
            .store
            .read(|reader| Ok(reader.copy(to, &mut |_, _| true)));
        copied.unwrap().unwrap()
    }

    /// Puts a copy of the store in its place, as a restore does.
    pub(super) fn restore(&mut self) {
        let copy = beside(&self.options.database, ".copy");
        let contents = self.copy(&copy);
        self.reopen(|options| {
            let reader = Reader::open_copy(&copy).unwrap();
            reader.check_copy(&contents, &mut |_, _| true).unwrap();
            drop(reader);
            begin_anew(&copy, "a backup").unwrap();
            for file in files_of(&options.database) {
                let _ = fs::remove_file(file);
            }
            install(&copy, &options.database).unwrap();
        });
    }
}

pub(super) fn open(options: &Options) -> Result<Store, OpenError> {
    let daemon = Daemon::new(Shutdown::new());
    let pulse = daemon.health.pulse("writer", now());
    let check = daemon.health.check("store");
    let shared = Shared::new(Published::register(&daemon.metrics), check, pulse);
    let lock = Lock::try_take(&options.database).unwrap().unwrap();
    Store::open(lock, options, Arc::new(shared), None)
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
            value: Value::Json(value.into()),
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
    held.begin();
    assert!(left(&held) > Duration::from_secs(50), "{:?}", left(&held));
}

#[test]
fn a_store_of_an_older_schema_is_brought_to_this_one_and_so_is_a_copy_of_it() {
    let held = Held::new();
    for round in 0..20 {
        held.set("a", &round.to_string());
    }
    held.delete("a");
    held.store.close();
    let contents = held.store.read(|reader| reader.contents()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    let connection = rusqlite::Connection::open(&old).unwrap();
    schema::make_first(&connection).unwrap();
    let now = held.options.database.display();
    connection
        .execute_batch(&format!("ATTACH '{now}' AS now"))
        .unwrap();
    for table in ["store", "scopes", "state", "changes", "deleted", "answers"] {
        let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}', 'main')");
        let columns: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        let rows = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM now.{table}");
        connection.execute_batch(&rows).unwrap();
    }
    drop(connection);

    let copy = folder.path().join("copy.db");
    fs::copy(&old, &copy).unwrap();
    let copy = Reader::open_copy(&copy).unwrap();
    copy.check_copy(&contents, &mut |_, _| true).unwrap();

    let options = Options {
        database: old,
        ..held.options.clone()
    };
    let held = Held::open(options, folder);
    held.store.check(&mut |_, _| true).unwrap();
    assert_eq!(held.history("a").unwrap().len(), 21);
    assert_eq!(held.set("a", "1").version, 23);
}

#[test]
fn tables_that_are_not_those_of_a_store_are_refused() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate(&connection).unwrap();
    schema::migrate(&connection).unwrap();
    connection
        .execute_batch("DROP INDEX state_expires")
        .unwrap();
    assert!(matches!(
        schema::migrate(&connection),
        Err(OpenError::Damaged { .. })
    ));
}

#[test]
fn a_store_is_locked_until_its_writer_has_ended_whoever_holds_on_to_it() {
    let held = Held::new();
    held.set("a", "1");
    let lock = || Lock::try_take(&held.options.database).unwrap();
    assert_eq!(lock().unwrap_err(), std::process::id().to_string());
    held.store.close();
    assert!(lock().is_ok());
    drop(open(&held.options).unwrap());
    // Also where none could be opened.
    let newer = rusqlite::Connection::open(&held.options.database).unwrap();
    newer.pragma_update(None, "user_version", 1_000).unwrap();
    assert!(matches!(
        open(&held.options),
        Err(OpenError::NewerSchema { .. })
    ));
    assert!(lock().is_ok());
}

#[test]
fn a_writer_that_another_one_has_overtaken_changes_nothing_and_ends() {
    // Whether it writes what the other one has written too, or something else.
    for scope in [SCOPE, "org.other"] {
        // Neither writes by itself.
        let mut held = Held::with(|options| options.rest = Duration::from_secs(3_600));
        let ended = held.store.ended();
        held.set("a", "1");
        let other = held.open_again();
        let last = other.set("a", "2");
        let mut edit = set("a", "3", Condition::None);
        edit.scope = Scope::parse(scope).unwrap();
        held.submit(Write::Edit(edit));
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let ended = runtime.block_on(ended).unwrap_err();
        assert!(
            matches!(ended, WriterError::NotKept(Fault::Overtaken)),
            "{ended:?}"
        );
        assert_eq!(other.set("a", "4").previous, last.version);
        other.store.check(&mut |_, _| true).unwrap();
        assert_eq!(other.store.read(|reader| reader.totals()).unwrap().keys, 1);
    }
}

#[test]
fn a_writer_that_is_overtaken_while_it_cannot_write_ends_too() {
    let mut held = Held::with(|options| options.rest = Duration::from_secs(3_600));
    let ended = held.store.ended();
    held.set("a", "1");
    let other = held.open_again();
    other.set("a", "2");
    let holding = rusqlite::Connection::open(&held.options.database).unwrap();
    holding.execute_batch("BEGIN IMMEDIATE").unwrap();
    held.submit(Write::Edit(set("a", "3", Condition::None)));
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let ended = runtime.block_on(ended).unwrap_err();
    assert!(
        matches!(ended, WriterError::NotKept(Fault::Overtaken)),
        "{ended:?}"
    );
}

#[test]
fn writes_that_wait_are_committed_together() {
    let held = Held::new();
    held.set_all((0..200).map(|index| format!("key/{index}")));
    let totals = held.store.read(|reader| reader.totals()).unwrap();
    assert_eq!(totals.keys, 200);
    assert!(totals.commits < 100, "{totals:?}");
}

#[test]
fn a_scope_that_is_deleted_with_its_last_changes_leaves_none_of_them() {
    let held = Held::new();
    let scope = Scope::parse(SCOPE).unwrap();
    for round in 0..20 {
        for key in 0..20 {
            let edit = set(&format!("key/{round}/{key}"), "1", Condition::None);
            held.submit(Write::Edit(edit));
        }
        held.submit(Write::DeleteScope(scope.clone()));
    }
    held.submit(Write::Edit(set("a", "1", Condition::None)));
    held.await_answers(20 * 21 + 1);
    held.store.check(&mut |_, _| true).unwrap();
    assert_eq!(held.row().keys, 1);
    // Made, set and deleted each time, then made and set.
    assert_eq!(held.row().sequence, 20 * 22 + 2);
    assert_eq!(held.history("a").unwrap().len(), 1);
}
