//! The keys of buses, and what is wrong with them.

use std::collections::BTreeSet;

use plantd_daemon::config::{ByteSize, OneOrMore, Problem};
use plantd_zmtp::Endpoint;
use serde::{Deserialize, Serialize};

use super::{Config, count};
use crate::bus::machine;

/// A bus as it is written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusKeys {
    /// What it is called.
    pub name: String,
    /// Where publishers connect.
    pub frontend: OneOrMore<Endpoint>,
    /// Where subscribers connect.
    pub backend: OneOrMore<Endpoint>,
    /// Where those connect who want to see what passes, and what was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<OneOrMore<Endpoint>>,
    /// What is kept for later subscribers.
    #[serde(default, skip_serializing_if = "Retain::is_default")]
    pub retain: Retain,
    /// Topics that are retained.
    #[serde(default = "retain_topics", skip_serializing_if = "is_retain_topics")]
    pub retain_topics: usize,
    /// Memory of what is retained.
    #[serde(default = "retain_bytes", skip_serializing_if = "is_retain_bytes")]
    pub retain_bytes: ByteSize,
    /// What waits for one subscriber at most.
    #[serde(default = "outbox", skip_serializing_if = "is_outbox")]
    pub outbox: ByteSize,
    /// One message.
    #[serde(default = "max_message", skip_serializing_if = "is_max_message")]
    pub max_message: ByteSize,
    /// Frames of one message.
    #[serde(default = "max_frames", skip_serializing_if = "is_max_frames")]
    pub max_frames: usize,
    /// Subscriptions of one peer.
    #[serde(default = "subscriptions", skip_serializing_if = "is_subscriptions")]
    pub subscriptions: usize,
}

/// What a bus keeps for later subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retain {
    /// Nothing.
    #[default]
    None,
    /// The last message of each topic.
    Last,
}

impl Retain {
    fn is_default(&self) -> bool {
        *self == Self::None
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
        }
    }
}

/// A default, and whether a value is it: then it need not be shown.
macro_rules! default {
    ($default:ident, $is:ident, $kind:ty, $value:expr) => {
        fn $default() -> $kind {
            $value
        }

        fn $is(value: &$kind) -> bool {
            *value == $default()
        }
    };
}

default!(retain_topics, is_retain_topics, usize, 10_000);
default!(
    retain_bytes,
    is_retain_bytes,
    ByteSize,
    ByteSize::from_mib(64)
);
default!(outbox, is_outbox, ByteSize, ByteSize::from_mib(8));
default!(max_message, is_max_message, ByteSize, ByteSize::from_mib(8));
default!(max_frames, is_max_frames, usize, 1024);
default!(subscriptions, is_subscriptions, usize, 16_384);

/// One frame, however long its message may be.
const FRAME_BYTES: usize = 4 << 20;
/// The longest topic that can be subscribed.
const TOPIC_BYTES: usize = 255;
/// Topics that publishers are told one by one.
const UPSTREAM_TOPICS: usize = 65_536;

impl BusKeys {
    /// A bus with the defaults of every other key.
    pub fn new(name: &str, frontend: Endpoint, backend: Endpoint) -> Self {
        Self {
            name: name.to_owned(),
            frontend: OneOrMore::one(frontend),
            backend: OneOrMore::one(backend),
            capture: None,
            retain: Retain::None,
            retain_topics: retain_topics(),
            retain_bytes: retain_bytes(),
            outbox: outbox(),
            max_message: max_message(),
            max_frames: max_frames(),
            subscriptions: subscriptions(),
        }
    }

    /// The buses that there are where none are configured.
    pub(super) fn defaults() -> Vec<Self> {
        let at = |port| Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        };
        let names = [("metric", 11_000), ("event", 12_000), ("state", 13_000)];
        let buses = names.map(|(name, port)| Self {
            capture: Some(OneOrMore::one(at(port + 2))),
            ..Self::new(name, at(port), at(port + 1))
        });
        buses.into()
    }

    /// Its endpoints, and the key of each.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (machine::Side, &Endpoint)> {
        let frontend = self.frontend.iter().map(|at| (machine::Side::Frontend, at));
        let backend = self.backend.iter().map(|at| (machine::Side::Backend, at));
        let capture = self.capture.iter().flat_map(OneOrMore::iter);
        let capture = capture.map(|at| (machine::Side::Capture, at));
        frontend.chain(backend).chain(capture)
    }

    /// What its state machine is told.
    pub(crate) fn to_machine(&self, limits: &super::LimitKeys) -> machine::Config {
        machine::Config {
            name: self.name.clone(),
            retain: match self.retain {
                Retain::None => None,
                Retain::Last => Some(machine::RetainLimits {
                    topics: self.retain_topics,
                    bytes: count(self.retain_bytes),
                }),
            },
            outbox_bytes: count(self.outbox),
            publisher_outbox_bytes: count(limits.outbox_max),
            subscriptions: self.subscriptions,
            topic_bytes: TOPIC_BYTES,
            upstream_topics: UPSTREAM_TOPICS,
        }
    }

    /// What its peers are held to by the transport.
    pub(crate) fn to_transport(&self) -> plantd_zmtp::Limits {
        let message_bytes = count(self.max_message);
        let long_header = 9;
        plantd_zmtp::Limits {
            frame_bytes: message_bytes.min(FRAME_BYTES),
            message_bytes: message_bytes + long_header * self.max_frames,
            frames: self.max_frames,
            ..plantd_zmtp::Limits::default()
        }
    }

    fn problems(&self, index: usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut require = |key: &str, holds: bool, expected: &str| {
            if !holds {
                problems.push(Problem::new(format!("buses[{index}].{key}"), expected));
            }
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = (1..=64).contains(&self.name.len()) && self.name.chars().all(is_plain);
        require(
            "name",
            is_name,
            "expected 1 to 64 letters, digits, `.`, `-` and `_`",
        );
        require(
            "retain_topics",
            self.retain_topics > 0,
            "expected 1 or more",
        );
        let is_message = (1..=64 << 20).contains(&self.max_message.bytes());
        require("max_message", is_message, "expected 1 byte to 64MiB");
        let is_frames = (1..=65_536).contains(&self.max_frames);
        require("max_frames", is_frames, "expected 1 to 65536");
        require(
            "subscriptions",
            self.subscriptions > 0,
            "expected 1 or more",
        );
        problems
    }
}

impl Config {
    /// What is wrong with the buses.
    pub(super) fn bus_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let mut taken: BTreeSet<Endpoint> = self.endpoint.iter().cloned().collect();
        for (index, bus) in self.buses.iter().enumerate() {
            problems.extend(bus.problems(index));
            if !names.insert(&bus.name) {
                let expected = "expected a name that no other bus has";
                problems.push(Problem::new(format!("buses[{index}].name"), expected));
            }
            for (side, endpoint) in bus.endpoints() {
                let key = format!("buses[{index}].{}", side.as_str());
                let is_any = matches!(endpoint, Endpoint::Tcp { port: 0, .. });
                if !is_any && !taken.insert(endpoint.clone()) {
                    let expected =
                        format!("expected an endpoint of its own: {endpoint} is used twice");
                    problems.push(Problem::new(key.clone(), expected));
                }
                problems.extend(self.open_endpoint(key, endpoint));
            }
        }
        problems
    }
}
