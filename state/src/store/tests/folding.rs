//! The table of values, which follows the history.

use std::thread;

use super::*;
use crate::request::Page;

fn scope() -> Scope {
    Scope::parse(SCOPE).unwrap()
}

fn key(key: &str) -> Key {
    Key::parse(key).unwrap()
}

fn text(entry: &Entry) -> &str {
    std::str::from_utf8(entry.value.data()).unwrap()
}

/// What the table has, whatever is ahead of it.
fn in_the_table(store: &Store, name: &str) -> Option<Entry> {
    store
        .read(|reader| reader.value(&scope(), &key(name)))
        .unwrap()
}

fn told(store: &Store, name: &str) -> Entry {
    store
        .value_or_scope(&scope(), &key(name))
        .unwrap()
        .expect("it has a value")
}

/// A copy as it is when the process is killed.
fn copy(held: &Held) -> Options {
    let database = beside(&held.options.database, "-copy");
    held.copy(&database);
    Options {
        database,
        ..held.options.clone()
    }
}

/// A store in which values stay ahead of the table.
fn ahead() -> Held {
    Held::with(stay_ahead)
}

fn stay_ahead(options: &mut Options) {
    options.ahead = 10_000;
    options.rest = Duration::from_secs(3_600);
}

#[test]
fn a_value_comes_into_the_table_when_nobody_waits() {
    let held = Held::with(|options| options.ahead = 10_000);
    held.set("a", "1");
    held.set("a", "2");
    assert_eq!(text(&told(&held.store, "a")), "2");
    while in_the_table(&held.store, "a").is_none() {
        thread::yield_now();
    }
    assert_eq!(in_the_table(&held.store, "a"), Some(told(&held.store, "a")));
    held.store.check(&mut |_, _| true).unwrap();
}

#[test]
fn what_has_a_time_is_in_the_table_at_once() {
    let held = ahead();
    let mut timed = set("a", "1", Condition::None);
    if let Action::Set { ttl, .. } = &mut timed.action {
        *ttl = Some(Duration::from_secs(60));
    }
    held.write(Write::Edit(timed)).unwrap();
    assert!(in_the_table(&held.store, "a").unwrap().expires.is_some());
    // So is what takes its place: nothing is to expire that is no longer there.
    held.set("a", "2");
    assert_eq!(in_the_table(&held.store, "a").unwrap().expires, None);
}

#[test]
fn what_a_copy_has_in_its_history_only_is_in_the_table_of_the_store_that_opens_it() {
    let held = ahead();
    held.set_all((0..500).map(|it| format!("key/{it}")));
    held.set("key/7", "2");
    let mut delete = set("key/8", "0", Condition::None);
    delete.action = Action::Delete;
    held.write(Write::Edit(delete)).unwrap();
    let options = copy(&held);
    let reader = Reader::open(&options.database, true).unwrap();
    let totals = held.store.read(|reader| reader.totals()).unwrap();
    let row = reader.scope(&scope()).unwrap().unwrap();
    assert_eq!(row.unfolded(), row.sequence - 1, "all but the scope itself");
    assert_eq!(in_the_table(&held.store, "key/7"), None);
    drop(reader);
    let store = open(&options).unwrap();
    assert_eq!(text(&in_the_table(&store, "key/7").unwrap()), "2");
    assert_eq!(in_the_table(&store, "key/8"), None);
    let row = store.read(|reader| reader.scope(&scope())).unwrap();
    assert_eq!(row.unwrap().unfolded(), 0);
    assert_eq!(store.read(|reader| reader.totals()).unwrap().keys, 499);
    assert_eq!(totals.keys, 499);
    let checked = store.check(&mut |_, _| true).unwrap();
    assert_eq!(checked.keys, 499);
}

#[test]
fn a_history_that_is_shortened_takes_nothing_that_the_table_has_not() {
    let held = Held::with(|options| {
        stay_ahead(options);
        options.history_count = 0;
    });
    held.set_all((0..3_000).map(|it| format!("key/{}", it % 1_500)));
    let row = held.store.read(|reader| reader.scope(&scope())).unwrap();
    let row = row.unwrap();
    assert!(row.floor > 0 && row.folded >= row.floor, "{row:?}");
    let store = open(&copy(&held)).unwrap();
    let checked = store.check(&mut |_, _| true).unwrap();
    assert_eq!(checked.keys, 1_500);
}

