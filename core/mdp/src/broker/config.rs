//! What a broker is told: times and limits.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The times and limits of a [`Broker`](super::Broker).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often idle peers of MDP/0.1 and 0.2 hear from each other; by default 2.5 s.
    pub heartbeat_interval: Duration,
    /// The same for MDP/0.3 workers that do not ask for another; by default 1 s.
    pub mdp03_heartbeat_interval: Duration,
    /// After how many intervals of silence a worker is expired; by default 3.
    pub liveness: u32,
    /// The same for a busy worker of MDP/0.1 or 0.2, which may be silent while it works; by
    /// default 24.
    pub busy_liveness: u32,
    /// The longest wait for a worker; 0 = none. By default 30 s.
    pub queue_timeout: Duration,
    /// Whether a request waits for a service that has no worker; by default it does. It fails at
    /// once where no worker can come.
    pub awaits_workers: bool,
    /// How often a request is given to a worker at most; by default 3.
    pub attempts: u32,
    /// What others are told to dial, as `mmi.broker` shows it.
    pub endpoints: Vec<String>,
    /// What is bounded.
    pub limits: Limits,
}

/// What a [`Broker`](super::Broker) holds at most (D8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One frame of a body, in bytes; by default 4 MiB.
    pub frame_bytes: usize,
    /// All frames of a body, in bytes; by default 8 MiB.
    pub body_bytes: usize,
    /// The frames of a body; by default 60.
    pub body_frames: usize,
    /// Unanswered requests of one client; by default 4,096.
    pub client_requests: usize,
    /// Bytes of one client's unanswered requests; by default 16 MiB.
    pub client_bytes: usize,
    /// Queued requests of one service; by default 10,000.
    pub queue_requests: usize,
    /// Bytes of one service's queue; by default 64 MiB.
    pub queue_bytes: usize,
    /// Names that only queued requests hold; by default 10,000.
    pub names: usize,
    /// Dead requests that are remembered; by default 1,000.
    pub dead: usize,
    /// A worker whose outbox holds this many bytes gets no further request; by default 1 MiB.
    pub dispatch_bytes: usize,
    /// A peer whose outbox holds more bytes is not read from; by default 8 MiB.
    pub outbox_bytes: usize,
    /// A peer whose outbox holds more bytes is disconnected; by default 64 MiB.
    pub outbox_max_bytes: usize,
    /// Requests and outboxes together, in bytes; by default 1 GiB.
    pub memory_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(2500),
            mdp03_heartbeat_interval: Duration::from_secs(1),
            liveness: 3,
            busy_liveness: 24,
            queue_timeout: Duration::from_secs(30),
            awaits_workers: true,
            attempts: 3,
            endpoints: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 4 * MIB,
            body_bytes: 8 * MIB,
            body_frames: 60,
            client_requests: 4096,
            client_bytes: 16 * MIB,
            queue_requests: 10_000,
            queue_bytes: 64 * MIB,
            names: 10_000,
            dead: 1000,
            dispatch_bytes: MIB,
            outbox_bytes: 8 * MIB,
            outbox_max_bytes: 64 * MIB,
            memory_bytes: 1024 * MIB,
        }
    }
}
