//! The simulation finds bugs: each one that is planted.

use plantd_sim::{Bug, hunt_all};

/// The seeds that may be needed; most bugs are found in the first few.
const SEEDS: u64 = 300;

#[test]
fn every_planted_bug_is_caught() {
    let hunt = hunt_all(0..SEEDS);
    println!("{hunt}");
    assert_eq!(hunt.planted(), Bug::ALL.len());
    assert_eq!(hunt.caught(), Bug::ALL.len());
}
