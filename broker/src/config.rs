//! The broker's configuration.

mod buses;

use std::time::Duration;

use plantd_daemon::config::{ByteSize, OneOrMore, Problem, Settings, Shared, TimeSpan};
use plantd_mdp::broker;
use plantd_zmtp::Endpoint;
use serde::{Deserialize, Serialize};

pub use self::buses::{BusKeys, Retain};

/// The keys of the broker; see [`Settings::HELP`] for what each means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The keys of every daemon.
    #[serde(flatten)]
    pub shared: Shared,
    /// Where clients and workers connect.
    pub endpoint: OneOrMore<Endpoint>,
    /// What others are told to dial.
    pub client_endpoint: Option<OneOrMore<Endpoint>>,
    /// Whether endpoints that others than this machine can reach may be open to anybody.
    pub allow_anonymous: bool,
    /// How often idle peers of MDP/0.1 and 0.2 hear from each other.
    pub heartbeat_interval: TimeSpan,
    /// The same for MDP/0.3 workers that ask for no other.
    pub mdp03_heartbeat_interval: TimeSpan,
    /// After how many silent intervals a worker is expired.
    pub liveness: u32,
    /// The same for busy workers of MDP/0.1 and 0.2.
    pub busy_liveness: u32,
    /// The longest wait for a worker.
    pub queue_timeout: TimeSpan,
    /// How often a request is given to a worker at most.
    pub attempts: u32,
    /// Requests and outboxes together.
    pub memory_limit: Option<ByteSize>,
    /// What one peer, one service and all of them may take.
    pub limits: LimitKeys,
    /// Buses to carry.
    pub buses: Vec<BusKeys>,
}

/// Limits that are on by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitKeys {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address; those of this machine are not counted.
    pub connections_per_address: usize,
    /// One frame of a body.
    pub frame: ByteSize,
    /// All frames of a body.
    pub body: ByteSize,
    /// Frames of a body.
    pub body_frames: usize,
    /// Unanswered requests of one client.
    pub client_requests: usize,
    /// Bytes of one client's unanswered requests.
    pub client_bytes: ByteSize,
    /// Queued requests of one service.
    pub queue_requests: usize,
    /// Bytes of one service's queue.
    pub queue_bytes: ByteSize,
    /// Services that only queued requests hold.
    pub names: usize,
    /// Dead requests that are remembered.
    pub dead: usize,
    /// An outbox over this is not read from.
    pub outbox: ByteSize,
    /// An outbox over this is the end of its connection.
    pub outbox_max: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        let core = broker::Config::default();
        Self {
            shared: Shared::with_health_port(8081),
            endpoint: OneOrMore::one(Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 9797,
            }),
            client_endpoint: None,
            allow_anonymous: false,
            heartbeat_interval: core.heartbeat_interval.into(),
            mdp03_heartbeat_interval: core.mdp03_heartbeat_interval.into(),
            liveness: core.liveness,
            busy_liveness: core.busy_liveness,
            queue_timeout: core.queue_timeout.into(),
            attempts: core.attempts,
            memory_limit: None,
            limits: LimitKeys::default(),
            buses: BusKeys::defaults(),
        }
    }
}