#[test]
fn a_damaged_change_that_the_table_has_not_keeps_the_store_closed() {
    let held = ahead();
    held.set_all((0..200).map(|it| format!("key/{it}")));
    let options = copy(&held);
    let connection = rusqlite::Connection::open(&options.database).unwrap();
    let changed = connection
        .execute(
            "UPDATE changes SET value = '3' WHERE id = (SELECT max(id) FROM changes)",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(connection);
    assert!(matches!(open(&options), Err(OpenError::Damaged { .. })));
}

/// Gives every key the same value, and takes one away every other time.
fn batch(round: u64) -> Write {
    let value = round.to_string();
    let mut edits: Vec<Edit> = (0..KEYS)
        .map(|it| set(&format!("key/{it}"), &value, Condition::None))
        .collect();
    let mut last = set("last", &value, Condition::None);
    if round.is_multiple_of(2) {
        last.action = Action::Delete;
    }
    edits.push(last);
    Write::Batch(edits)
}

const KEYS: u64 = 7;

#[test]
fn lists_and_histories_are_of_one_moment_while_values_come_into_the_table() {
    let held = Held::with(|options| options.ahead = 4);
    held.write(batch(1)).unwrap();
    let page = Page {
        prefix: String::new(),
        after: None,
        limit: 100,
    };
    thread::scope(|threads| {
        let writing = threads.spawn(|| {
            for round in 2..400 {
                held.write(batch(round)).unwrap();
            }
        });
        let mut seen = 0;
        while !writing.is_finished() {
            let listed = held.store.keys(&scope(), &page, true).unwrap().unwrap();
            let round: u64 = text(listed.entries[0].1.as_ref().unwrap()).parse().unwrap();
            assert!(round >= seen, "{round} after {seen}");
            seen = round;
            for (key, entry) in &listed.entries {
                let entry = entry.as_ref().unwrap();
                assert_eq!(text(entry).parse(), Ok(round), "{key}");
            }
            let has_last = !round.is_multiple_of(2);
            assert_eq!(listed.entries.len() as u64, KEYS + u64::from(has_last));
            // Each round has a change more, of the key that comes and goes.
            assert_eq!(listed.sequence, 1 + round * (KEYS + 1));
            let newest = held.store.history(&scope(), &key("last"), None, 1).unwrap();
            let newest = newest.unwrap().0[0].sequence;
            assert!(newest >= listed.sequence, "{newest} {}", listed.sequence);
        }
    });
    held.store.check(&mut |_, _| true).unwrap();
}

/// What a list has that asked memory before `change`, and the database after it.
fn keys_beside(held: &Held, change: impl FnOnce()) -> Vec<String> {
    let page = Page {
        prefix: String::new(),
        after: None,
        limit: 100,
    };
    let ahead = held.store.recent.first_ahead(&scope(), page.range());
    change();
    let listed = held
        .store
        .read(|reader| reader.keys(&scope(), &page, true, ahead));
    let entries = listed.unwrap().unwrap().entries;
    entries
        .into_iter()
        .map(|(key, _)| key.to_string())
        .collect()
}

#[test]
fn a_list_has_nothing_that_was_deleted_after_it_had_asked_memory() {
    let held = Held::with(|options| {
        stay_ahead(options);
        // So that the table is brought beyond what memory had told.
        options.ahead = 1;
    });
    held.set("a", "1");
    let keys = keys_beside(&held, || {
        held.delete("a");
        held.set("b", "1");
        let row = held.row();
        assert_eq!((row.sequence, row.folded), (4, 3));
    });
    assert_eq!(keys, ["b"]);
}

#[test]
fn a_list_has_nothing_of_a_scope_that_was_deleted_after_it_had_asked_memory() {
    let held = ahead();
    held.set("a", "1");
    let keys = keys_beside(&held, || {
        held.write(Write::DeleteScope(scope())).unwrap();
        held.set("b", "1");
    });
    assert_eq!(keys, ["b"]);
}
