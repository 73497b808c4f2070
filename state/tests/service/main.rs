//! The state service behind a broker, asked as its clients ask it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod asked;
mod backups;
mod damage;
mod kept;
mod plant;
mod published;
mod refused;
mod routed;
mod sharded;
mod shards;
mod watching;

/// Where the clients of this suite ask: at the broker.
fn asked_at(broker: &plant::Broker, _database: &std::path::Path) -> String {
    broker.endpoint()
}
