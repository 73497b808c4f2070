//! Bytes of the files changed one by one: what opens and checks is what was written.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::store::open::prepare;
use crate::store::reader::Reader;

/// Everything that can be read, or `None` where something was found to be wrong.
fn contents(options: &Options) -> Option<Vec<String>> {
    let pages = Arc::default();
    let (connection, _mark, _row) = prepare(options, &pages).ok()?;
    let reader = Reader {
        connection,
        sees_past: true,
    };
    reader.check(&mut |_, _| true).ok()?;
    Some(dump(&reader.connection))
}

fn dump(connection: &Connection) -> Vec<String> {
    let tables = [
        (
            "SELECT scope || key || hex(value) || timestamp || version FROM state",
            "state",
        ),
        (
            "SELECT id || ifnull(key, '') || hex(value) || timestamp || previous FROM changes ORDER BY id",
            "changes",
        ),
        (
            "SELECT scope || sequence || floor || keys || digest || created || deleted || past FROM scopes",
            "scopes",
        ),
    ];
    let mut rows = Vec::new();
    for (sql, table) in tables {
        let mut statement = connection.prepare(sql).unwrap();
        let found = statement
            .query_map([], |row| row.get::<_, Option<String>>(0))
            .unwrap();
        rows.extend(found.map(|row| format!("{table} {:?}", row.unwrap())));
    }
    rows
}

/// A store with some of everything; `(file, its bytes)` as it was before its writer ended, or after.
fn files(held: &Held, has_wal: bool) -> Vec<(PathBuf, Vec<u8>)> {
    for round in 0..4 {
        for key in 0..40 {
            held.set(
                &format!("key/{key}"),
                &format!("\"{round} and some more of it\""),
            );
        }
    }
    held.delete("key/1");
    assert!(held.row().past > 20, "{:?}", held.row());
    if !has_wal {
        held.store.close();
    }
    let database = &held.options.database;
    let ends = ["", "-wal", "-mark"].map(|end| beside(database, end));
    let kept = ends.into_iter().filter(|path| path.exists());
    kept.map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

fn damage_each(end: &str, has_wal: bool, step: usize) {
    let held = Held::with(|options| {
        options.history_count = 100;
        options.history_per_key = 3;
    });
    let files = files(&held, has_wal);
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        database: folder.path().join("state.db"),
        ..held.options
    };
    let lay_out = |damaged: Option<(usize, u8)>| {
        for stale in ["", "-wal", "-shm", "-mark", "-journal"] {
            let _ = fs::remove_file(beside(&options.database, stale));
        }
        for (path, bytes) in &files {
            let name = path.file_name().unwrap();
            let mut bytes = bytes.clone();
            if let Some((at, flip)) = damaged
                && Path::new(name).to_str().unwrap() == format!("state.db{end}")
            {
                bytes[at] ^= flip;
            }
            fs::write(folder.path().join(name), bytes).unwrap();
        }
    };
    lay_out(None);
    let whole = contents(&options).expect("it is whole");
    assert!(whole.len() > 150);
    let path = beside(&held.options.database, end);
    let (_, bytes) = files
        .iter()
        .find(|(file, _)| *file == path)
        .expect("it is there");
    let mut found = 0;
    for (index, at) in (0..bytes.len()).step_by(step).enumerate() {
        let flip = if index % 2 == 0 {
            1 << (index / 2 % 8)
        } else {
            0xff
        };
        lay_out(Some((at, flip)));
        match contents(&options) {
            None => found += 1,
            Some(read) => assert_eq!(read, whole, "byte {at} of {} {flip:#x}", bytes.len()),
        }
    }
    assert!(found > 0);
}

#[test]
fn no_damaged_byte_of_the_database_changes_what_is_read() {
    damage_each("", false, 173);
}

#[test]
fn no_damaged_byte_of_the_wal_changes_what_is_read() {
    damage_each("-wal", true, 12_007);
}
