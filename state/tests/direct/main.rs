//! The state service at its own endpoint: what its clients are answered through a broker, and what is
//! different.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../service/asked.rs"]
mod asked;
mod endpoint;
#[path = "../service/plant.rs"]
mod plant;
#[path = "../service/published.rs"]
mod published;
#[path = "../service/refused.rs"]
mod refused;
#[path = "../service/watching.rs"]
mod watching;

/// Where the clients of this suite ask: at the service itself.
fn asked_at(_broker: &plant::Broker, database: &std::path::Path) -> String {
    plant::own_endpoint(database)
}
