//! `batch`: several operations at once.

use std::fs;
use std::io::{self, Read as _};

use plantd_client::state::{Operation, Written};
use serde::Serialize;

use super::{Service, Subject};
use crate::cli::BatchArguments;
use crate::failure::Failure;
use crate::output::{Format, Output, units};

impl Service {
    pub(super) async fn batch(
        &self,
        arguments: BatchArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Results<'a> {
            results: &'a [Written],
        }
        let (name, text) = match &arguments.file {
            Some(path) => (path.display().to_string(), fs::read_to_string(path)),
            None => {
                let mut text = String::new();
                let read = io::stdin().lock().read_to_string(&mut text);
                ("stdin".to_owned(), read.map(|_| text))
            }
        };
        let text = text.map_err(|error| Failure::System {
            what: format!("read {name}"),
            error,
        })?;
        let operations = serde_json::Deserializer::from_str(&text)
            .into_iter::<Operation>()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::Usage(format!("{name}: no operation: {error}")))?;
        let results = match self.state.batch(operations).await {
            Ok(results) => results,
            Err(error) => return Err(self.write_failure(&Subject::scope("batch"), error).await),
        };
        match output.format() {
            Format::Json => output.json(&Results { results: &results }),
            Format::Text => output.line(&format!("{} operations done", results.len())),
        }
    }

    pub(super) async fn delete_prefix(
        &self,
        scope: &str,
        prefix: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let deleted = self.state.scope(scope).delete_prefix(prefix).await;
        self.deleted(scope, deleted, output).await
    }

    pub(super) async fn delete_scope(
        &self,
        scope: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let deleted = self.state.delete_scope(scope).await;
        self.deleted(scope, deleted, output).await
    }

    async fn deleted(
        &self,
        scope: &str,
        deleted: Result<u64, plantd_client::state::WriteError>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Deleted<'a> {
            scope: &'a str,
            deleted: u64,
        }
        let deleted = match deleted {
            Ok(deleted) => deleted,
            Err(error) => return Err(self.write_failure(&Subject::scope(scope), error).await),
        };
        match output.format() {
            Format::Json => output.json(&Deleted { scope, deleted }),
            Format::Text => output.line(&format!("{} deleted", units::counted(deleted, "key"))),
        }
    }

    pub(super) async fn create_scope(
        &self,
        scope: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Created<'a> {
            scope: &'a str,
            status: &'a str,
        }
        match self.state.create_scope(scope).await {
            Ok(()) if output.format() == Format::Json => output.json(&Created {
                scope,
                status: "created",
            }),
            Ok(()) => Ok(()),
            Err(error) => Err(self.write_failure(&Subject::scope(scope), error).await),
        }
    }
}
