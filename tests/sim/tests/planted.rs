//! The simulation finds bugs: each one that is planted.

use std::sync::Mutex;
use std::thread;

use plantd_sim::{Bug, hunt};

/// The seeds that may be needed; most bugs are found in the first few.
const SEEDS: u64 = 300;

#[test]
fn every_planted_bug_is_caught() {
    let bugs = Mutex::new(Bug::ALL.iter());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = bugs.lock().unwrap().next();
                    let Some(bug) = next else {
                        return;
                    };
                    let failure = hunt(*bug, 0..SEEDS);
                    found.lock().unwrap().push((*bug, failure));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(bug, _)| *bug);
    let mut caught = 0;
    for (bug, failure) in &found {
        caught += usize::from(failure.is_some());
        match failure {
            Some(failure) => println!("{bug:?}: seed {}: {}", failure.seed, failure.words),
            None => println!("{bug:?}: not caught in {SEEDS} seeds"),
        }
    }
    println!("{caught} of {} caught", Bug::ALL.len());
    assert_eq!(caught, Bug::ALL.len());
}
