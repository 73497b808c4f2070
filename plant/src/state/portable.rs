//! `export` and `import`: scopes as lines of JSON.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::thread;

use plantd_client::state::{Entry, Operation, ReadError};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::progress::Progress;
use super::render::Scoped;
use super::{Service, Subject};
use crate::cli::{ExportArguments, ImportArguments};
use crate::failure::Failure;
use crate::output::{Format, Output, units};
use crate::signals::StopSignals;

/// The most operations of a batch, and bytes of its lines.
const BATCH_LINES: usize = 500;
const BATCH_BYTES: usize = 2 << 20;
/// Lines that are read ahead.
const LINES_AHEAD: usize = 64;

impl Service {
    /// Writes every key of some scopes or all.
    pub(super) async fn export(
        &self,
        arguments: ExportArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let are_all = arguments.scopes.is_empty();
        let scopes = if are_all {
            let scopes = self.state.scopes("").all().await;
            match scopes {
                Ok(scopes) => scopes,
                Err(error) => {
                    return Err(self.read_failure(&Subject::scope("scopes"), error).await);
                }
            }
        } else {
            arguments.scopes
        };
        let mut progress = Progress::start();
        let mut count = 0_u64;
        for name in scopes {
            let mut entries = self
                .state
                .scope(&name)
                .list()
                .prefix(&arguments.prefix)
                .entries();
            while let Some(entry) = entries.next().await {
                let entry = match entry {
                    Ok(entry) => entry,
                    // Deleted since all scopes were listed.
                    Err(ReadError::NoScope) if are_all => break,
                    Err(error) => {
                        return Err(self.read_failure(&Subject::scope(&name), error).await);
                    }
                };
                output.json(&Scoped {
                    scope: &name,
                    of: &entry,
                })?;
                count += 1;
                progress.show(|| units::counted(count, "key"));
            }
        }
        Ok(())
    }

    /// Writes what an export has, a batch after another.
    pub(super) async fn import(
        &self,
        arguments: ImportArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Imported {
            lines: u64,
        }
        let mut stop = StopSignals::catch()?;
        let mut lines = read_ahead(arguments.file.as_deref())?;
        let mut progress = Progress::start();
        let mut pending = Pending::default();
        let mut done = 0;
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = stop.next() => {
                    drop(progress);
                    return Err(Failure::Unfinished(stopped_after(done)));
                }
            };
            let line = match line.transpose() {
                Ok(line) => line,
                Err(failure) => {
                    return Err(self.finish(pending, done).await.err().unwrap_or(failure));
                }
            };
            if done < arguments.skip && line.is_some() {
                done += 1;
                continue;
            }
            let parsed = match line.as_deref().map(Line::parse).transpose() {
                Ok(parsed) => parsed,
                Err(problem) => {
                    done = self.finish(pending, done).await?;
                    let problem = format!("line {}: {problem}; {}", done + 1, stopped_after(done));
                    return Err(Failure::Usage(problem));
                }
            };
            let has_room = parsed
                .as_ref()
                .is_some_and(|line| pending.has_room_for(line));
            if !has_room {
                done = self.finish(std::mem::take(&mut pending), done).await?;
                progress.show(|| units::counted(done, "line"));
            }
            let Some(line) = parsed else {
                break;
            };
            pending.add(line, arguments.create_only);
        }
        drop(progress);
        match output.format() {
            Format::Json => output.json(&Imported { lines: done }),
            Format::Text => output.line(&format!("{} imported", units::counted(done, "line"))),
        }
    }

    /// Writes a batch; returns how many lines are done with it.
    async fn finish(&self, pending: Pending, done: u64) -> Result<u64, Failure> {
        let lines = pending.lines();
        if lines == 0 {
            return Ok(done);
        }
        match self.state.batch(pending.operations).await {
            Ok(_) => Ok(done + lines),
            Err(error) => {
                let subject = Subject::scope(&format!(
                    "lines {} to {}, {}",
                    done + 1,
                    done + lines,
                    stopped_after(done)
                ));
                Err(self.write_failure(&subject, error).await)
            }
        }
    }
}

fn stopped_after(done: u64) -> String {
    format!("{done} lines are imported, and --skip {done} goes on after them")
}

/// A line of an export.
#[derive(Debug)]
struct Line {
    scope: String,
    entry: Entry,
    bytes: usize,
}

impl Line {
    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Scope {
            scope: String,
        }
        let Scope { scope } = serde_json::from_str(text)?;
        Ok(Self {
            scope,
            entry: serde_json::from_str(text)?,
            bytes: text.len(),
        })
    }
}

/// Lines that are to be written at once: of one scope, so that they are with one daemon, and each
/// key once.
#[derive(Debug, Default)]
struct Pending {
    scope: String,
    keys: HashSet<String>,
    operations: Vec<Operation>,
    bytes: usize,
}

impl Pending {
    fn lines(&self) -> u64 {
        self.operations.len() as u64
    }

    fn has_room_for(&self, line: &Line) -> bool {
        self.operations.is_empty()
            || self.scope == line.scope
                && !self.keys.contains(&line.entry.key)
                && self.operations.len() < BATCH_LINES
                && self.bytes + line.bytes <= BATCH_BYTES
    }

    fn add(&mut self, line: Line, is_create_only: bool) {
        let Entry {
            key, value, ttl, ..
        } = line.entry;
        let set = match ttl {
            None => Operation::set(&line.scope, &key, value),
            Some(ttl) => Operation::set_for(&line.scope, &key, value, ttl),
        };
        self.operations.push(if is_create_only {
            set.create_only()
        } else {
            set
        });
        self.scope = line.scope;
        self.keys.insert(key);
        self.bytes += line.bytes;
    }
}

/// Lines as they are read, by a thread that may wait for stdin while the connection lives on.
fn read_ahead(path: Option<&Path>) -> Result<mpsc::Receiver<Result<String, Failure>>, Failure> {
    let name = path.map_or("stdin".to_owned(), |path| path.display().to_string());
    let reading = move |error| Failure::System {
        what: format!("read {name}"),
        error,
    };
    let file = path.map(File::open).transpose().map_err(&reading)?;
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    thread::spawn(move || {
        let source: Box<dyn BufRead> = match file {
            Some(file) => Box::new(BufReader::new(file)),
            None => Box::new(BufReader::new(io::stdin())),
        };
        for line in source.lines() {
            // Who does not want the next line has gone.
            if sender.blocking_send(line.map_err(&reading)).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(scope: &str, key: &str) -> Line {
        let text =
            format!(r#"{{"scope":"{scope}","key":"{key}","value":1,"version":3,"timestamp":5}}"#);
        Line::parse(&text).unwrap()
    }

    #[test]
    fn a_batch_has_one_scope_and_each_key_once() {
        let mut pending = Pending::default();
        assert!(pending.has_room_for(&line("a", "1")));
        pending.add(line("a", "1"), false);
        assert!(pending.has_room_for(&line("a", "2")));
        assert!(!pending.has_room_for(&line("a", "1")));
        assert!(!pending.has_room_for(&line("b", "2")));
    }

    #[test]
    fn a_line_without_a_scope_or_a_value_is_refused() {
        for text in [
            r#"{"key":"1","value":1,"version":3,"timestamp":5}"#,
            r#"{"scope":"a","key":"1","version":3,"timestamp":5}"#,
            "[]",
            "",
        ] {
            assert!(Line::parse(text).is_err(), "{text}");
        }
    }
}
