//! What hostile peers do to a broker, done to a state service that listens itself.

#[path = "../hostile/bytes.rs"]
mod bytes;
mod deaf;
#[path = "../hostile/handshakes.rs"]
mod handshakes;
#[path = "../hostile/sizes.rs"]
mod sizes;

use plantd_tests::{BrokerProcess, Honest, Peer, frames};

/// A service under attack.
type Besieged = plantd_tests::Besieged<Client>;

/// A client that minds its own business.
struct Client(Peer);

impl Honest for Client {
    const ARGUMENTS: &[&str] = &[];

    fn start(arguments: &[&str]) -> (BrokerProcess, Self) {
        let program = env!("CARGO_BIN_EXE_state-of-the-tests");
        let broker = BrokerProcess::start_state(program, arguments);
        let client = broker.peers().dealer();
        (broker, Self(client))
    }

    #[track_caller]
    fn exchange(&self) {
        let service = "org.plantd.State";
        let set = r#"{"scope":"org.example","key":"a","value":1,"echo":false}"#;
        self.0.send(frames!["MDPC02", 1, service, "state-set", set]);
        let answer = self.0.recv();
        assert_eq!(answer.0[..3], frames!["MDPC02", 3, service].0);
        assert!(answer.0[3].starts_with(br#"{"success":true"#), "{answer:?}");
    }

    #[track_caller]
    fn are_alone(besieged: &Besieged) {
        besieged.until("nobody else is connected", |reading| {
            reading.value("connections") == 1
        });
    }
}
