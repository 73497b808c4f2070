//! What hurts nobody but its sender: hostile bytes, slow peers and peers that never read.
//!
//! The broker is a process of its own here, so that its memory and its descriptors are its alone.

mod bytes;
mod floods;
mod handshakes;
mod sizes;
mod stopped;
mod unread;

use plantd_tests::{BrokerProcess, Peer, Peers, Reading, T, frames};

/// What the memory of a broker may grow by, whatever anybody sends. It is far below what the
/// attacks announce, and above what their count of connections costs.
const GROWTH_BYTES: u64 = 48 << 20;

/// A broker under attack, with a client and a worker that mind their own business.
struct Besieged {
    broker: BrokerProcess,
    client: Peer,
    worker: Peer,
    resident_bytes: u64,
    descriptors: usize,
}

impl Besieged {
    fn start() -> Self {
        Self::with(&["--heartbeat-interval", "60s"])
    }

    fn with(arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_broker-of-the-tests");
        let broker = BrokerProcess::start(program, arguments);
        let worker = broker.peers().dealer();
        worker.send(frames!["MDPW02", 1, "honest"]);
        let client = broker.peers().dealer();
        let mut besieged = Self {
            broker,
            client,
            worker,
            resident_bytes: 0,
            descriptors: 0,
        };
        besieged.honest_exchange();
        besieged.resident_bytes = besieged.broker.resident_bytes();
        besieged.descriptors = besieged.broker.descriptors();
        besieged
    }

    fn peers(&self) -> &Peers {
        self.broker.peers()
    }

    /// Shows that the honest are served.
    #[track_caller]
    fn honest_exchange(&self) {
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

    /// Serves the honest until the metrics are as a test wants them.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&Reading) -> bool) {
        self.until_also(what, |besieged| holds(&besieged.broker.metrics()));
    }

    /// Serves the honest until something holds.
    #[track_caller]
    fn until_also(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = plantd_tests::Deadline::start();
        while !holds(self) {
            self.honest_exchange();
            let reading = self.broker.metrics();
            assert!(
                !deadline.has_passed(),
                "waited in vain until {what}\n{reading:?}"
            );
        }
    }

    /// Shows that the attack is over: the honest are served, memory is bounded, and every
    /// descriptor is returned.
    #[track_caller]
    fn survives(&self) {
        self.survives_within(GROWTH_BYTES);
    }

    /// The same for an attack that the broker's limits let take more memory.
    #[track_caller]
    fn survives_within(&self, growth_bytes: u64) {
        self.honest_exchange();
        let resident_bytes = self.broker.resident_bytes();
        assert!(
            resident_bytes < self.resident_bytes + growth_bytes,
            "memory went from {} to {resident_bytes} bytes",
            self.resident_bytes,
        );
        self.until_also("every descriptor is returned", |besieged| {
            besieged.broker.descriptors() <= besieged.descriptors
        });
        assert_eq!(self.broker.metrics().value("connections"), 2);
    }
}
