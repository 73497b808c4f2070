//! What peers and operators may send, and what must hold whatever it is.
//!
//! A [`Target`] takes any bytes, makes of them what somebody could send, and panics where a promise
//! is broken. Two callers give it bytes: the fuzzers in `fuzz/`, and the tests of this package,
//! which take them from proptest and from the corpora that the fuzzers have left.
//!
//! Nothing here can reach private state, and nothing here opens a socket.

mod broker;
mod bus;
mod client;
mod clock;
mod codec;
mod config;
mod header;
mod input;
mod management;
mod names;
mod wire;
mod worker;
mod zmtp;

pub use broker::broker;
pub use bus::{bus, topics};
pub use client::client;
pub use codec::{mdp01, mdp02, mdp03, replies, words};
pub use config::{arguments, environment, json, toml, yaml};
pub use header::{header, properties, publication};
pub use management::management;
pub use names::{endpoint, service_name};
pub use worker::worker;
pub use zmtp::conversation::conversation;
pub use zmtp::message::message;
pub use zmtp::received::{greeting, handshake, subscriptions, traffic};

/// A kind of input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the function, of the fuzzer and of the folder of its corpus.
    pub name: &'static str,
    /// Takes any bytes, and panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// Lists targets by the names of their functions.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        [$(Target { name: stringify!($name), run: $name }),+]
    };
}

/// Every target, in the order of what they look at.
pub const TARGETS: &[Target] = &targets![
    greeting,
    handshake,
    traffic,
    subscriptions,
    conversation,
    message,
    mdp01,
    mdp02,
    words,
    mdp03,
    replies,
    header,
    properties,
    publication,
    broker,
    management,
    worker,
    client,
    topics,
    bus,
    yaml,
    toml,
    json,
    environment,
    arguments,
    endpoint,
    service_name,
];
