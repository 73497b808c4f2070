//! Brokers and workers as processes that are killed, stopped, cut off and starved, while clients ask
//! and everybody writes down what they saw.
//!
//! A [`Round`] is one kind of fault. [`play`] starts a broker, workers and clients, lets the fault
//! strike by a seed, mends everything, lets all requests end, and asks once more to see that all
//! have found each other again. A *checker* then reads what clients and workers recorded: what was
//! lost, answered twice or by another's answer, and what was done twice that must not be.
//!
//! What is not here: anything that can reach private state, and assertions on speed.
#![expect(
    missing_debug_implementations,
    reason = "processes have nothing to show"
)]

mod attack;
mod bus_load;
mod checker;
mod dice;
mod ledger;
mod load;
mod processes;
mod proxy;
mod raw_client;
mod report;
mod rounds;
mod scene;

pub use bus_load::BusFigures;
pub use checker::Outcome;
pub use processes::Process;
pub use report::Report;
pub use rounds::{Round, play};
