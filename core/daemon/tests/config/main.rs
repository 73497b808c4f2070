//! The configuration, through its public face.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod layers;
mod printed;
mod refusals;
mod sample;
