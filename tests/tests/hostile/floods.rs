//! More connections and more names than there is room for (case 56, and the limits).

use plantd_tests::{Wire, frames, numbered};

use crate::Besieged;

#[test]
fn connections_over_the_limit_are_closed_and_the_others_served() {
    let besieged = Besieged::with(&["--limits-connections", "10"]);
    let mut wires: Vec<Wire> = (0..30).map(|_| besieged.peers().wire()).collect();
    besieged.until("those over the limit are refused", |reading| {
        reading.rejected("connections") == 22
    });
    for wire in &mut wires[..8] {
        wire.handshake(3, 1);
    }
    for wire in &mut wires[8..] {
        assert_eq!(wire.until_closed(), b"");
    }
    drop(wires);
    besieged.survives();
    let late = besieged.peers().dealer();
    late.expect_nothing();
}

#[test]
fn case_56_twenty_thousand_names_fill_no_table_and_hinder_no_worker() {
    let besieged = Besieged::with(&["--limits-names", "500"]);
    let attacker = besieged.peers().dealer();
    for name in 0..20_000_u64 {
        let service = format!("nobody-{name}");
        attacker.send(frames!["MDPC03", 1, service, numbered(name + 1), "x"]);
        if name % 500 == 499 {
            besieged.honest_exchange();
        }
        assert!(name < 500 || attacker.recv().0[..2] == frames!["MDPC03", 4].0);
    }
    let reading = besieged.broker.metrics();
    assert_eq!(reading.failed("busy"), 19_500);
    assert_eq!(reading.value("services"), 501);

    let worker = besieged.peers().dealer();
    worker.send(frames!["MDPW02", 1, "new"]);
    let client = besieged.peers().dealer();
    client.send(frames!["MDPC02", 1, "new", "hi"]);
    let request = worker.recv();
    worker.send(frames!["MDPW02", 4, &request.0[2], "", "hi"]);
    client.expect(frames!["MDPC02", 3, "new", "hi"]);
    drop((attacker, worker, client));
    besieged.until("the names are forgotten", |reading| {
        reading.value("services") == 1
    });
    besieged.survives();
}
