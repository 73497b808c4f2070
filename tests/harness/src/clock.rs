//! Where virtual time begins.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
