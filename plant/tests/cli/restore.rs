//! `plant state restore`: backups of a real daemon, and what a daemon makes of what is restored.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Broker, Ended, plant};

const SCOPE: &str = "org.example.Plant";

/// A broker, and a folder with what a state daemon left: a database with a backup of it.
struct Installation {
    broker: Broker,
    folder: TempDir,
    backup: String,
    exported: Vec<Value>,
}

impl Installation {
    /// Lets a daemon keep this, and back it up.
    fn with_backup(keys: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start();
        let state = broker.state(&folder.path().join("state.db"));
        let lines = (0..keys).map(|key| {
            json!({"scope": SCOPE, "key": key.to_string(), "value": [key], "version": 1, "timestamp": 1})
        });
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let import = broker.run_with(&["state", "import"], lines.as_bytes());
        assert_eq!(import.code, Some(0), "{}", import.stderr);
        let picture = ["set", "org.other", "picture", "ab", "--content-type", "x/y"];
        let set = broker.run(&[&["state"], &picture[..]].concat());
        assert_eq!(set.code, Some(0), "{}", set.stderr);
        let made = broker.run(&["state", "backup", "-o", "json"]).json();
        let backup = made[0]["backup"].as_str().unwrap().to_owned();
        let exported = broker.run(&["state", "export"]).json();
        state.stop(&broker);
        Self {
            broker,
            folder,
            backup,
            exported,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of backups.
    fn backups(&self) -> PathBuf {
        self.path("state.db-backups")
    }

    fn manifest(&self) -> PathBuf {
        self.backups().join(format!("{}.json", self.backup))
    }

    /// Lets a daemon serve a database, and exports all of it.
    fn export_of(&self, database: &Path) -> Vec<Value> {
        let state = self.broker.state(database);
        let verified = self.broker.run(&["state", "verify"]);
        assert_eq!(verified.code, Some(0), "{}", verified.stderr);
        let exported = self.broker.run(&["state", "export"]).json();
        state.stop(&self.broker);
        exported
    }
}

/// Runs `plant state restore`, told of no broker.
fn restore(backup: &Path, to: &Path, more: &[&str]) -> Ended {
    let paths = [backup.to_str().unwrap(), "--to", to.to_str().unwrap()];
    let arguments = [&["state", "restore"], &paths[..], more].concat();
    Ended::of(plant(&arguments).output().unwrap())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_backup_is_restored_as_it_was_and_served() {
    let plant = Installation::with_backup(1_200);
    assert_eq!(plant.exported.len(), 1_201);
    let to = plant.path("new/deep/state.db");
    let ended = restore(&plant.manifest(), &to, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (told, next) = ended.stdout.split_once('\n').unwrap();
    let expected = format!("{}: 1201 keys of 2 scopes, as they were at ", to.display());
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.ends_with(&format!("({})", plant.backup)), "{told}");
    assert_eq!(
        next,
        format!("start it with: plantd-state --db {}\n", to.display())
    );
    assert_eq!(names_in(to.parent().unwrap()), ["state.db"]);
    assert_eq!(plant.export_of(&to), plant.exported);

    // Nothing is overwritten, neither what was restored nor what has changed since.
    restore(&plant.manifest(), &to, &[]).failed(8, "plant: ");
    assert_eq!(plant.export_of(&to), plant.exported);
}

#[test]
fn a_backup_is_found_by_its_folder_its_name_and_either_of_its_files() {
    let plant = Installation::with_backup(1);
    let copy = plant.backups().join(format!("{}.db.gz", plant.backup));
    let stem = plant.backups().join(&plant.backup);
    for (number, backup) in [plant.backups(), stem, copy].into_iter().enumerate() {
        let to = plant.path(&format!("{number}.db"));
        let ended = restore(&backup, &to, &["-o", "json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told = &ended.json()[0];
        assert_eq!(
            (&told["backup"], &told["database"], &told["keys"]),
            (&json!(plant.backup), &json!(to.to_str()), &json!(2))
        );
    }
    let to = plant.path("new.db");
    let none = plant.backups().join("plantd-state-none");
    for backup in [
        none.with_extension("json"),
        none,
        plant.path("state.db-none"),
    ] {
        restore(&backup, &to, &[]).failed(7, "plant: ");
    }
    fs::create_dir(plant.path("empty")).unwrap();
    let ended = restore(&plant.path("empty"), &to, &["-o", "json"]);
    ended.failed(7, "plant: ");
    assert_eq!(ended.json()[0]["error"]["code"], "not-found");
}

#[test]
fn a_damaged_backup_is_refused_by_verify_and_by_restore_with_its_reason() {
    let plant = Installation::with_backup(3);
    let state = plant.broker.state(&plant.path("state.db"));
    let to = plant.path("new/state.db");
    for end in ["json", "db.gz"] {
        let path = plant.backups().join(format!("{}.{end}", plant.backup));
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 0x10;
        let short = whole[..whole.len() / 2].to_vec();
        for damaged in [bytes, short] {
            fs::write(&path, damaged).unwrap();
            let verified = plant.broker.run(&["state", "verify", &plant.backup]);
            verified.failed(
                5,
                &format!("plant: {}: the backup is damaged: ", plant.backup),
            );
            let ended = restore(&plant.manifest(), &to, &["-o", "json"]);
            ended.failed(1, "plant: ");
            assert!(
                ended.stderr.contains("the backup is damaged: "),
                "{}",
                ended.stderr
            );
            assert_eq!(ended.json()[0]["error"]["code"], "damaged");
            assert!(!to.parent().unwrap().exists(), "nothing is left behind");
        }
        fs::write(&path, whole).unwrap();
    }
    state.stop(&plant.broker);
    let ended = restore(&plant.manifest(), &to, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_place_that_is_taken_is_refused_and_left_as_it_is() {
    let plant = Installation::with_backup(1);
    // What a crash left of another database would be taken for a part of this one.
    let to = plant.path("new.db");
    fs::write(plant.path("new.db-wal"), "left").unwrap();
    let ended = restore(&plant.manifest(), &to, &[]);
    ended.failed(8, "plant: ");
    assert!(
        ended.stderr.contains("new.db-wal exists"),
        "{}",
        ended.stderr
    );
    assert_eq!(fs::read(plant.path("new.db-wal")).unwrap(), b"left");
    assert!(!to.exists());

    // A daemon that waits for its database to be there has its lock.
    let served = plant.path("served.db");
    let state = plant.broker.state(&served);
    let stats = plant.broker.run(&["state", "stats"]);
    assert_eq!(stats.code, Some(0), "{}", stats.stderr);
    let ended = restore(&plant.manifest(), &served, &["-o", "json"]);
    ended.failed(8, "plant: ");
    assert_eq!(ended.json()[0]["error"]["code"], "busy");
    state.stop(&plant.broker);
}