impl Default for LimitKeys {
    fn default() -> Self {
        let core = broker::Limits::default();
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            frame: bytes(core.frame_bytes),
            body: bytes(core.body_bytes),
            body_frames: core.body_frames,
            client_requests: core.client_requests,
            client_bytes: bytes(core.client_bytes),
            queue_requests: core.queue_requests,
            queue_bytes: bytes(core.queue_bytes),
            names: core.names,
            dead: core.dead,
            outbox: bytes(core.outbox_bytes),
            outbox_max: bytes(core.outbox_max_bytes),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "broker";
    const ABOUT: &'static str = "Routes requests to the workers of a service (Majordomo, RFC 18)";
    const HELP: &'static [(&'static str, &'static str)] = &[
        (
            "endpoint",
            "where clients and workers connect: tcp://host:port or ipc://path, or a list",
        ),
        (
            "client_endpoint",
            "what others are told to dial, where that is not the endpoint",
        ),
        (
            "allow_anonymous",
            "let anybody use endpoints that other machines can reach",
        ),
        (
            "heartbeat_interval",
            "how often idle MDP/0.1 and 0.2 workers and the broker hear each other",
        ),
        (
            "mdp03_heartbeat_interval",
            "the same for MDP/0.3 workers that ask for no other interval",
        ),
        (
            "liveness",
            "after how many silent intervals a worker is expired",
        ),
        (
            "busy_liveness",
            "the same for MDP/0.1 and 0.2 workers that hold a request",
        ),
        (
            "queue_timeout",
            "the longest wait for a worker; 0 fails at once",
        ),
        (
            "attempts",
            "how many workers a request is given to, when each before was lost",
        ),
        (
            "memory_limit",
            "requests and outboxes together; half of the memory if it is not set",
        ),
        ("limits.connections", "connections in all"),
        (
            "limits.connections_per_address",
            "connections from one address other than this machine's",
        ),
        ("limits.frame", "one frame of a body"),
        ("limits.body", "all frames of a body"),
        ("limits.body_frames", "frames of a body"),
        (
            "limits.client_requests",
            "unanswered requests of one client",
        ),
        (
            "limits.client_bytes",
            "bytes of one client's unanswered requests",
        ),
        (
            "limits.queue_requests",
            "requests in the queue of one service",
        ),
        ("limits.queue_bytes", "bytes in the queue of one service"),
        (
            "limits.names",
            "services that have no worker and are held by queued requests",
        ),
        (
            "limits.dead",
            "requests that used up their attempts and are remembered",
        ),
        (
            "limits.outbox",
            "bytes for one peer beyond which it is not read from",
        ),
        (
            "limits.outbox_max",
            "bytes for one peer beyond which it is disconnected",
        ),
        (
            "buses",
            "buses as a list of {name, frontend, backend, capture, …}; [] for none",
        ),
    ];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn validate(&self) -> Vec<Problem> {
        let mut problems = self.endpoint_problems();
        problems.extend(self.bus_problems());
        let mut require = |key: &str, holds: bool, expected: &str| {
            if !holds {
                problems.push(Problem::new(key, expected));
            }
        };
        let interval = Duration::from_millis(100)..=Duration::from_secs(60);
        let in_range = |span: TimeSpan| interval.contains(&Duration::from(span));
        require(
            "heartbeat_interval",
            in_range(self.heartbeat_interval),
            "expected 100ms to 60s",
        );
        let mdp03 = in_range(self.mdp03_heartbeat_interval);
        require("mdp03_heartbeat_interval", mdp03, "expected 100ms to 60s");
        require(
            "liveness",
            (2..=20).contains(&self.liveness),
            "expected 2 to 20",
        );
        let busy = (self.liveness..=10_000).contains(&self.busy_liveness);
        require(
            "busy_liveness",
            busy,
            "expected liveness or more, and at most 10000",
        );
        require(
            "attempts",
            (1..=100).contains(&self.attempts),
            "expected 1 to 100",
        );
        let least = ByteSize::from_bytes(64 * 1024 * 1024);
        let memory = self.memory_limit.is_none_or(|limit| limit >= least);
        require("memory_limit", memory, "expected 64MiB or more");
        let limits = &self.limits;
        require(
            "limits.connections",
            limits.connections > 0,
            "expected 1 or more",
        );
        let per_address = limits.connections_per_address > 0;
        require(
            "limits.connections_per_address",
            per_address,
            "expected 1 or more",
        );
        let transport = plantd_zmtp::Limits::default();
        let frame = (1..=transport.frame_bytes as u64).contains(&limits.frame.bytes());
        require("limits.frame", frame, "expected 1 byte to 8MiB");
        let body = (limits.frame.bytes()..=16 * 1024 * 1024).contains(&limits.body.bytes());
        require(
            "limits.body",
            body,
            "expected limits.frame or more, and at most 16MiB",
        );
        let frames = (1..=112).contains(&limits.body_frames);
        require("limits.body_frames", frames, "expected 1 to 112");
        require(
            "limits.client_requests",
            limits.client_requests > 0,
            "expected 1 or more",
        );
        require(
            "limits.queue_requests",
            limits.queue_requests > 0,
            "expected 1 or more",
        );
        require("limits.names", limits.names > 0, "expected 1 or more");
        let outbox = limits.outbox <= limits.outbox_max;
        require(
            "limits.outbox_max",
            outbox,
            "expected limits.outbox or more",
        );
        problems
    }
}

impl Config {
    /// What the state machine is told; `endpoints` is what was bound.
    pub(crate) fn to_core(&self, endpoints: &[Endpoint]) -> broker::Config {
        let limits = &self.limits;
        let told = self.client_endpoint.as_ref().map(OneOrMore::iter);
        let endpoints = told.unwrap_or_else(|| endpoints.iter());
        let endpoints = endpoints.map(Endpoint::to_string).collect();
        broker::Config {
            heartbeat_interval: self.heartbeat_interval.into(),
            mdp03_heartbeat_interval: self.mdp03_heartbeat_interval.into(),
            liveness: self.liveness,
            busy_liveness: self.busy_liveness,
            queue_timeout: self.queue_timeout.into(),
            awaits_workers: true,
            attempts: self.attempts,
            endpoints,
            limits: broker::Limits {
                frame_bytes: count(limits.frame),
                body_bytes: count(limits.body),
                body_frames: limits.body_frames,
                client_requests: limits.client_requests,
                client_bytes: count(limits.client_bytes),
                queue_requests: limits.queue_requests,
                queue_bytes: count(limits.queue_bytes),
                names: limits.names,
                dead: limits.dead,
                outbox_bytes: count(limits.outbox),
                outbox_max_bytes: count(limits.outbox_max),
                memory_bytes: self.memory_bytes(),
                ..broker::Limits::default()
            },
        }
    }

    /// What requests, buses and outboxes may take together.
    pub(crate) fn memory_bytes(&self) -> usize {
        let half = plantd_daemon::resources::half_of_memory;
        self.memory_limit.map_or_else(half, count)
    }

    /// Endpoints that would be open to anybody without anybody having said so.
    fn endpoint_problems(&self) -> Vec<Problem> {
        let endpoints = self.endpoint.iter();
        let open = endpoints.filter_map(|at| self.open_endpoint("endpoint".to_owned(), at));
        open.collect()
    }

    fn open_endpoint(&self, key: String, endpoint: &Endpoint) -> Option<Problem> {
        let is_open = !endpoint.is_loopback() && !self.allow_anonymous;
        is_open.then(|| Problem::open_to_anybody(key, endpoint))
    }
}

fn bytes(count: usize) -> ByteSize {
    ByteSize::from_bytes(count as u64)
}

fn count(size: ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
