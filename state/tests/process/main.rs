//! The state service as a process: killed, doubled, on a disk that is full or fails.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod crashes;
mod endpoint;
mod faults;
mod history;
mod running;
mod shards;
mod standby;
