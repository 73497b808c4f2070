//! A process under attack, beside whom somebody minds his own business.

use crate::{BrokerProcess, Deadline, Peers, Reading};

/// What the memory of a process may grow by, whatever anybody sends. It is far below what the
/// attacks announce, and above what their count of connections costs.
const GROWTH_BYTES: u64 = 48 << 20;

/// Those who mind their own business, and the process that they do it with.
pub trait Honest: Sized {
    /// What the process is told, unless a test says otherwise.
    const ARGUMENTS: &[&str];

    /// Starts the process, and those who use it.
    fn start(arguments: &[&str]) -> (BrokerProcess, Self);

    /// Shows that they are served.
    fn exchange(&self);

    /// Shows that nobody but them is connected.
    fn are_alone(besieged: &Besieged<Self>);
}

/// A process under attack.
pub struct Besieged<H> {
    pub broker: BrokerProcess,
    pub honest: H,
    resident_bytes: u64,
    descriptors: usize,
}

impl<H: Honest> Besieged<H> {
    /// Starts one, with what it has before the attack.
    pub fn start() -> Self {
        Self::with(H::ARGUMENTS)
    }

    /// Starts one that is told something else.
    pub fn with(arguments: &[&str]) -> Self {
        let (broker, honest) = H::start(arguments);
        honest.exchange();
        Self {
            resident_bytes: broker.resident_bytes(),
            descriptors: broker.descriptors(),
            broker,
            honest,
        }
    }

    /// Makes peers of the process.
    pub fn peers(&self) -> &Peers {
        self.broker.peers()
    }

    /// Shows that the honest are served.
    #[track_caller]
    pub fn honest_exchange(&self) {
        self.honest.exchange();
    }

    /// Serves the honest until the metrics are as a test wants them.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Reading) -> bool) {
        self.until_also(what, |besieged| holds(&besieged.broker.metrics()));
    }

    /// Serves the honest until something holds.
    #[track_caller]
    pub fn until_also(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Deadline::start();
        while !holds(self) {
            self.honest_exchange();
            let reading = self.broker.metrics();
            assert!(
                !deadline.has_passed(),
                "waited in vain until {what}\n{reading:?}"
            );
        }
    }

    /// Shows that the attack is over: the honest are served, memory is bounded, every descriptor is
    /// returned, and nobody else is connected.
    #[track_caller]
    pub fn survives(&self) {
        self.survives_within(GROWTH_BYTES);
    }

    /// The same for an attack that the limits let take more memory.
    #[track_caller]
    pub fn survives_within(&self, growth_bytes: u64) {
        self.has_grown_within(growth_bytes);
        self.until_also("every descriptor is returned", |besieged| {
            besieged.broker.descriptors() <= besieged.descriptors
        });
        H::are_alone(self);
    }

    /// The same for an attack that has the process open files of its own.
    #[track_caller]
    pub fn stays_within(&self, growth_bytes: u64) {
        self.has_grown_within(growth_bytes);
        H::are_alone(self);
    }

    #[track_caller]
    fn has_grown_within(&self, growth_bytes: u64) {
        self.honest_exchange();
        let resident_bytes = self.broker.resident_bytes();
        assert!(
            resident_bytes < self.resident_bytes + growth_bytes,
            "memory went from {} to {resident_bytes} bytes",
            self.resident_bytes,
        );
    }
}
