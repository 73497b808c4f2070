//! `watch`: changes as they are made.

use plantd_client::state::{Change, WatchError, WatchItem};
use serde::Serialize;
use serde_json::json;

use super::render::{self, Scoped};
use super::{Service, StateExit, Subject, refused};
use crate::cli::WatchArguments;
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::signals::StopSignals;

impl Service {
    pub(super) async fn watch(
        &self,
        arguments: WatchArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let subject = Subject::scope(scope.name());
        let mut watch = match &arguments.key {
            Some(key) => scope.watch().key(key),
            None => scope.watch().prefix(&arguments.prefix),
        };
        if let Some(sequence) = arguments.from {
            watch = watch.from(sequence);
        }
        if arguments.snapshot {
            watch = watch.snapshot();
        }
        if arguments.no_values {
            watch = watch.without_values();
        }
        let mut stop = StopSignals::catch()?;
        let mut watch = match watch.start().await {
            Ok(watch) => watch,
            Err(error) => return Err(self.watch_failure(&subject, error).await),
        };
        let mut changes = 0;
        while arguments.count.is_none_or(|count| changes < count) {
            let item = tokio::select! {
                item = watch.next() => item,
                () = stop.next() => return Ok(()),
            };
            match item {
                None => return Ok(()),
                Some(Err(error)) => return Err(self.watch_failure(&subject, error).await),
                Some(Ok(item)) => {
                    changes += u64::from(matches!(item, WatchItem::Change(_)));
                    show(scope.name(), &item, output)?;
                }
            }
        }
        Ok(())
    }

    async fn watch_failure(&self, subject: &Subject, error: WatchError) -> Failure {
        match error {
            WatchError::Failed(error) => self.state_failure(subject, error).await,
            WatchError::NoScope | _ => {
                refused(subject, error.code(), &error, None, StateExit::NotThere)
            }
        }
    }
}

/// A key that there is, in JSON.
#[derive(Debug, Serialize)]
struct Present<'a> {
    snapshot: bool,
    #[serde(flatten)]
    change: &'a Change,
}

fn show(scope: &str, item: &WatchItem, output: &mut Output) -> Result<(), Failure> {
    match (item, output.format()) {
        (WatchItem::Change(change), Format::Json) => output.json(&Scoped { scope, of: change }),
        (WatchItem::Value(change), Format::Json) => output.json(&Scoped {
            scope,
            of: &Present {
                snapshot: true,
                change,
            },
        }),
        (WatchItem::Change(change) | WatchItem::Value(change), Format::Text) => {
            output.line(&render::change(change))
        }
        (WatchItem::SnapshotBegin, Format::Json) => {
            output.json(&json!({ "scope": scope, "event": "snapshot-begin" }))
        }
        (WatchItem::SnapshotEnd, Format::Json) => {
            output.json(&json!({ "scope": scope, "event": "snapshot-end" }))
        }
        (WatchItem::SnapshotBegin, Format::Text) => output.line("# what there is"),
        (WatchItem::SnapshotEnd, Format::Text) => output.line("# changes"),
        (WatchItem::Gap { after, until }, Format::Json) => {
            output.json(&json!({ "scope": scope, "event": "gap", "after": after, "until": until }))
        }
        (WatchItem::Gap { after, until }, Format::Text) => {
            output.line(&format!("# changes after {after} up to {until} are lost"))
        }
    }
}
