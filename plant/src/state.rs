//! `state`: what is kept by scope and key.

mod batch;
mod listing;
mod portable;
mod progress;
mod render;
mod restore;
mod upkeep;
mod value;
mod watch;

use std::fmt::Display;
use std::time::Duration;

use plantd_client::state::{ReadError, Scope, StateError, WriteError, Written};
use plantd_client::{ServiceName, State};
use serde::Serialize;

use crate::cli::{
    CasArguments, DeleteArguments, GetArguments, Options, ServiceCommand, SetArguments,
    StateArguments, StateCommand, TouchArguments, ValueArguments,
};
use crate::connect::{connect, nobody_serves};
use crate::failure::{Failure, StateExit};
use crate::output::{Format, Output};

/// The service, and what its failures mean.
#[derive(Debug)]
struct Service {
    state: State,
    client: plantd_client::Client,
    name: ServiceName,
    timeout: Duration,
}

/// What a write came to, in JSON.
#[derive(Debug, Serialize)]
struct WrittenJson<'a> {
    scope: &'a str,
    key: &'a str,
    status: &'a str,
    #[serde(flatten)]
    written: Written,
}

pub(crate) async fn run(
    options: &Options,
    arguments: StateArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let ended = match arguments.command {
        StateCommand::Asked(command) => ask(options, arguments.service, command, output).await,
        StateCommand::Restore(arguments) => restore::run(arguments, output).await,
    };
    if let (Format::Json, Err(failure @ Failure::State { .. })) = (output.format(), &ended) {
        #[derive(Serialize)]
        struct Refused {
            error: crate::failure::FailureJson,
        }
        output.json(&Refused {
            error: failure.to_json(),
        })?;
    }
    ended
}

async fn ask(
    options: &Options,
    name: ServiceName,
    command: ServiceCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    if let ServiceCommand::Get(get) = &command
        && get.raw
        && output.format() == Format::Json
    {
        let problem = "give --raw or --output json, not both";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let client = connect(options).await?;
    let state = State::builder(&client)
        .service(name.as_str())
        .timeout(options.request_timeout())
        .build();
    let service = Service {
        state,
        client,
        name,
        timeout: options.request_timeout(),
    };
    service.run(command, output).await
}

impl Service {
    async fn run(&self, command: ServiceCommand, output: &mut Output) -> Result<(), Failure> {
        match command {
            ServiceCommand::Get(arguments) => self.get(arguments, output).await,
            ServiceCommand::Set(arguments) => self.set(arguments, output).await,
            ServiceCommand::Cas(arguments) => self.cas(arguments, output).await,
            ServiceCommand::Delete(arguments) => self.delete(arguments, output).await,
            ServiceCommand::DeletePrefix { scope, prefix } => {
                self.delete_prefix(&scope, &prefix, output).await
            }
            ServiceCommand::Touch(arguments) => self.touch(arguments, output).await,
            ServiceCommand::List(arguments) => self.list(arguments, output).await,
            ServiceCommand::History(arguments) => self.history(arguments, output).await,
            ServiceCommand::Watch(arguments) => self.watch(arguments, output).await,
            ServiceCommand::Batch(arguments) => self.batch(arguments, output).await,
            ServiceCommand::Scopes { prefix } => self.scopes(&prefix, output).await,
            ServiceCommand::CreateScope { scope } => self.create_scope(&scope, output).await,
            ServiceCommand::DeleteScope { scope } => self.delete_scope(&scope, output).await,
            ServiceCommand::Shards => self.shards(output).await,
            ServiceCommand::Stats { scope } => self.stats(scope.as_deref(), output).await,
            ServiceCommand::Backup => self.backup(output).await,
            ServiceCommand::Verify { backup } => self.verify(backup.as_deref(), output).await,
            ServiceCommand::Export(arguments) => self.export(arguments, output).await,
            ServiceCommand::Import(arguments) => self.import(arguments, output).await,
        }
    }

    async fn get(&self, arguments: GetArguments, output: &mut Output) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let key = arguments.key.as_str();
        let asked = match arguments.version {
            None => scope.get_value(key).await,
            Some(version) => scope.get_version(key, version).await,
        };
        let subject = Subject::of(&scope, key);
        let entry = match asked {
            Ok(entry) => entry,
            Err(error) => return Err(self.read_failure(&subject, error).await),
        };
        let Some(entry) = entry else {
            return Err(not_there(&subject));
        };
        match output.format() {
            Format::Json => output.json(&render::Scoped {
                scope: scope.name(),
                of: &entry,
            }),
            Format::Text if arguments.raw => output.bytes(render::bytes(&entry.value)),
            Format::Text => output.bytes(render::readable(&entry.value).as_bytes()),
        }
    }

    async fn set(&self, arguments: SetArguments, output: &mut Output) -> Result<(), Failure> {
        let conditions = Conditions {
            if_version: arguments.if_version,
            create_only: arguments.create_only,
            in_existing_scope: arguments.in_existing_scope,
        };
        let scope = self.state.scope(&arguments.scope);
        self.write(
            &scope,
            &arguments.key,
            &arguments.value,
            &conditions,
            output,
        )
        .await
    }

    async fn cas(&self, arguments: CasArguments, output: &mut Output) -> Result<(), Failure> {
        let conditions = Conditions {
            if_version: Some(arguments.version),
            create_only: false,
            in_existing_scope: false,
        };
        let scope = self.state.scope(&arguments.scope);
        self.write(
            &scope,
            &arguments.key,
            &arguments.value,
            &conditions,
            output,
        )
        .await
    }

    async fn write(
        &self,
        scope: &Scope,
        key: &str,
        value: &ValueArguments,
        conditions: &Conditions,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut set = scope.set_value(key, value::read(value)?);
        if let Some(version) = conditions.if_version {
            set = set.if_version(version);
        }
        if conditions.create_only {
            set = set.create_only();
        }
        if conditions.in_existing_scope {
            set = set.in_existing_scope();
        }
        if let Some(ttl) = value.ttl {
            set = set.ttl(ttl);
        }
        let written = set.await;
        self.show(scope, key, "set", written, output).await
    }

    async fn delete(&self, arguments: DeleteArguments, output: &mut Output) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let mut delete = scope.delete(&arguments.key);
        if let Some(version) = arguments.if_version {
            delete = delete.if_version(version);
        }
        let written = delete.await;
        if matches!(written, Ok(Written { previous: 0, .. })) && output.format() == Format::Text {
            return output.line("there was none");
        }
        self.show(&scope, &arguments.key, "deleted", written, output)
            .await
    }

    async fn touch(&self, arguments: TouchArguments, output: &mut Output) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let mut touch = scope.touch(&arguments.key, arguments.ttl);
        if let Some(version) = arguments.if_version {
            touch = touch.if_version(version);
        }
        let written = touch.await;
        self.show(&scope, &arguments.key, "touched", written, output)
            .await
    }

    async fn show(
        &self,
        scope: &Scope,
        key: &str,
        status: &str,
        written: Result<Written, WriteError>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let written = match written {
            Ok(written) => written,
            Err(error) => return Err(self.write_failure(&Subject::of(scope, key), error).await),
        };
        match output.format() {
            Format::Json => output.json(&WrittenJson {
                scope: scope.name(),
                key,
                status,
                written,
            }),
            Format::Text => output.line(&format!("version {}", written.version)),
        }
    }
}

