//! The end: what was taken is answered, and nothing else is.

use plantd_client::{Listener, ListenerLimits, Served};
use plantd_tests::{frames, numbered};

use crate::{Own, SECOND, failure};

#[test]
fn a_drain_answers_what_was_taken_refuses_what_comes_and_says_goodbye() {
    let mut own = Own::with(ListenerLimits::default(), |worker| worker.concurrency(1));
    let client = own.dealer();
    for id in 1..=3 {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), "wait"]);
    }
    own.until("all are taken", |status| status.tally.unanswered == 3);
    own.request_stop();
    own.block_on(async {
        let mut status = own.status.clone();
        let draining = status.wait_for(|status| !status.is_serving).await;
        assert!(draining.unwrap().health().is_err());
    });
    client.send(frames!["MDPC03", 1, "echo", numbered(4), "hi"]);
    assert_eq!(failure(&client), "draining");
    let mut late = own.wire();
    assert_eq!(late.until_closed(), b"");
    own.open(3);
    let answers = [1, 2, 3].map(|id| frames!["MDPC03", 3, "echo", numbered(id), "wait"]);
    client.expect_end(&answers);
    assert_eq!(own.ended(), Served::Drained);
    assert!(own.rejected("draining") >= 1);
}

#[test]
fn what_does_not_end_in_time_is_told_so() {
    let mut own = Own::with(ListenerLimits::default(), |worker| {
        worker.concurrency(1).drain_timeout(SECOND / 10)
    });
    let client = own.dealer();
    for id in 1..=2 {
        client.send(frames!["MDPC03", 1, "echo", numbered(id), "wait"]);
    }
    own.until("both are taken", |status| status.tally.unanswered == 2);
    own.request_stop();
    for _ in 0..2 {
        assert_eq!(failure(&client), "draining");
    }
    assert_eq!(own.ended(), Served::TimedOut { unfinished: 2 });
}

#[test]
fn its_endpoint_is_free_once_it_has_ended() {
    for round in 0..30 {
        let mut own = Own::start();
        own.request_stop();
        assert_eq!(own.ended(), Served::Drained);
        let endpoint = own.endpoint().parse().unwrap();
        let bound = own.block_on(Listener::bind(&endpoint));
        bound.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
}
