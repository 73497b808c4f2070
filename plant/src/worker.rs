//! `worker`: serves a service by echoing or by a command, until Ctrl-C.

mod exec;
mod journal;

use std::pin::pin;
use std::sync::Arc;

use plantd_client::{Body, Request, Served, Worker, WorkerError};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::cli::{Options, WorkerArguments};
use crate::connect::not_connected;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::StopSignals;
use journal::{Journal, Reports};

/// How a request is answered.
#[derive(Debug)]
enum Action {
    Echo,
    Exec { command: String },
}

pub(crate) async fn run(
    options: &Options,
    arguments: WorkerArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let worker = Worker::builder(arguments.service.as_str())
        .brokers(options.broker.iter().map(ToString::to_string))
        .transport(options.transport.into())
        .concurrency(arguments.concurrency as usize)
        .name(arguments.name)
        .version(env!("CARGO_PKG_VERSION"))
        .build()?;
    let action = Arc::new(match arguments.action.exec {
        Some(command) => Action::Exec { command },
        None => Action::Echo,
    });
    let (reports, journal) = Journal::new(arguments.service, arguments.verbose);
    let handler = move |request| answer(action.clone(), request, reports.clone());
    serve(worker, handler, journal, options, output).await
}

async fn answer(
    action: Arc<Action>,
    request: Request,
    reports: Reports,
) -> Result<Body, WorkerError> {
    let report = reports.begin(&request);
    let result = match &*action {
        Action::Echo => Ok(request.into_body()),
        Action::Exec { command } => exec::run(command, request.body()).await,
    };
    report.end(&result);
    result
}

/// Serves until a signal, and prints what happens meanwhile.
async fn serve<H, F>(
    worker: Worker,
    handler: H,
    mut journal: Journal,
    options: &Options,
    output: &mut Output,
) -> Result<(), Failure>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Body, WorkerError>> + Send + 'static,
{
    let mut signals = StopSignals::catch()?;
    let mut status = worker.status();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let mut serving = pin!(worker.serve(handler, async {
        // The sender says nothing: it is dropped.
        let _ = stopped.await;
    }));
    let mut impatience = pin!(sleep(options.connect_timeout()));
    let served = loop {
        tokio::select! {
            served = &mut serving => break served,
            Ok(()) = status.changed(), if stop.is_some() => {
                journal.show_status(&status.borrow_and_update(), output)?;
            }
            Some(report) = journal.next() => journal.show(&report, output)?,
            () = signals.next() => {
                if stop.take().is_none() {
                    let what = "stopped at once by a second signal".to_owned();
                    return Err(Failure::Unfinished(what));
                }
            }
            () = &mut impatience, if !journal.was_registered() => {
                return Err(not_connected("cannot register at", options, &status.borrow()));
            }
        }
    };
    journal.close(output)?;
    match served {
        Served::Drained => Ok(()),
        Served::TimedOut { unfinished } => Err(Failure::Unfinished(format!(
            "{unfinished} requests were not finished in time and are given to another worker"
        ))),
    }
}
