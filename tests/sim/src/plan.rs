//! What a seed decides before anything happens: who is there, within which limits, and what will go
//! wrong.

use std::time::Duration;

use plantd_mdp::{Dialect, Form, ServiceName, broker};

use crate::dice::Dice;

const KIB: usize = 1024;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) broker: broker::Config,
    pub(crate) brokers: usize,
    pub(crate) services: Vec<ServiceName>,
    pub(crate) cast: Vec<Role>,
    pub(crate) asking: Asking,
    pub(crate) answering: Answering,
    /// Each fault that is on, and how long it is between two of them.
    pub(crate) faults: Vec<(Fault, Duration)>,
    /// How long faults go on.
    pub(crate) storm: Duration,
    /// How long a message is on its way, in milliseconds.
    pub(crate) latency_ms: (u64, u64),
    /// What a connection takes before its sender's outbox fills.
    pub(crate) window_bytes: usize,
}

/// Who a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    LibraryClient,
    RawClient(Form),
    /// At this broker, for this service.
    LibraryWorker(usize, usize),
    RawWorker(Form, usize, usize),
    Hostile(usize),
}

/// What clients want.
#[derive(Debug)]
pub(crate) struct Asking {
    /// Between two requests of a client.
    pub(crate) every: Duration,
    pub(crate) cancels: bool,
    pub(crate) deadlines: bool,
    pub(crate) retries: bool,
    pub(crate) windows: bool,
    pub(crate) large_bodies: bool,
}

/// What workers do.
#[derive(Debug)]
pub(crate) struct Answering {
    /// How long an answer takes.
    pub(crate) every: Duration,
    pub(crate) errors: bool,
    pub(crate) parts: bool,
    pub(crate) large_bodies: bool,
}

/// What goes wrong now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection is reset.
    Reset,
    /// Nothing passes in one direction of a connection for a while.
    Stall,
    /// A connection becomes slow for a while.
    Delay,
    /// A client's process is killed and started again.
    ClientCrash,
    /// A client's process is stopped and continued.
    ClientStop,
    /// A client asks much at once.
    Burst,
    /// A party reads slowly for a while.
    SlowReader,
    /// A worker's process is killed and started again.
    WorkerCrash,
    /// A worker's process is stopped and continued, so that it answers late.
    WorkerStop,
    /// A worker takes requests and never ends them, until it is restarted.
    WorkerHang,
    /// A worker leaves in good order and comes back.
    WorkerDrain,
    /// A broker's process is killed and started again.
    BrokerCrash,
    /// A broker's machine is gone without a word, and another takes its place.
    BrokerPowerLoss,
    /// A broker's process is stopped and continued.
    BrokerStop,
    /// A broker leaves in good order and comes back.
    BrokerDrain,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::Reset,
        Self::Stall,
        Self::Delay,
        Self::ClientCrash,
        Self::ClientStop,
        Self::Burst,
        Self::SlowReader,
        Self::WorkerCrash,
        Self::WorkerStop,
        Self::WorkerHang,
        Self::WorkerDrain,
        Self::BrokerCrash,
        Self::BrokerPowerLoss,
        Self::BrokerStop,
        Self::BrokerDrain,
    ];
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let names = ["alpha", "beta.two", "gamma"];
        let services = dice.count(1..=names.len());
        let services = names[..services].iter();
        let services: Vec<ServiceName> =
            services.map(|name| name.parse().expect("a name")).collect();
        let brokers = if dice.chance(30) { 2 } else { 1 };
        let cast = cast(dice, brokers, services.len());
        Self {
            broker: broker_config(dice),
            brokers,
            services,
            cast,
            asking: Asking {
                every: dice.milliseconds(100..=900),
                cancels: dice.chance(50),
                deadlines: dice.chance(50),
                retries: dice.chance(60),
                windows: dice.chance(50),
                large_bodies: dice.chance(30),
            },
            answering: Answering {
                every: dice.milliseconds(10..=700),
                errors: dice.chance(50),
                parts: dice.chance(60),
                large_bodies: dice.chance(30),
            },
            faults: faults(dice),
            storm: dice.milliseconds(10_000..=30_000),
            latency_ms: if dice.chance(50) { (0, 2) } else { (1, 80) },
            window_bytes: dice.pick(&[2 * KIB, 8 * KIB, 64 * KIB]),
        }
    }
}

