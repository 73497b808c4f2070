//! What the router and the buses hold together, against one limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of requests, of buses and of all outboxes. Each side says once a turn what it holds;
/// clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    limit_bytes: usize,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    requests_bytes: AtomicUsize,
    buses_bytes: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            held: Arc::default(),
        }
    }

    /// The router says what requests and its outboxes take, and hears what the buses do.
    pub(crate) fn exchange_requests(&self, bytes: usize) -> usize {
        self.held.requests_bytes.store(bytes, Ordering::Relaxed);
        self.held.buses_bytes.load(Ordering::Relaxed)
    }

    /// The buses say what they take with their outboxes, and hear whether all is too much.
    pub(crate) fn exchange_buses(&self, bytes: usize) -> bool {
        self.held.buses_bytes.store(bytes, Ordering::Relaxed);
        self.held.requests_bytes.load(Ordering::Relaxed) + bytes > self.limit_bytes
    }
}
