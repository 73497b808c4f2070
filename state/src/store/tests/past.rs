//! The newest changes of each key, which are kept when the log of their scope has lost them.

use rusqlite::Connection;

use super::*;
use crate::store::row::change_id;

/// A store that keeps ten changes of a scope, and so many of each key.
fn held(per_key: usize) -> Held {
    Held::with(|options| {
        options.history_count = 10;
        options.history_per_key = per_key;
    })
}

/// Sets one key so often that the log has nothing else.
fn make_busy(held: &Held) {
    for round in 0..60 {
        held.set("busy", &round.to_string());
    }
}

fn versions(held: &Held, key: &str) -> Vec<u64> {
    let changes = held.history(key).unwrap();
    changes.iter().map(|change| change.sequence).collect()
}

fn wait_for_past(held: &Held, past: u64) {
    while held.row().past != past {
        std::thread::yield_now();
    }
}

/// The number of rows of keys without a value.
fn deleted(held: &Held) -> i64 {
    let connection = Connection::open(&held.options.database).unwrap();
    let count = connection.query_row("SELECT count(*) FROM deleted", [], |row| row.get(0));
    count.unwrap()
}

#[test]
fn a_quiet_keys_newest_changes_outlive_the_log_of_a_busy_scope() {
    let mut held = held(2);
    let quiet: Vec<u64> = (0..3)
        .map(|value| held.set("quiet", &value.to_string()).version)
        .collect();
    held.set("gone", "1");
    held.delete("gone");
    make_busy(&held);
    let expected = |held: &Held| {
        assert_eq!(versions(held, "quiet"), [quiet[2], quiet[1]]);
        assert_eq!(
            held.change("quiet", quiet[1])
                .unwrap()
                .value
                .unwrap()
                .data(),
            b"1"
        );
        assert_eq!(held.change("quiet", quiet[0]), None);
        assert_eq!(versions(held, "gone"), [6, 5]);
        held.store.check(&mut |_, _| true).unwrap();
    };
    expected(&held);
    let row = held.row();
    assert_eq!(
        row.past, 4,
        "the log has more than two changes of the busy key"
    );
    assert!(versions(&held, "busy").len() as u64 <= row.sequence - row.floor);
    held.reopen(|_| {});
    expected(&held);
    held.restore();
    expected(&held);
    assert_eq!(held.row().floor, held.row().sequence);
    let again = held.set("quiet", "3").version;
    assert_eq!(held.set("gone", "2").version, again + 1);
    assert_eq!(versions(&held, "gone"), [again + 1, 6, 5]);
    make_busy(&held);
    assert_eq!(versions(&held, "quiet"), [again, quiet[2]]);
    assert_eq!(versions(&held, "gone"), [again + 1, 6]);
    held.store.check(&mut |_, _| true).unwrap();
}

#[test]
fn what_is_kept_of_a_key_goes_when_it_is_too_old() {
    let mut held = held(2);
    held.set("quiet", "1");
    held.set("gone", "1");
    held.delete("gone");
    make_busy(&held);
    assert_eq!((held.row().past, deleted(&held)), (3, 1));
    held.reopen(|options| {
        let connection = Connection::open(&options.database).unwrap();
        let mut row = read_store_row(&connection).unwrap();
        row.kept.stamp += clock::signed(2 * options.history_age);
        let sql = "UPDATE store SET stamp = ?1, checksum = ?2";
        connection
            .execute(sql, (row.kept.stamp, row.checksum()))
            .unwrap();
    });
    wait_for_past(&held, 0);
    assert_eq!(versions(&held, "quiet"), [0; 0]);
    assert_eq!(versions(&held, "gone"), [0; 0]);
    assert_eq!(deleted(&held), 0);
    held.store.check(&mut |_, _| true).unwrap();
}

