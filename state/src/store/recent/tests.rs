use super::*;
use crate::value::Value;

fn scope() -> Scope {
    Scope::kept("org.example")
}

fn key(number: usize) -> Key {
    Key::kept(&format!("key/{number}"))
}

fn place(number: usize) -> Place {
    Place {
        scope: scope(),
        key: key(number),
    }
}

fn entry(version: u64, bytes: usize) -> Entry {
    Entry {
        value: Value::Json("1".repeat(bytes).as_str().into()),
        version,
        timestamp: 1,
        expires: None,
    }
}

fn write(outcome: &mut Outcome, number: usize, version: u64, is_folded: bool) {
    let entry = entry(version, 1);
    let kept = Kept { entry, checksum: 0 };
    outcome.write(place(number), Written { kept, is_folded });
}

fn begin(recent: &Recent, change: impl FnOnce(&mut Outcome)) {
    let mut outcome = Outcome::default();
    change(&mut outcome);
    recent.begin_commit(Vec::new(), outcome);
}

fn commit(recent: &Recent, change: impl FnOnce(&mut Outcome)) {
    begin(recent, change);
    end(recent);
}

fn end(recent: &Recent) {
    recent.show_commit();
    recent.take_in();
}

fn version(recent: &Recent, number: usize) -> Option<u64> {
    recent.find(place(number).at()).map(|entry| entry.version)
}

#[test]
fn what_is_under_way_is_seen_by_the_writer_only_and_then_by_all() {
    let recent = Recent::new();
    commit(&recent, |outcome| {
        write(outcome, 1, 1, true);
        write(outcome, 2, 2, false);
        write(outcome, 3, 2, false);
    });
    begin(&recent, |outcome| {
        write(outcome, 1, 3, false);
        outcome.remove(place(2));
    });
    begin(&recent, |outcome| write(outcome, 1, 4, false));
    let told = || [1, 2, 3].map(|it| version(&recent, it));
    let present = || {
        let found = |it| recent.present(place(it).at());
        [1, 2, 3].map(|it| found(it).map(|found| found.version))
    };
    let ahead = || {
        let places = recent.places_ahead();
        let ahead = recent.still_ahead(places.into_iter());
        let versions = ahead.into_iter().map(|(_, kept)| kept.entry.version);
        versions.collect::<Vec<_>>()
    };
    assert_eq!(told(), [Some(1), Some(2), Some(2)]);
    assert_eq!(present(), [Some(4), None, Some(2)]);
    assert_eq!(ahead(), [2, 4]);
    end(&recent);
    assert_eq!(told(), [Some(3), None, Some(2)]);
    assert_eq!(present(), [Some(4), None, Some(2)]);
    end(&recent);
    assert_eq!(told(), [Some(4), None, Some(2)]);
    assert_eq!(ahead(), [2, 4]);
    begin(&recent, |outcome| {
        outcome.remove_scope(&scope());
        write(outcome, 4, 5, false);
    });
    assert_eq!(present(), [None; 3]);
    assert_eq!(ahead(), [5]);
    let of_scope = recent.scope_ahead(&scope());
    assert_eq!(of_scope.len(), 1);
    end(&recent);
    assert_eq!([1, 4].map(|it| version(&recent, it)), [None, Some(5)]);
}

#[test]
fn a_commit_that_came_to_nothing_leaves_what_was_under_way() {
    let recent = Recent::new();
    begin(&recent, |outcome| write(outcome, 1, 1, false));
    begin(&recent, |outcome| write(outcome, 1, 2, false));
    recent.undo_commit();
    end(&recent);
    assert_eq!(version(&recent, 1), Some(1));
    assert_eq!(recent.extent().count, 1);
}

#[test]
fn what_is_in_the_table_is_no_longer_ahead_unless_it_was_written_again() {
    let recent = Recent::new();
    commit(&recent, |outcome| {
        for number in 0..3 {
            write(outcome, number, 1, false);
        }
    });
    commit(&recent, |outcome| {
        outcome.folded = (0..2).map(|it| (place(it), 1)).collect();
        write(outcome, 1, 2, false);
    });
    assert_eq!(recent.places_ahead(), [2, 1].map(place));
    assert_eq!(version(&recent, 0), Some(1));
    assert_eq!(version(&recent, 1), Some(2));
    commit(&recent, |outcome| {
        outcome.fold_scope(&scope());
        write(outcome, 2, 3, false);
    });
    assert_eq!(recent.places_ahead(), [place(2)]);
    commit(&recent, |outcome| write(outcome, 2, 4, true));
    let Extent { count, bytes } = recent.extent();
    assert_eq!((count, bytes), (0, 0));
    assert_eq!(version(&recent, 2), Some(4));
}

#[test]
fn what_a_reader_found_is_kept_unless_it_may_be_another_value_by_now() {
    let recent = Recent::new();
    let since = || match recent.look(place(2).at()) {
        Look::Unknown { since, .. } => since,
        Look::Kept(_) => panic!("it is known"),
    };
    let found = |number, since| recent.found(since, place(number).at(), &entry(1, 1));
    begin(&recent, |outcome| write(outcome, 2, 2, true));
    found(1, since());
    assert_eq!(version(&recent, 1), Some(1));
    // What the table has of it may not be on disk.
    let before = since();
    found(2, before);
    assert_eq!(version(&recent, 2), None);
    begin(&recent, |outcome| outcome.remove(place(3)));
    end(&recent);
    end(&recent);
    found(3, before);
    assert_eq!(version(&recent, 3), None);
}

#[test]
fn a_large_value_takes_the_place_of_what_was_kept_and_is_not_kept() {
    let recent = Recent::new();
    commit(&recent, |outcome| write(outcome, 1, 1, true));
    commit(&recent, |outcome| {
        let entry = entry(2, VALUE_BYTES + 1);
        let kept = Kept { entry, checksum: 0 };
        let is_folded = true;
        outcome.write(place(1), Written { kept, is_folded });
    });
    assert_eq!(version(&recent, 1), None);
}

#[test]
fn a_group_that_is_synced_is_seen_whole_while_it_is_taken_in() {
    let recent = Recent::new();
    let values = 3 * PART;
    commit(&recent, |outcome| {
        for number in 0..values {
            write(outcome, number, 1, number % 2 == 0);
        }
    });
    begin(&recent, |outcome| {
        for number in 0..values {
            match number % 3 {
                0 => outcome.remove(place(number)),
                _ => write(outcome, number, 2, number % 4 == 1),
            }
        }
    });
    let told = || -> Vec<_> { (0..values).map(|it| version(&recent, it)).collect() };
    assert_eq!(told(), vec![Some(1); values]);
    let after: Vec<_> = (0..values).map(|it| (it % 3 != 0).then_some(2)).collect();
    recent.show_commit();
    assert_eq!(told(), after);
    let mut parts = 1;
    while recent.held().take_in_part() {
        assert_eq!(told(), after);
        parts += 1;
    }
    assert_eq!(parts, 3);
    assert_eq!(told(), after);
    let ahead = (0..values).filter(|it| it % 3 != 0 && it % 4 != 1);
    assert_eq!(recent.extent().count, ahead.count());
}
