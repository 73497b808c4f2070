//! Buses: what publishers send is handed on to whoever subscribes it.
//!
//! [`machine`] decides as a value who gets what ([`Bus`]); [`trie`] finds who subscribes a topic;
//! `fanout` is the loop that carries it out, for all buses on one thread that is not the
//! router's (`plane`), so that no flood on a bus delays a request.

mod audiences;
mod fanout;
pub mod machine;
mod metrics;
mod plane;
mod report;
pub mod trie;

pub use self::machine::Bus;
pub use self::plane::BoundBus;
pub(crate) use self::plane::{Plane, start};
