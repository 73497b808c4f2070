//! What hurts nobody but its sender: hostile bytes, slow peers and peers that never read.
//!
//! The broker is a process of its own here, so that its memory and its descriptors are its alone.

mod bytes;
mod floods;
mod handshakes;
mod sizes;
mod stopped;
mod unread;

use plantd_tests::{BrokerProcess, Honest, Peer, T, frames};

/// A broker under attack.
type Besieged = plantd_tests::Besieged<Pair>;

/// A client and a worker that mind their own business.
struct Pair {
    client: Peer,
    worker: Peer,
}

impl Honest for Pair {
    const ARGUMENTS: &[&str] = &["--heartbeat-interval", "60s"];

    fn start(arguments: &[&str]) -> (BrokerProcess, Self) {
        let program = env!("CARGO_BIN_EXE_broker-of-the-tests");
        let broker = BrokerProcess::start(program, arguments);
        let worker = broker.peers().dealer();
        worker.send(frames!["MDPW02", 1, "honest"]);
        let client = broker.peers().dealer();
        (broker, Self { client, worker })
    }

    #[track_caller]
    fn exchange(&self) {
        self.client.send(frames!["MDPC02", 1, "honest", "hi"]);
        let token = loop {
            let message = self.worker.recv();
            self.worker.send(frames!["MDPW02", 5]);
            if message != frames!["MDPW02", 5] {
                break message.token_of(&frames!["MDPW02", 2, T, "", "hi"]);
            }
        };
        self.worker.send(frames!["MDPW02", 4, token, "", "hi"]);
        self.client.expect(frames!["MDPC02", 3, "honest", "hi"]);
    }

    #[track_caller]
    fn are_alone(besieged: &Besieged) {
        assert_eq!(besieged.broker.metrics().value("connections"), 2);
    }
}
