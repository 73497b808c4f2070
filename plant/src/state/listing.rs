//! Lists: keys, history, scopes; and what the service counts.

use std::time::{Duration, SystemTime};

use plantd_client::state::{Listing, ReadError, ScopeStats, Share, StateStats};
use serde::Serialize;
use serde_json::json;

use super::render::{self, Scoped};
use super::{Service, Subject};
use crate::cli::{HistoryArguments, ListArguments};
use crate::failure::Failure;
use crate::output::body::one_line;
use crate::output::{Column, Format, Output, Table, units};

/// A key, in JSON.
#[derive(Debug, Serialize)]
struct KeyJson<'a> {
    key: &'a str,
}

impl Service {
    pub(super) async fn list(
        &self,
        arguments: ListArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let subject = Subject::scope(scope.name());
        let mut list = scope.list().prefix(&arguments.prefix);
        if let Some(after) = &arguments.after {
            list = list.after(after);
        }
        if arguments.values {
            let entries = list.entries();
            self.each(&subject, entries, arguments.limit, |entry| {
                match output.format() {
                    Format::Json => output.json(&Scoped {
                        scope: scope.name(),
                        of: entry,
                    }),
                    Format::Text => {
                        let (key, value) = (one_line(&entry.key), render::line(&entry.value));
                        output.line(&format!("{key}\t{}\t{value}", entry.version))
                    }
                }
            })
            .await
        } else {
            let keys = list.keys();
            self.each(&subject, keys, arguments.limit, |key| {
                match output.format() {
                    Format::Json => output.json(&Scoped {
                        scope: scope.name(),
                        of: &KeyJson { key },
                    }),
                    Format::Text => output.line(&one_line(key)),
                }
            })
            .await
        }
    }

    pub(super) async fn history(
        &self,
        arguments: HistoryArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let scope = self.state.scope(&arguments.scope);
        let subject = Subject::of(&scope, &arguments.key);
        let history = scope.history(&arguments.key);
        self.each(&subject, history, arguments.limit, |change| {
            match output.format() {
                Format::Json => output.json(&Scoped {
                    scope: scope.name(),
                    of: change,
                }),
                Format::Text => output.line(&render::change(change)),
            }
        })
        .await
    }

    pub(super) async fn scopes(&self, prefix: &str, output: &mut Output) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct ScopeJson<'a> {
            scope: &'a str,
        }
        let scopes = self.state.scopes(prefix);
        self.each(
            &Subject::scope("scopes"),
            scopes,
            None,
            |scope| match output.format() {
                Format::Json => output.json(&ScopeJson { scope }),
                Format::Text => output.line(scope),
            },
        )
        .await
    }

    pub(super) async fn shards(&self, output: &mut Output) -> Result<(), Failure> {
        let map = match self.state.shards().await {
            Ok(map) => map,
            Err(error) => return Err(self.read_failure(&Subject::scope("shards"), error).await),
        };
        if output.format() == Format::Json {
            return output.json(&map);
        }
        if map.iter().len() == 0 {
            return output.line(&format!(
                "{} has every scope: there are no shards",
                self.name
            ));
        }
        let columns = ["SHARD", "SERVICE", "SCOPES"].map(Column::Left);
        let mut table = Table::new(columns);
        for shard in map.iter() {
            for share in &shard.shares {
                let (name, service) = (shard.name.clone(), shard.service.clone());
                table.row([name, service, scopes_of(share)]);
            }
        }
        output.line(&table.to_string())
    }

    /// Shows what is listed, as it comes.
    pub(super) async fn each<T>(
        &self,
        subject: &Subject,
        mut listing: Listing<T>,
        limit: Option<usize>,
        mut show: impl FnMut(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut shown = 0;
        while limit.is_none_or(|limit| shown < limit)
            && let Some(item) = listing.next().await
        {
            match item {
                Ok(item) => show(&item)?,
                Err(error) => return Err(self.read_failure(subject, error).await),
            }
            shown += 1;
        }
        Ok(())
    }

    pub(super) async fn stats(
        &self,
        scope: Option<&str>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let rows = match scope {
            Some(name) => of_scope(name, self.state.scope(name).stats().await),
            None => of_service(self.state.stats().await),
        };
        let subject = Subject::scope(scope.unwrap_or(self.name.as_str()));
        let counts = match rows {
            Ok(counts) => counts,
            Err(error) => return Err(self.read_failure(&subject, error).await),
        };
        match output.format() {
            Format::Json => output.json(&counts.json),
            Format::Text => output.line(&counts.table.to_string()),
        }
    }
}

