use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::day::Day;

const LIMIT: u64 = 64 << 20;

/// A batch of one row that says `text`.
fn batch(text: &str) -> Batch {
    Batch {
        rows: Bytes::copy_from_slice(text.as_bytes()),
        count: 1,
        days: vec![Day(20_000)],
    }
}

fn open(directory: &TempDir, run: u128) -> Spool {
    Spool::open(directory.path(), LIMIT, Run(run)).unwrap()
}

/// Takes all that waits, as `run/number text`.
fn drain(spool: &mut Spool) -> Vec<String> {
    let mut drained = Vec::new();
    while let Some((id, batch)) = spool.front() {
        let text = String::from_utf8(batch.rows.to_vec()).unwrap();
        drained.push(format!("{}/{} {text}", id.run.0, id.number));
        spool.stored(id);
    }
    drained
}

fn files(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "lock").collect();
    names.sort();
    names
}

fn only_file(directory: &TempDir) -> File {
    let name = files(directory).remove(0);
    let path = directory.path().join(name);
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn batches_come_out_in_the_order_of_writing() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 7);
    assert_eq!(spool.front(), None);
    spool.append(batch("a")).unwrap();
    spool.append(batch("b")).unwrap();
    let (first, _) = spool.front().unwrap();
    assert_eq!(
        spool.front().unwrap().0,
        first,
        "the front stays until it is stored"
    );
    spool.append(batch("c")).unwrap();
    assert_eq!(drain(&mut spool), ["7/1 a", "7/2 b", "7/3 c"]);
    assert_eq!(spool.waiting(), Waiting::default());
}

#[test]
fn days_and_count_come_back() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 7);
    let appended = Batch {
        count: 3,
        days: vec![Day(-1), Day(0), Day(20_000)],
        ..batch("abc")
    };
    spool.append(appended.clone()).unwrap();
    assert_eq!(spool.front().unwrap().1, appended);
    assert_eq!(spool.waiting().metrics, 3);
}

#[test]
fn what_a_process_left_comes_before_what_the_next_one_writes() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("a")).unwrap();
    spool.append(batch("b")).unwrap();
    // As a kill: nothing is closed.
    drop(spool);
    let mut spool = open(&directory, 2);
    assert_eq!(spool.waiting().metrics, 2);
    spool.append(batch("c")).unwrap();
    assert_eq!(drain(&mut spool), ["1/1 a", "1/2 b", "2/1 c"]);
    spool.close().unwrap();
    assert_eq!(files(&directory), Vec::<String>::new());
}

#[test]
fn what_is_stored_takes_no_disk() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    let large = "x".repeat(1 << 20);
    for _ in 0..20 {
        spool.append(batch(&large)).unwrap();
    }
    assert_eq!(files(&directory).len(), 3, "segments of 8 MiB");
    assert_eq!(drain(&mut spool).len(), 20);
    assert_eq!(files(&directory).len(), 1);
    assert_eq!(only_file(&directory).metadata().unwrap().len(), 32);
    spool.append(batch("after")).unwrap();
    assert_eq!(drain(&mut spool), ["1/21 after"]);
}

#[test]
fn beyond_the_limit_everything_is_refused_until_there_is_room() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::open(directory.path(), 1 << 20, Run(1)).unwrap();
    let large = "x".repeat(450 << 10);
    spool.append(batch(&large)).unwrap();
    spool.append(batch(&large)).unwrap();
    let refused = spool.append(batch(&large)).unwrap_err();
    assert!(
        matches!(
            refused,
            AppendError::Full {
                limit: 1_048_576,
                ..
            }
        ),
        "{refused}"
    );
    // No hole between those that are taken, which a small one would leave.
    assert!(spool.append(batch("small")).is_err());
    drain(&mut spool);
    spool.append(batch("again")).unwrap();
    assert_eq!(drain(&mut spool), ["1/3 again"]);
}

#[test]
fn a_torn_end_is_left_out_at_every_length() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("whole")).unwrap();
    let whole = only_file(&directory).metadata().unwrap().len();
    spool.append(batch("torn")).unwrap();
    drop(spool);
    let length = only_file(&directory).metadata().unwrap().len();
    let bytes = fs::read(directory.path().join(&files(&directory)[0])).unwrap();
    for end in whole..length {
        let directory = TempDir::new().unwrap();
        fs::write(
            directory.path().join("0000000001.spool"),
            &bytes[..end as usize],
        )
        .unwrap();
        let mut spool = open(&directory, 2);
        assert_eq!(drain(&mut spool), ["1/1 whole"], "{end}");
        assert_eq!(files(&directory), Vec::<String>::new());
    }
}

