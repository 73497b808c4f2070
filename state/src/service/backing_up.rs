//! Backups: made when asked for and at intervals, and verified.

use std::time::Duration;

use jiff::Timestamp;
use plantd_client::{Request, WorkerError};
use tokio::sync::OwnedSemaphorePermit;

use super::Service;
use crate::backups::{BackupError, Made};
use crate::refusal::{Code, Refusal};
use crate::reply::Object;

impl Service {
    pub(super) async fn back_up(
        &self,
        has_progress: bool,
        request: &mut Request,
    ) -> Result<Result<Vec<u8>, Refusal>, WorkerError> {
        let place = match self.take_turn() {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let work = move |service: &Self, report: &mut dyn FnMut(u64, u64) -> bool| {
            let _place = place;
            let made = service
                .make_backup(report)
                .map_err(|error| refusal(&error))?;
            let mut out = Object::data();
            out.text("backup", &made.name)
                .number("bytes", made.bytes)
                .number("commits", made.commits)
                .number("scopes", made.scopes)
                .number("keys", made.keys)
                .number("timestamp", made.timestamp as u64);
            Ok(out.finish())
        };
        self.long_work(work, has_progress, request).await
    }

    pub(super) async fn verify_backup(
        &self,
        backup: String,
        has_progress: bool,
        request: &mut Request,
    ) -> Result<Result<Vec<u8>, Refusal>, WorkerError> {
        let work = move |service: &Self, report: &mut dyn FnMut(u64, u64) -> bool| {
            let checked = service
                .backups
                .verify(&backup, report)
                .map_err(|error| refusal(&error))?;
            let mut out = Object::data();
            out.text("backup", &backup)
                .number("scopes", checked.scopes)
                .number("keys", checked.keys)
                .number("changes", checked.changes)
                .number("bytes", checked.bytes)
                .number("commits", checked.commits);
            Ok(out.finish())
        };
        self.long_work(work, has_progress, request).await
    }

    /// Makes backups at intervals and removes the oldest, until the daemon stops.
    pub(crate) async fn keep_backing_up(self, interval: Duration, keep: usize) {
        self.show_newest_backup();
        if interval.is_zero() {
            return;
        }
        loop {
            let age = self.backup_age().unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(interval.saturating_sub(age)) => {}
                () = self.stop.requested() => return,
            }
            let made = self
                .in_the_background(move |service| {
                    let _place = service.take_turn()?;
                    let goes_on = &mut |_, _| !service.stop.is_requested();
                    let made = service
                        .make_backup(goes_on)
                        .map_err(|error| refusal(&error))?;
                    let removed = service
                        .backups
                        .keep(keep)
                        .map_err(|error| refusal(&error))?;
                    tracing::info!(
                        context = "state.backup",
                        backup = made.name,
                        bytes = made.bytes,
                        removed,
                        "a backup is made"
                    );
                    Ok(())
                })
                .await;
            if let Err(error) = made {
                tracing::warn!(context = "state.backup", %error, "a backup could not be made");
                // Its age says when the next is due; a failure has none.
                tokio::select! {
                    () = tokio::time::sleep(interval.min(RETRY)) => {}
                    () = self.stop.requested() => return,
                }
            }
        }
    }

    /// How old the newest backup is.
    pub(super) fn backup_age(&self) -> Option<Duration> {
        let newest = self.backups.newest()?;
        let made = Timestamp::from_nanosecond(newest.timestamp.into()).ok()?;
        Some(Timestamp::now().duration_since(made).unsigned_abs())
    }

    fn make_backup(&self, report: &mut dyn FnMut(u64, u64) -> bool) -> Result<Made, BackupError> {
        let made = self.backups.make(&self.store, Timestamp::now(), report);
        match &made {
            Ok(_) => self.metrics.backups.inc(),
            Err(_) => self.metrics.backup_failures.inc(),
        };
        self.show_newest_backup();
        made
    }

    fn show_newest_backup(&self) {
        let timestamp = self.backups.newest().map_or(0, |made| made.timestamp);
        self.metrics.backup_seconds.set(timestamp / 1_000_000_000);
    }

    /// One backup at a time.
    fn take_turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = self.backing_up.clone().try_acquire_owned();
        place.map_err(|_| Refusal::new(Code::Busy, "a backup is under way"))
    }
}

/// After how long a backup that failed is tried again, at most.
const RETRY: Duration = Duration::from_secs(600);

fn refusal(error: &BackupError) -> Refusal {
    match error {
        BackupError::Unknown(_) => Refusal::new(Code::NotFound, error.to_string()),
        BackupError::Damaged(_) => Refusal::new(Code::Damaged, error.to_string()),
        BackupError::File { path, source } => {
            let is_full = source.kind() == std::io::ErrorKind::StorageFull;
            let code = if is_full {
                Code::Full
            } else {
                Code::Unavailable
            };
            Refusal::new(code, format!("{path}: {source}"))
        }
        BackupError::Store(fault) => fault.refusal(),
        BackupError::Stopped => Refusal::new(Code::Draining, "the daemon stops"),
        BackupError::Exists(_) | BackupError::Held(_) => {
            Refusal::new(Code::Unavailable, error.to_string())
        }
    }
}
