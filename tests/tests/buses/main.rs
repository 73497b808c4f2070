//! The broker's buses, against publishers and subscribers that others wrote.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
mod interop;