#[test]
fn an_end_of_zeros_is_torn() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("whole")).unwrap();
    drop(spool);
    let file = only_file(&directory);
    file.set_len(file.metadata().unwrap().len() + 100_000)
        .unwrap();
    let mut spool = open(&directory, 2);
    assert_eq!(drain(&mut spool), ["1/1 whole"]);
    assert_eq!(files(&directory), Vec::<String>::new());
}

#[test]
fn a_damaged_segment_gives_what_comes_before_and_is_set_aside() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("before")).unwrap();
    let at = only_file(&directory).metadata().unwrap().len();
    spool.append(batch("damaged")).unwrap();
    spool.append(batch("behind")).unwrap();
    drop(spool);
    only_file(&directory).write_all_at(b"?", at + 30).unwrap();
    let mut spool = open(&directory, 2);
    spool.append(batch("new")).unwrap();
    assert_eq!(drain(&mut spool), ["1/1 before", "2/1 new"]);
    spool.close().unwrap();
    assert_eq!(files(&directory), ["0000000001.damaged"]);
}

#[test]
fn damage_while_it_waits_costs_that_segment_alone() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("a")).unwrap();
    spool.append(batch("b")).unwrap();
    only_file(&directory).write_all_at(b"?", 60).unwrap();
    assert_eq!(drain(&mut spool), Vec::<String>::new());
    assert_eq!(spool.damaged(), 2);
    spool.append(batch("c")).unwrap();
    assert_eq!(drain(&mut spool), ["1/3 c"]);
    assert_eq!(files(&directory)[0], "0000000001.damaged");
}

#[test]
fn arbitrary_bytes_in_a_segment_are_reported_and_never_served() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("a")).unwrap();
    drop(spool);
    let bytes = fs::read(directory.path().join("0000000001.spool")).unwrap();
    for at in 32..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let directory = TempDir::new().unwrap();
            let mut changed = bytes.clone();
            changed[at] = value;
            fs::write(directory.path().join("0000000001.spool"), &changed).unwrap();
            let drained = drain(&mut open(&directory, 2));
            assert!(changed == bytes || drained.is_empty(), "{at}: {value}");
        }
    }
}

#[test]
fn a_file_that_is_no_segment_of_this_version_is_refused() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("0000000001.spool"), [7; 100]).unwrap();
    let refused = Spool::open(directory.path(), LIMIT, Run(1)).unwrap_err();
    assert!(matches!(refused, OpenError::Segment(..)), "{refused}");
}

#[test]
fn a_directory_is_of_one_logger() {
    let directory = TempDir::new().unwrap();
    let first = open(&directory, 1);
    let second = Spool::open(directory.path(), LIMIT, Run(2)).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(first);
    open(&directory, 3);
}

#[test]
fn what_the_disk_does_not_take_waits_in_memory_in_order() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    spool.append(batch("a")).unwrap();
    // The next segment cannot be made: its name is taken.
    spool.segments.back_mut().unwrap().run = Run(9);
    let taken = directory.path().join("0000000002.spool");
    fs::create_dir(&taken).unwrap();
    spool.append(batch("b")).unwrap();
    spool.append(batch("c")).unwrap();
    assert!(spool.disk_error().is_some());
    let large = "x".repeat(6 << 20);
    spool.append(batch(&large)).unwrap();
    spool.append(batch(&large)).unwrap();
    let refused = spool.append(batch(&large)).unwrap_err();
    assert!(matches!(refused, AppendError::Disk(_)), "{refused}");
    assert_eq!(spool.waiting().metrics, 5);

    // Healed: written with the next one, behind what is on disk.
    fs::remove_dir(&taken).unwrap();
    spool.append(batch("d")).unwrap();
    assert_eq!(spool.disk_error(), None);
    let drained = drain(&mut spool);
    let starts: Vec<&str> = drained.iter().map(|text| &text[..5]).collect();
    assert_eq!(
        starts,
        ["9/1 a", "1/2 b", "1/3 c", "1/4 x", "1/5 x", "1/7 d"]
    );
}

#[test]
fn memory_alone_serves_a_database_that_is_there() {
    let directory = TempDir::new().unwrap();
    let mut spool = open(&directory, 1);
    fs::create_dir(directory.path().join("0000000001.spool")).unwrap();
    for text in ["a", "b"] {
        spool.append(batch(text)).unwrap();
    }
    assert_eq!(drain(&mut spool), ["1/1 a", "1/2 b"]);
}
