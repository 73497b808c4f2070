//! Answers in parts: a window, and readers that take their time.

use plantd_tests::{frames, header, numbered};

use crate::Own;

/// What may wait for a reader: an outbox up to its mark, and what the system buffers.
const MOST_BYTES: u64 = 24 << 20;

#[test]
fn a_window_is_kept_and_widened() {
    let own = Own::start();
    let client = own.dealer();
    let windowed = header(1, &[("window", "2")]);
    client.send(frames!["MDPC03", 1, "echo", windowed, "parts"]);
    client.expect(frames!["MDPC03", 2, "echo", numbered(1), "a"]);
    client.expect(frames!["MDPC03", 2, "echo", numbered(1), "b"]);
    client.expect_nothing03();
    client.send(frames!["MDPC03", 7, "echo", header(1, &[("more", "1")])]);
    client.expect(frames!["MDPC03", 2, "echo", numbered(1), "c"]);
    client.expect(frames!["MDPC03", 3, "echo", numbered(1), "end"]);
    own.stop();
}

#[test]
fn a_reader_without_a_window_holds_back_its_own_answer_and_nobody_elses() {
    let own = Own::start();
    let mut slow = own.wire();
    slow.handshake(3, 1);
    slow.send(&frames!["MDPC02", 1, "echo", "flood"]);
    let other = own.dealer();
    own.until("it is held back", |status| {
        status.tally.backlog_bytes > 1 << 20
    });
    let taken = *own.flooded.borrow() * (64 << 10);
    assert!(taken < MOST_BYTES, "{taken} bytes were taken");
    for _ in 0..100 {
        other.send(frames!["MDPC02", 1, "echo", "hi"]);
        other.expect(frames!["MDPC02", 3, "echo", "hi"]);
    }
    assert!(own.status().tally.backlog_bytes < 4 << 20);
    // As it reads, it is given more.
    let part = frames!["MDPC02", 2, "echo", vec![0; 64 << 10]];
    for _ in 0..1000 {
        slow.expect(part.clone());
    }
    drop(slow);
    own.until("it is gone", |status| status.tally.unanswered == 0);
    own.stop();
}

#[test]
fn a_reader_that_stands_still_is_disconnected_and_its_handler_ends() {
    let own = Own::start();
    let mut deaf = own.wire();
    deaf.handshake(3, 1);
    deaf.send(&frames!["MDPC02", 1, "echo", "flood"]);
    own.until("it is disconnected", |status| {
        status.rejected()["stalled"] == 1
    });
    own.until("its request has ended", |status| {
        status.tally.unanswered == 0
    });
    own.stop();
}
