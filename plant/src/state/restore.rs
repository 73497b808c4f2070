//! `restore`: a backup becomes a database, by the files alone.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use plantd_state::{BackupError, Made, Step};
use serde_json::json;

use super::progress::Progress;
use super::{StateExit, Subject, refused};
use crate::cli::RestoreArguments;
use crate::failure::Failure;
use crate::output::{Format, Output, units};
use crate::signals::StopSignals;

pub(super) async fn run(arguments: RestoreArguments, output: &mut Output) -> Result<(), Failure> {
    let RestoreArguments { backup, to } = arguments;
    let mut signals = StopSignals::catch()?;
    let is_wanted = Arc::new(AtomicBool::new(true));
    let mut restoring = tokio::task::spawn_blocking({
        let (is_wanted, backup, to) = (is_wanted.clone(), backup.clone(), to.clone());
        move || restore(&backup, &to, &is_wanted)
    });
    let restored = loop {
        tokio::select! {
            restored = &mut restoring => break restored,
            () = signals.next() => is_wanted.store(false, Ordering::Relaxed),
        }
    };
    let made = match restored {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return Err(failure(&backup, &error)),
        Err(_) => return Err(Failure::Unfinished("it ended without a result".to_owned())),
    };
    show(&made, &to, output)
}

fn restore(backup: &Path, to: &Path, is_wanted: &AtomicBool) -> Result<Made, BackupError> {
    let mut progress = Progress::start();
    plantd_state::restore(backup, to, &mut |step, done, total| {
        progress.show(|| match step {
            Step::Unpack => {
                let (done, total) = (units::bytes(done), units::bytes(total));
                format!("unpacking: {done} of {total}")
            }
            Step::Check => format!("checking: {done} of {total} rows"),
        });
        is_wanted.load(Ordering::Relaxed)
    })
}

fn show(made: &Made, to: &Path, output: &mut Output) -> Result<(), Failure> {
    if output.format() == Format::Json {
        return output.json(&json!({
            "backup": made.name, "database": to, "bytes": made.bytes, "commits": made.commits,
            "scopes": made.scopes, "keys": made.keys, "timestamp": made.timestamp,
        }));
    }
    let of = Timestamp::from_nanosecond(made.timestamp.into()).unwrap_or_default();
    let to = to.display();
    let keys = units::counted(made.keys, "key");
    let scopes = units::counted(made.scopes, "scope");
    output.line(&format!(
        "{to}: {keys} of {scopes}, as they were at {of:.0} ({})",
        made.name
    ))?;
    output.line(&format!("start it with: plantd-state --db {to}"))
}

fn failure(backup: &Path, error: &BackupError) -> Failure {
    let (code, exit) = match error {
        BackupError::Unknown(_) => ("not-found", StateExit::NotThere),
        BackupError::Damaged(_) => ("damaged", StateExit::Here),
        BackupError::Exists(_) => ("exists", StateExit::Mismatch),
        BackupError::Held(_) => ("busy", StateExit::Mismatch),
        BackupError::Stopped => ("cancelled", StateExit::Here),
        BackupError::File { .. } | BackupError::Store(_) => ("system", StateExit::Here),
    };
    let mut message = error.to_string();
    if let Some(source) = error.source() {
        message = format!("{message}: {source}");
    }
    let subject = Subject::scope(&backup.display().to_string());
    refused(&subject, code, &message, None, exit)
}
