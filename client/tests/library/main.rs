//! The client library against a broker that does what the test says, over both transports.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod broker;
mod connections;
mod requests;
mod streams;
mod workers;
