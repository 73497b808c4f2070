//! The one shape of every daemon's `main`.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime;

use crate::config::{self, CommandLine, ConfigErrors, Settings, Shared, Sources};
use crate::health::{BindError, Health, HealthServer};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, StopSignals};

const CONFIGURATION_REFUSED: u8 = 64;

/// Threads that share health, signals and the daemon's own tasks.
const WORKER_THREADS: usize = 2;

/// How long blocking work may hold the process after `run` has ended.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

/// What a running daemon shares with the process around it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// The request to drain and stop.
    pub shutdown: Shutdown,
    /// Checks, pulses and readiness; `started` is for `run` to call.
    pub health: Health,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

impl Daemon {
    /// A daemon that stops with `shutdown` and has checks and metrics of its own.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            health: Health::new(shutdown.clone()),
            metrics: Metrics::new(),
            shutdown,
        }
    }

    /// Serves its health and metrics where `shared` says, until the server is dropped.
    ///
    /// # Errors
    /// When the address is taken or is not this host's.
    pub async fn serve_health(&self, shared: &Shared) -> Result<Option<HealthServer>, BindError> {
        let Some(address) = shared.health_socket() else {
            return Ok(None);
        };
        let server =
            HealthServer::start(address, self.health.clone(), self.metrics.clone()).await?;
        tracing::info!(
            context = "daemon.health",
            address = %server.address(),
            version = crate::VERSION,
            "health and metrics are served"
        );
        Ok(Some(server))
    }
}

/// Runs a daemon: arguments, configuration, logs, health server, `run`, exit code.
///
/// `run` calls `daemon.health.started()` once it serves, drains when `daemon.shutdown` is requested
/// (SIGTERM or SIGINT), and returns. It is given up when the drain takes longer than
/// `shutdown_timeout`; a second signal ends the process at once. It runs on a multi-thread runtime,
/// on the thread that called.
///
/// Exit codes: 0 after a clean drain and for `--help`, 64 for a refused configuration (also when
/// `run` fails with [`ConfigErrors`]), else 1.
pub fn run_main<T, F>(run: impl FnOnce(T, Daemon) -> F) -> ExitCode
where
    T: Settings,
    F: Future<Output = anyhow::Result<()>>,
{
    let config = match config::command_line::<T>(&Sources::process()) {
        Ok(CommandLine::Run(loaded)) => loaded.config,
        Ok(CommandLine::Print(text)) => {
            // A reader that went away has seen what it wanted.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(errors) => return refuse::<T>(errors, ExitCode::from(CONFIGURATION_REFUSED)),
    };
    let logs = match Logs::start(T::NAME, config.shared()) {
        Ok(logs) => Arc::new(logs),
        Err(error) => return refuse::<T>(format!("{:#}", anyhow!(error)), ExitCode::FAILURE),
    };
    panic::set_hook(Box::new(log_panic));
    let ended = panic::catch_unwind(AssertUnwindSafe(|| serve(config, &logs, run)));
    let code = match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => match error.downcast::<ConfigErrors>() {
            Ok(errors) => refuse::<T>(errors, ExitCode::from(CONFIGURATION_REFUSED)),
            Err(error) => {
                tracing::error!(context = "daemon.failed", "{error:#}");
                ExitCode::FAILURE
            }
        },
        // The hook has logged it.
        Err(_) => ExitCode::FAILURE,
    };
    logs.flush();
    code
}

fn refuse<T: Settings>(reason: impl Display, code: ExitCode) -> ExitCode {
    // Without a stderr there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}: {reason}", T::process());
    code
}

fn serve<T, F>(config: T, logs: &Arc<Logs>, run: impl FnOnce(T, Daemon) -> F) -> anyhow::Result<()>
where
    T: Settings,
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(async {
        let daemon = Daemon::new(Shutdown::new());
        let signals = StopSignals::catch().context("catch SIGTERM and SIGINT")?;
        tokio::spawn(obey(signals, daemon.shutdown.clone(), logs.clone()));
        daemon.metrics.register("log", |registry| {
            let help = "Log lines that could not be written fast enough";
            registry.register("lines_dropped", help, logs.dropped());
        });
        let _server = daemon.serve_health(config.shared()).await?;
        let drain_limit = config.shared().shutdown_timeout;
        let shutdown = daemon.shutdown.clone();
        let overdue = async {
            shutdown.requested().await;
            tokio::time::sleep(drain_limit.into()).await;
        };
        tokio::select! {
            ended = run(config, daemon) => ended,
            () = overdue => Err(anyhow!("the drain took longer than shutdown_timeout, {drain_limit}")),
        }
    });
    runtime.shutdown_timeout(LEFT_BEHIND);
    if ended.is_ok() {
        tracing::info!(context = "daemon.stopped", "stopped");
    }
    ended
}

/// The first signal asks for the drain, the second ends the process.
async fn obey(mut signals: StopSignals, shutdown: Shutdown, logs: Arc<Logs>) {
    let signal = signals.next().await;
    tracing::info!(context = "daemon.drain", signal, "draining");
    shutdown.request();
    let signal = signals.next().await;
    tracing::warn!(
        context = "daemon.abort",
        signal,
        "stopped at once by a second signal"
    );
    logs.flush();
    process::exit(1);
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("no message");
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(context = "daemon.panic", location, "panicked: {reason}");
}
