//! What is true of the whole tree and no compiler checks.
//!
//! Each test gathers every complaint before it fails.

mod configuration;
mod documents;
mod imports;
mod processes;
mod sources;
mod tree;

/// Fails with every complaint, one a line.
#[track_caller]
fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
