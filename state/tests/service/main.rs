//! The state service behind a broker, asked as its clients ask it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod asked;
mod plant;
mod refused;
mod watching;
