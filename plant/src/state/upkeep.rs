//! `backup` and `verify`: long work of the service.

use plantd_client::state::{StateError, Upkeep, UpkeepItem};
use serde_json::json;

use super::progress::Progress;
use super::{Service, Subject};
use crate::failure::Failure;
use crate::output::{Format, Output, units};

fn backup_line(name: &str, keys: u64, bytes: u64) -> String {
    format!(
        "{name}: {}, {}",
        units::counted(keys, "key"),
        units::bytes(bytes)
    )
}

impl Service {
    pub(super) async fn backup(&self, output: &mut Output) -> Result<(), Failure> {
        let done = self.follow("backup", self.state.backup().await).await?;
        match output.format() {
            Format::Json => output.json(&json!({
                "backup": done.name, "bytes": done.bytes, "commits": done.commits,
                "scopes": done.scopes, "keys": done.keys, "shards": done.shards,
            })),
            Format::Text if done.shards.is_empty() => {
                output.line(&backup_line(&done.name, done.keys, done.bytes))
            }
            Format::Text => done.shards.iter().try_for_each(|it| {
                let line = backup_line(&it.name, it.keys, it.bytes);
                output.line(&format!("{}: {line}", it.shard))
            }),
        }
    }

    pub(super) async fn verify(
        &self,
        backup: Option<&str>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let work = self.state.verify(backup).await;
        let done = self.follow(backup.unwrap_or("verify"), work).await?;
        match output.format() {
            Format::Json => output.json(&json!({
                "scopes": done.scopes, "keys": done.keys, "changes": done.changes,
                "bytes": done.bytes, "backup": done.backup,
            })),
            Format::Text => output.line(&format!(
                "as they were written: {} and {} of {}",
                units::counted(done.keys, "key"),
                units::counted(done.changes, "change"),
                units::counted(done.scopes, "scope"),
            )),
        }
    }

    /// Waits for long work, and shows how far it is.
    async fn follow<T>(
        &self,
        what: &str,
        work: Result<Upkeep<T>, StateError>,
    ) -> Result<T, Failure> {
        let subject = Subject::scope(what);
        let mut progress = Progress::start();
        let mut work = match work {
            Ok(work) => work,
            Err(error) => return Err(self.state_failure(&subject, error).await),
        };
        while let Some(item) = work.next().await {
            match item {
                Ok(UpkeepItem::Done(done)) => return Ok(done),
                Ok(UpkeepItem::Progress { done, total }) => {
                    let (done, total) = (units::bytes(done), units::bytes(total));
                    progress.show(|| format!("{done} of {total}"));
                }
                Err(error) => return Err(self.state_failure(&subject, error).await),
            }
        }
        Err(Failure::Unfinished(format!(
            "{what} ended without a result"
        )))
    }
}
