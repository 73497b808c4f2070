//! The broker's conformance cases over real sockets, frame by frame, with peers on libzmq.
//!
//! A test carries the number of the case that it shows. Those about routing alone, in every order
//! and in virtual time, are in `core/mdp/src/broker/tests`.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod dialects;
mod exchange;
mod heartbeats;
mod malformed;
mod mdp03;
mod mmi;
mod workers;
