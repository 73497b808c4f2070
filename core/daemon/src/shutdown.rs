//! The stop of a process: one request that everybody can wait for, and the signals that make it.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A request to stop that is made once and seen by everybody who holds a clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// A stop that nobody has asked for.
    #[expect(
        clippy::new_without_default,
        reason = "a default that stands for a wish to stop reads wrong"
    )]
    pub fn new() -> Self {
        Self {
            requested: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Asks everybody to drain and stop. Asking again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    /// Says whether the stop has been asked for.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until the stop is asked for. Cancel safe.
    pub async fn requested(&self) {
        let mut receiver = self.requested.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|requested| *requested).await;
    }
}

/// SIGTERM and SIGINT, caught from construction on.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over from their default action, which is to kill the process.
    ///
    /// # Errors
    /// When the operating system refuses.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_sees_the_one_request() {
        let shutdown = Shutdown::new();
        let elsewhere = shutdown.clone();
        assert!(!shutdown.is_requested());

        let waiting = tokio::spawn(async move { elsewhere.requested().await });
        shutdown.request();
        shutdown.request();

        waiting.await.expect("the waiter sees it");
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
