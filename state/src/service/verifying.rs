//! Long work that tells how far it is.

use plantd_client::{Request, WorkerError};
use tokio::sync::mpsc;

use super::Service;
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use crate::store::CheckError;

/// How far long work is: done, of how much.
pub(super) type Progress = (u64, u64);

impl Service {
    /// Reads the whole store against its checksums.
    pub(super) async fn verify(
        &self,
        has_progress: bool,
        request: &mut Request,
    ) -> Result<Result<Vec<u8>, Refusal>, WorkerError> {
        let verify = |service: &Self, report: &mut dyn FnMut(u64, u64) -> bool| {
            let checked = service.store.check(report).map_err(check_refusal)?;
            let mut out = Object::data();
            out.number("scopes", checked.scopes)
                .number("keys", checked.keys)
                .number("changes", checked.changes)
                .number("bytes", checked.bytes)
                .number("commits", checked.commits);
            Ok(out.finish())
        };
        self.long_work(verify, has_progress, request).await
    }

    /// Does long work on a thread of its own, tells how far it is, and stops it when nobody waits.
    pub(super) async fn long_work(
        &self,
        work: impl FnOnce(&Self, &mut dyn FnMut(u64, u64) -> bool) -> Result<Vec<u8>, Refusal>
        + Send
        + 'static,
        has_progress: bool,
        request: &mut Request,
    ) -> Result<Result<Vec<u8>, Refusal>, WorkerError> {
        // One place: what the reader has not taken is replaced by what comes later.
        let (sender, mut reports) = mpsc::channel::<Progress>(1);
        let working = self.in_the_background(move |service| {
            let mut report = |done, total| {
                let is_wanted = !sender.is_closed() && !service.stop.is_requested();
                let _ = sender.try_send((done, total));
                is_wanted
            };
            work(service, &mut report)
        });
        tokio::pin!(working);
        loop {
            tokio::select! {
                done = &mut working => return Ok(done),
                Some((done, total)) = reports.recv() => if has_progress {
                    let mut out = Object::data();
                    out.number("done", done).number("total", total);
                    request.partials().send(out.finish()).await?;
                }
            }
        }
    }
}

fn check_refusal(error: CheckError) -> Refusal {
    match error {
        CheckError::Rows { .. } | CheckError::Structure(_) => {
            Refusal::new(Code::Damaged, error.to_string())
        }
        CheckError::Stopped => Refusal::new(Code::Draining, "the daemon stops"),
        CheckError::Fault(fault) => fault.refusal(),
    }
}
