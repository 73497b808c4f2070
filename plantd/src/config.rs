//! What is configured for the process as a whole: its logs and how long its drain may take.

use plantd_daemon::config::{Settings, Shared};
use serde::{Deserialize, Serialize};

/// The keys of the process. Its parts have configurations of their own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    pub(crate) shared: Shared,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shared: Shared::without_health(),
        }
    }
}

impl Settings for Config {
    const NAME: &'static str = "plantd";
    const ABOUT: &'static str = "\
The broker, the echo module and the metric module in one process.

The keys below are for the process as a whole. Its parts are configured as they are when they run
alone, but for their arguments and logs: by PLANTD_BROKER_<KEY> or broker.yml, PLANTD_MODULE_ECHO_<KEY>
or module-echo.yml, PLANTD_MODULE_METRIC_<KEY> or module-metric.yml, PLANTD_STATE_<KEY> or state.yml. `plantd-broker --help` and its
like list them.";
    const HELP: &'static [(&'static str, &'static str)] = &[];

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn process() -> String {
        "plantd".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use plantd_daemon::config::inconsistencies;

    use super::*;

    #[test]
    fn every_key_is_described_and_the_default_reads_back() {
        assert_eq!(inconsistencies::<Config>(), Vec::<String>::new());
    }
}
