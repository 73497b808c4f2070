//! What hostile peers do to a broker, done to a state service that listens itself.

#[path = "../hostile/bytes.rs"]
mod bytes;
mod deaf;
#[path = "../hostile/handshakes.rs"]
mod handshakes;
#[path = "../hostile/sizes.rs"]
mod sizes;

use plantd_tests::{BrokerProcess, Peer, Peers, Reading, frames};

/// What the memory of the service may grow by, whatever anybody sends; as for the broker.
const GROWTH_BYTES: u64 = 48 << 20;

/// A service under attack, with a client that minds its own business.
struct Besieged {
    broker: BrokerProcess,
    client: Peer,
    resident_bytes: u64,
    descriptors: usize,
}

impl Besieged {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_state-of-the-tests");
        let broker = BrokerProcess::start_state(program, arguments);
        let client = broker.peers().dealer();
        let mut besieged = Self {
            broker,
            client,
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
        let service = "org.plantd.State";
        let set = r#"{"scope":"org.example","key":"a","value":1,"echo":false}"#;
        self.client
            .send(frames!["MDPC02", 1, service, "state-set", set]);
        let answer = self.client.recv();
        assert_eq!(answer.0[..3], frames!["MDPC02", 3, service].0);
        assert!(answer.0[3].starts_with(br#"{"success":true"#), "{answer:?}");
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
        self.stays_within(GROWTH_BYTES);
        self.until_also("every descriptor is returned", |besieged| {
            besieged.broker.descriptors() <= besieged.descriptors
        });
    }

    /// Shows that the honest are served, nobody else is connected, and memory is bounded.
    #[track_caller]
    fn stays_within(&self, growth_bytes: u64) {
        self.honest_exchange();
        let resident_bytes = self.broker.resident_bytes();
        assert!(
            resident_bytes < self.resident_bytes + growth_bytes,
            "memory went from {} to {resident_bytes} bytes",
            self.resident_bytes,
        );
        self.until("nobody else is connected", |reading| {
            reading.value("connections") == 1
        });
    }
}
