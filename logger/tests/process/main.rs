//! The logger as a process, between a bus and a PostgreSQL of its own.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bus;
mod logger;
mod outages;
mod postgres;
mod schema;
mod storing;