/// When a value is written.
#[derive(Debug)]
struct Conditions {
    if_version: Option<u64>,
    create_only: bool,
    in_existing_scope: bool,
}

/// What an operation is about, for people.
#[derive(Debug)]
struct Subject(String);

impl Subject {
    fn of(scope: &Scope, key: &str) -> Self {
        Self(format!("{} {key}", scope.name()))
    }

    fn scope(name: &str) -> Self {
        Self(name.to_owned())
    }
}

fn not_there(subject: &Subject) -> Failure {
    Failure::State {
        subject: subject.0.clone(),
        code: "not-found".to_owned(),
        message: "there is no such key or version".to_owned(),
        present: None,
        exit: StateExit::NotThere,
    }
}

impl Service {
    async fn read_failure(&self, subject: &Subject, error: ReadError) -> Failure {
        match error {
            ReadError::NoScope | ReadError::NotFound => {
                refused(subject, error.code(), &error, None, StateExit::NotThere)
            }
            ReadError::Failed(error) => self.state_failure(subject, error).await,
            ReadError::Value { .. } | _ => {
                refused(subject, error.code(), &error, None, StateExit::Other)
            }
        }
    }

    async fn write_failure(&self, subject: &Subject, error: WriteError) -> Failure {
        let (present, exit) = match of_batch(&error) {
            WriteError::NoScope | WriteError::NotFound => (None, StateExit::NotThere),
            WriteError::ScopeExists => (None, StateExit::Mismatch),
            WriteError::Exists { present } | WriteError::VersionMismatch { present } => {
                (Some(*present), StateExit::Mismatch)
            }
            WriteError::Failed(error) => return self.state_failure(subject, error.clone()).await,
            WriteError::UnknownOutcome(reason) => {
                let message = format!("whether it was written is not known: {reason}");
                return refused(subject, error.code(), &message, None, StateExit::Unknown);
            }
            WriteError::TooLarge { .. }
            | WriteError::Full { .. }
            | WriteError::Value(_)
            | WriteError::InBatch { .. }
            | _ => (None, StateExit::Other),
        };
        let message = if let WriteError::InBatch { source, .. } = &error {
            format!("{error}: {source}")
        } else {
            error.to_string()
        };
        refused(subject, error.code(), &message, present, exit)
    }

    async fn state_failure(&self, subject: &Subject, error: StateError) -> Failure {
        match error {
            StateError::Refused(refusal) => {
                let exit = match refusal.code.as_str() {
                    "no-scope" | "not-found" => StateExit::NotThere,
                    "bad-request" | "too-large" | "cross-shard" => StateExit::Usage,
                    _ => StateExit::Other,
                };
                refused(subject, &refusal.code, &refusal.message, None, exit)
            }
            StateError::Request(error) => {
                if error == plantd_client::RequestError::Timeout
                    && nobody_serves(&self.client, &self.name).await
                {
                    return Failure::NoWorker {
                        service: self.name.to_string(),
                    };
                }
                Failure::of(self.name.as_str(), self.timeout, error)
            }
            error => refused(subject, error.code(), &error, None, StateExit::Other),
        }
    }
}

/// The error of the one operation that a batch was refused for.
fn of_batch(error: &WriteError) -> &WriteError {
    if let WriteError::InBatch { source, .. } = error {
        source
    } else {
        error
    }
}

fn refused(
    subject: &Subject,
    code: &str,
    message: &dyn Display,
    present: Option<u64>,
    exit: StateExit,
) -> Failure {
    Failure::State {
        subject: subject.0.clone(),
        code: code.to_owned(),
        message: message.to_string(),
        present,
        exit,
    }
}
