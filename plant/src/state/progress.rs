//! How far long work is: a line on stderr that is written over, and only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// How often the line is written.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    since_shown: Option<Stopwatch>,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            since_shown: None,
        }
    }

    /// Shows a text, unless one was shown a moment ago.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let is_soon = self
            .since_shown
            .as_ref()
            .is_some_and(|shown| shown.elapsed() < INTERVAL);
        if !self.is_terminal || is_soon {
            return;
        }
        self.since_shown = Some(Stopwatch::start());
        // Without a stderr there is nobody to show it to.
        let _ = write!(io::stderr(), "\r\x1b[K{}", text());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.since_shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