fn scopes_of(share: &Share) -> String {
    let bounds = [
        ("prefix", &share.prefix),
        ("from", &share.from),
        ("until", &share.until),
    ];
    let bounds = bounds.into_iter();
    let bounds = bounds.filter_map(|(name, bound)| Some(format!("{name} {}", bound.as_ref()?)));
    let bounds = bounds.chain(share.rest.then(|| "the rest".to_owned()));
    bounds.collect::<Vec<_>>().join(" ")
}

/// What is counted, for programs and for people.
struct Counts {
    json: serde_json::Value,
    table: Table<2>,
}

impl Counts {
    fn new(json: serde_json::Value, rows: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut table = Table::new([Column::Left("COUNT"), Column::Right("VALUE")]);
        for (name, value) in rows {
            table.row([name, value]);
        }
        Self { json, table }
    }
}

fn of_service(stats: Result<StateStats, ReadError>) -> Result<Counts, ReadError> {
    let stats = stats?;
    let age = stats.backup_age();
    let each = stats.shards.iter().map(|shard| {
        json!({
            "name": shard.name, "scopes": shard.scopes, "keys": shard.keys,
            "commits": shard.commits, "file-bytes": shard.file_bytes,
            "wal-bytes": shard.wal_bytes, "watchers": shard.watchers,
            "outside": shard.outside,
            "backup-age": shard.backup_age().map(|age| age.as_secs_f64()),
        })
    });
    let each: Vec<_> = each.collect();
    let json = json!({
        "outside": stats.outside, "shards": each,
        "scopes": stats.scopes, "keys": stats.keys, "commits": stats.commits,
        "file-bytes": stats.file_bytes, "wal-bytes": stats.wal_bytes, "watchers": stats.watchers,
        "backup-age": age.map(|age| age.as_secs_f64()),
        "sqlite": stats.sqlite, "version": stats.version,
    });
    let rows = [
        ("scopes", stats.scopes.to_string()),
        ("of other shards", stats.outside.to_string()),
        ("keys", stats.keys.to_string()),
        ("commits", stats.commits.to_string()),
        ("file", units::bytes(stats.file_bytes)),
        ("write-ahead log", units::bytes(stats.wal_bytes)),
        ("watches", stats.watchers.to_string()),
        (
            "last backup",
            age.map_or("none".to_owned(), units::duration),
        ),
        ("sqlite", stats.sqlite),
        ("version", stats.version),
    ];
    // What only some services have.
    let rows = rows
        .into_iter()
        .filter(|(name, value)| match *name {
            "of other shards" => stats.outside > 0,
            "sqlite" => !value.is_empty(),
            _ => true,
        })
        .map(|(name, value)| (name.to_owned(), value));
    let each = stats.shards.iter().map(|shard| {
        let scopes = units::counted(shard.scopes, "scope");
        let keys = units::counted(shard.keys, "key");
        let value = format!("{scopes}, {keys}, {}", units::bytes(shard.file_bytes));
        (format!("shard {}", shard.name), value)
    });
    Ok(Counts::new(json, rows.chain(each)))
}

fn of_scope(name: &str, stats: Result<ScopeStats, ReadError>) -> Result<Counts, ReadError> {
    let stats = stats?;
    let created = stats.created().duration_since(SystemTime::UNIX_EPOCH);
    let created = created.unwrap_or(Duration::ZERO);
    let json = json!({
        "scope": name, "sequence": stats.sequence, "oldest": stats.oldest, "past": stats.past,
        "keys": stats.keys, "created": created.as_nanos() as u64, "published": stats.is_published,
    });
    let rows = [
        ("sequence", stats.sequence.to_string()),
        ("oldest change", stats.oldest.to_string()),
        ("changes before", stats.past.to_string()),
        ("keys", stats.keys.to_string()),
        ("created", format!("{} s", created.as_secs())),
        ("published", stats.is_published.to_string()),
    ];
    let rows = rows.map(|(name, value)| (name.to_owned(), value));
    Ok(Counts::new(json, rows))
}
