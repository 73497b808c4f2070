//! The clock of this program.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the one clock of this program")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
