//! What this program is when it has started itself: a broker or a worker.

pub(crate) mod broker;
pub(crate) mod worker;

/// A broker or a worker.
#[derive(clap::Subcommand)]
#[command(hide = true)]
pub enum Process {
    /// Serves on the broker's own arguments.
    Broker(broker::Arguments),
    /// Answers, and writes down what it is asked.
    Worker(worker::Arguments),
}

impl Process {
    /// Runs until it is killed.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Broker(broker) => broker.run(),
            Self::Worker(worker) => worker.run(),
        }
    }
}
