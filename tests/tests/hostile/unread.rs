//! Peers that never read (case 57).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plantd_tests::{Frames, Peer, Wire, frames, header, numbered};

use crate::Besieged;

const MIB: usize = 1 << 20;

/// Echoes until it is told to stop by a request whose body is empty.
fn echo(worker: &Peer) {
    loop {
        let message = worker.recv();
        if message.0[..2] != frames!["MDPW03", 2].0 {
            worker.send(frames!["MDPW03", 5]);
            continue;
        }
        let body = &message.0[4];
        worker.send(frames!["MDPW03", 4, &message.0[2], &message.0[3], body]);
        if body.is_empty() {
            return;
        }
    }
}

#[test]
fn case_57_a_client_that_never_reads_is_disconnected_and_nobody_waits_for_it() {
    let besieged = Besieged::start();
    let echoing = besieged.peers().dealer();
    echoing.send(frames!["MDPW03", 1, "echo", header(0, &[("credit", "16")])]);
    let attack = frames!["MDPC03", 1, "echo"];
    let mut deaf = besieged.peers().wire();
    deaf.handshake(3, 1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || echo(&echoing));
        scope.spawn(|| {
            let body = vec![b'x'; MIB];
            for id in 1.. {
                let request = attack.clone().and(&[numbered(id), body.clone()]);
                if over.load(Ordering::Relaxed) || !deaf.try_write(&request.encoded()) {
                    return;
                }
            }
        });
        besieged.until("it is disconnected", |reading| {
            reading.rejected("stalled") + reading.rejected("outbox_full") == 1
        });
        over.store(true, Ordering::Relaxed);
        let honest = besieged.peers().dealer();
        honest.send(frames!["MDPC02", 1, "echo", ""]);
        honest.expect(frames!["MDPC02", 3, "echo", ""]);
    });
    drop(deaf);
    // An outbox, what one client may ask for unanswered, and what is read but not routed.
    besieged.survives_within((64 + 16 + 64) << 20);
}

#[test]
fn case_57_a_worker_that_never_reads_is_disconnected_and_its_requests_go_on() {
    let besieged = Besieged::start();
    let mut deaf: Wire = besieged.peers().wire();
    deaf.handshake(3, 1);
    // Silence in heartbeats is not what this is about.
    let terms = [
        ("credit", "500"),
        ("heartbeat-ms", "60000"),
        ("liveness", "20"),
    ];
    deaf.send(&frames!["MDPW03", 1, "echo", header(0, &terms)]);
    assert_eq!(deaf.recv().0[..2], frames!["MDPW03", 8].0);
    let client = besieged.peers().dealer();
    let body = vec![b'x'; MIB];
    // As many as the broker keeps for one client.
    let request = |id| frames!["MDPC03", 1, "echo", numbered(id), &body];
    for id in 1..=8 {
        client.send(request(id));
    }
    besieged.until("it is disconnected", |reading| {
        reading.rejected("stalled") == 1
    });

    let worker = besieged.peers().dealer();
    worker.send(frames!["MDPW03", 1, "echo", header(0, &[("credit", "8")])]);
    assert_eq!(worker.recv().0[..2], frames!["MDPW03", 8].0);
    for _ in 0..8 {
        let message = worker.recv();
        assert_eq!(message.0[..2], frames!["MDPW03", 2].0);
        worker.send(frames!["MDPW03", 4, &message.0[2], &message.0[3], "done"]);
    }
    let answers: Vec<Frames> = (0..8).map(|_| client.recv()).collect();
    for (id, answer) in (1..=8).zip(answers) {
        assert_eq!(answer, frames!["MDPC03", 3, "echo", numbered(id), "done"]);
    }
    drop((deaf, worker, client));
    besieged.survives();
}
