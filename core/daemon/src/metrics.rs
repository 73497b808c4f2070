//! Metrics: one registry that several parts register into, written as Prometheus text.

mod process;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use process::Process;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process. Clones are the same registry.
///
/// Begins with `plantd_build_info` and the process's start, CPU time, memory and descriptors.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// A registry with what every process has.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", crate::VERSION)]);
        registry.register("plantd_build", "Version of this process", build);
        registry.register_collector(Box::new(Process::started()));
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// Registers the metrics of one part, whose names get the prefix `plantd_<part>_`.
    ///
    /// The registry adds `_total` to counters and the unit of `register_with_unit` by itself.
    pub fn register(&self, part: &str, register: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        register(registry.sub_registry_with_prefix(format!("plantd_{}", part.replace('-', "_"))));
    }

    /// All metrics as text of [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
