//! The command line as a process, against a broker on a free port.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bench;
mod bus;
mod harness;
mod listing;
mod request;
mod restore;
mod state;
mod usage;
mod worker;
