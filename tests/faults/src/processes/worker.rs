//! A worker in a process of its own, which writes down what it is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plantd_client::{Request, Transport, Worker, WorkerError};

use crate::ledger::Journal;

/// What a worker serves, and where.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long)]
    endpoint: String,
    #[arg(long, default_value = SERVICE)]
    service: String,
    #[arg(long)]
    journal: PathBuf,
    /// Over the `zeromq` crate.
    #[arg(long)]
    zeromq: bool,
}

/// The service that is asked by all who mind what they get.
pub(crate) const SERVICE: &str = "answer";

impl Arguments {
    /// Answers `<id> <milliseconds> <bytes>` by `<id> <process>` after this time, until it is killed.
    /// The answer to the id 0 has so many bytes, and is not written down.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let journal = Journal::open(&self.journal).context("open the journal")?;
        let journal = Arc::new(journal);
        let transport = if self.zeromq {
            Transport::Zeromq
        } else {
            Transport::Plantd
        };
        let soon = Duration::from_millis(50);
        let worker = Worker::builder(&self.service)
            .broker(&self.endpoint)
            .transport(transport)
            .concurrency(4)
            .reconnect_delays(soon, 10 * soon)
            .build()?;
        let answer = move |request: Request| {
            let journal = Arc::clone(&journal);
            async move { answer(&journal, &request).await }
        };
        worker.serve(answer, std::future::pending()).await;
        Ok(())
    }
}

async fn answer(journal: &Journal, request: &Request) -> Result<String, WorkerError> {
    let refused = |why: String| WorkerError::new("refused", why);
    let asked = request
        .body()
        .text()
        .map_err(|error| refused(error.to_string()))?;
    let fields: Result<Vec<u64>, _> = asked.split(' ').map(str::parse).collect();
    let Ok([id, milliseconds, bytes]) = fields.as_deref() else {
        return Err(refused(format!("{asked:?} is no request")));
    };
    if *id == 0 {
        return Ok("x".repeat(usize::try_from(*bytes).unwrap_or_default()));
    }
    journal
        .begins(*id)
        .map_err(|error| refused(error.to_string()))?;
    tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
    Ok(format!("{id} {}", std::process::id()))
}
