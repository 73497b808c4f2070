//! The Majordomo protocol without IO.
//!
//! Four dialects reach the broker: MDP/0.1 (RFC 7), MDP/0.2 (RFC 18), the words of the Go plantd,
//! and MDP/0.3 (`docs/protocol.md`). The [`codec`] turns each into one set of [`command`]s; the
//! state machines know commands only, and each peer is answered in the form it spoke first.
//!
//! [`Broker`], [`Worker`] and [`Client`] are values. Time comes in as `now`, randomness as a seed,
//! frames as [`Message`](plantd_zmtp::Message)s; effects leave as values that compare. Each machine
//! has the same few verbs:
//!
//! - `handle_…` takes what happened: a connection, a message, the passing of time;
//! - `poll_output` gives the effects in their order, until `None`;
//! - `poll_timeout` says when `handle_timeout` is due.
//!
//! There is no socket here, no clock, lock, task, file, metric or log line.

#![warn(missing_docs)]

pub mod broker;
pub mod client;
pub mod codec;
pub mod command;
mod error_code;
mod header;
mod link;
mod name;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod rejection;
mod timers;
mod token;
pub mod worker;

pub use broker::Broker;
pub use client::Client;
pub use codec::{Dialect, Form};
pub use error_code::ErrorCode;
pub use header::{Header, InvalidHeader, InvalidNumber, Properties};
pub use link::{Backoff, ReconnectDelays};
pub use name::{InvalidServiceName, ServiceName};
pub use rejection::Rejection;
pub use token::Token;
pub use worker::Worker;
