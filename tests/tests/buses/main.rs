//! The broker's buses, against publishers and subscribers that others wrote.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod crate_peers;
mod harness;
mod hostile;
mod interop;
mod operations;
mod retained;
mod slow;
mod upstream;
