//! Clients, workers and brokers of Majordomo under a seeded network and clock, in one thread.
//!
//! A seed decides who is there, within which limits, and which faults are on. The machines are
//! those of `plantd-mdp`; what they send goes through its codecs and through pipes that delay,
//! fill, stall and break. A *witness* beside each broker checks each effect against what the broker
//! promises, machines check themselves after each step, and a *ledger* of what programs asked is
//! checked at the end, when the faults are over and all has come to rest.
//!
//! What is not here: sockets, threads, ZMTP's bytes, and anything that depends on the hour.

mod agenda;
mod body;
mod broker_process;
mod campaign;
mod dice;
mod faults;
mod ledger;
mod network;
mod party;
mod plan;
mod report;
mod stage;
mod verdict;
mod wire;
mod witness;
mod world;

pub use campaign::{Campaign, hunt, hunt_all, run, survey};
pub use plantd_mdp::planted::Bug;
pub use report::{Failure, Hunt, Run};
