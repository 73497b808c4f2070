//! A thousand seeds, and what they bring about between them.

use plantd_sim::{run, survey};

/// What must have happened somewhere, so that the promises were put to a test.
const MUST_BE_SEEN: [&str; 37] = [
    "closed: dismissed",
    "closed: duplicate_id",
    "closed: outbox_full",
    "died",
    "drained",
    "failed: busy",
    "failed: cancelled",
    "failed: draining",
    "failed: no-worker",
    "failed: timeout",
    "failed: too-large",
    "failed: worker-error",
    "failed: worker-lost",
    "joined: MDP/0.1",
    "joined: MDP/0.2",
    "joined: MDP/0.2 (words)",
    "joined: MDP/0.3",
    "left: closed",
    "left: dismissed",
    "left: draining",
    "left: expired",
    "left: left",
    "more",
    "paused",
    "rejected: bad_property",
    "rejected: dialect_changed",
    "rejected: dismissed",
    "rejected: draining",
    "rejected: duplicate_id",
    "rejected: no_body",
    "rejected: not_ready",
    "rejected: orphaned",
    "rejected: role_changed",
    "rejected: unknown_command",
    "rejected: unknown_protocol",
    "rejected: unknown_token",
    "tried again",
];

#[test]
fn a_thousand_seeds_keep_every_promise() {
    let campaign = survey(0..1000);
    for failure in &campaign.failures {
        println!("{failure}");
    }
    assert_eq!(campaign.failures.len(), 0);
    assert_eq!(campaign.runs, 1000);
    let seen = &campaign.sum.seen;
    println!("{seen:#?}");
    let missing = MUST_BE_SEEN
        .iter()
        .filter(|what| !seen.contains_key(**what));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for seed in 0..10 {
        assert_eq!(run(seed, None, false), run(seed, None, false));
    }
}
