//! The state service behind a broker, asked as its clients ask it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod asked;
mod backups;
mod damage;
mod plant;
mod published;
mod refused;
mod routed;
mod sharded;
mod shards;
mod watching;