/// Every service has a worker of the library at every broker; the others are drawn.
fn cast(dice: &mut Dice, brokers: usize, services: usize) -> Vec<Role> {
    let mut cast = Vec::new();
    for broker in 0..brokers {
        for service in 0..services {
            cast.push(Role::LibraryWorker(broker, service));
        }
    }
    for _ in 0..dice.count(0..=4) {
        let (broker, service) = (dice.count(0..=brokers - 1), dice.count(0..=services - 1));
        cast.push(if dice.chance(40) {
            Role::LibraryWorker(broker, service)
        } else {
            Role::RawWorker(older_form(dice), broker, service)
        });
    }
    for _ in 0..dice.count(1..=2) {
        cast.push(Role::LibraryClient);
    }
    for _ in 0..dice.count(1..=3) {
        let form = if dice.chance(25) {
            Form::MDP03
        } else {
            older_form(dice)
        };
        cast.push(Role::RawClient(form));
    }
    if dice.chance(30) {
        cast.push(Role::Hostile(dice.count(0..=brokers - 1)));
    }
    cast
}

fn older_form(dice: &mut Dice) -> Form {
    let dialect = dice.pick(&[Dialect::Mdp01, Dialect::Mdp02, Dialect::Words]);
    Form {
        dialect,
        delimited: dialect != Dialect::Mdp02 || dice.chance(50),
    }
}

fn broker_config(dice: &mut Dice) -> broker::Config {
    let mut config = broker::Config {
        heartbeat_interval: dice.milliseconds(500..=2500),
        mdp03_heartbeat_interval: dice.milliseconds(300..=1000),
        liveness: dice.pick(&[3, 3, 4]),
        busy_liveness: dice.pick(&[6, 10, 16]),
        queue_timeout: dice.milliseconds(1000..=8000),
        attempts: dice.pick(&[1, 2, 3, 3, 4]),
        ..broker::Config::default()
    };
    if dice.chance(5) {
        config.queue_timeout = Duration::ZERO;
    }
    let limits = &mut config.limits;
    limits.dead = 3;
    if dice.chance(50) {
        limits.outbox_bytes = dice.pick(&[4 * KIB, 16 * KIB, 64 * KIB]);
        limits.outbox_max_bytes = limits.outbox_bytes * dice.pick(&[2, 4, 16]);
        limits.dispatch_bytes = limits.outbox_bytes / dice.pick(&[2, 8]);
    }
    if dice.chance(30) {
        limits.client_requests = dice.count(2..=16);
        limits.client_bytes = dice.pick(&[4 * KIB, 32 * KIB]);
    }
    if dice.chance(30) {
        limits.queue_requests = dice.count(2..=20);
        limits.queue_bytes = dice.pick(&[8 * KIB, 64 * KIB]);
        limits.names = 2;
    }
    if dice.chance(30) {
        limits.frame_bytes = 6 * KIB;
        limits.body_bytes = 8 * KIB;
        limits.body_frames = 8;
    }
    if dice.chance(20) {
        limits.memory_bytes = dice.pick(&[32 * KIB, 256 * KIB]);
    }
    config
}

/// Each fault is on in one run of three, so that runs differ in which ones meet.
fn faults(dice: &mut Dice) -> Vec<(Fault, Duration)> {
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        if dice.chance(35) {
            faults.push((fault, dice.milliseconds(1500..=12_000)));
        }
    }
    faults
}