#[test]
fn less_is_kept_after_the_option_was_reduced_and_nothing_when_it_is_0() {
    let mut held = held(5);
    for value in 0..9 {
        held.set("quiet", &value.to_string());
    }
    held.set("gone", "1");
    held.delete("gone");
    make_busy(&held);
    assert_eq!(versions(&held, "quiet"), [10, 9, 8, 7, 6]);
    held.reopen(|options| options.history_per_key = 1);
    wait_for_past(&held, 2);
    assert_eq!(versions(&held, "quiet"), [10]);
    assert_eq!(versions(&held, "gone"), [12]);
    held.store.check(&mut |_, _| true).unwrap();
    held.reopen(|options| options.history_per_key = 0);
    assert_eq!(versions(&held, "quiet"), [0; 0], "as soon as it is 0");
    assert_eq!(held.change("quiet", 10), None);
    wait_for_past(&held, 0);
    assert_eq!(deleted(&held), 0);
    held.store.check(&mut |_, _| true).unwrap();
}

#[test]
fn a_scope_that_is_made_anew_has_nothing_of_the_one_before() {
    let held = held(2);
    // The first time it is looked through since the daemon has just begun, the second time it is not.
    for _ in 0..2 {
        let before = held.set("quiet", "1").version;
        make_busy(&held);
        assert_eq!(versions(&held, "quiet")[0], before);
        let scope = Scope::parse(SCOPE).unwrap();
        held.write(Write::DeleteScope(scope)).unwrap();
        let again = held.set("quiet", "2").version;
        assert_eq!(versions(&held, "quiet"), [again]);
        assert_eq!(held.change("quiet", before), None);
        held.store.check(&mut |_, _| true).unwrap();
        wait_for_past(&held, 0);
        make_busy(&held);
        assert_eq!(versions(&held, "quiet"), [again]);
        held.store.check(&mut |_, _| true).unwrap();
    }
}

#[test]
fn a_change_of_the_past_that_is_damaged_is_refused_and_one_that_is_missing_is_found() {
    let mut held = held(2);
    let version = held.set("quiet", "1").version;
    held.set("other", "1");
    make_busy(&held);
    let id = change_id(held.row().number, version);
    let damage = |sql: &str| {
        let connection = Connection::open(&held.options.database).unwrap();
        assert_eq!(connection.execute(sql, [id]).unwrap(), 1);
    };
    damage("UPDATE changes SET value = '2' WHERE id = ?1");
    assert!(matches!(held.history("quiet"), Err(Fault::Damaged { .. })));
    let found = held.store.check(&mut |_, _| true);
    assert!(
        matches!(found, Err(CheckError::Rows { count: 1, .. })),
        "{found:?}"
    );
    assert_eq!(versions(&held, "other").len(), 1);
    // It keeps nobody from writing.
    make_busy(&held);
    held.set("quiet", "3");
    make_busy(&held);
    damage("DELETE FROM changes WHERE id = ?1");
    let found = held.store.check(&mut |_, _| true);
    assert!(matches!(found, Err(CheckError::Structure(_))), "{found:?}");
    held.reopen(|_| {});
}

#[test]
fn a_history_that_another_configuration_left_is_shortened_in_steps() {
    let mut held = Held::with(|options| options.history_count = 20_000);
    for batch in 0..10 {
        let key = |index| format!("key/{}", (batch * 997 + index) % 3_000);
        let edits = (0..997).map(|index| set(&key(index), "1", Condition::None));
        held.write(Write::Batch(edits.collect())).unwrap();
    }
    held.reopen(|options| {
        options.history_count = 100;
        options.history_per_key = 1;
    });
    let mut steps = 0;
    while held.row().sequence - held.row().floor > 116 {
        let before = held.row().floor;
        held.set("a", "1");
        assert!(held.row().floor - before <= 4_096);
        steps += 1;
    }
    assert!(steps > 1);
    let log = held.row().sequence - held.row().floor;
    assert!(held.row().past >= 3_000 - log, "{:?}", held.row());
    for key in 0..3_000 {
        assert_eq!(held.history(&format!("key/{key}")).unwrap().len(), 1);
    }
    held.store.check(&mut |_, _| true).unwrap();
}
