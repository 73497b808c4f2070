//! What the broker says of itself: `services`, `workers` and `broker`.

use std::time::Duration;

use plantd_client::{RequestError, ServiceName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::Options;
use crate::connect::{ask, connect};
use crate::failure::Failure;
use crate::output::{Column, Format, Output, Table, units};

/// What `mmi.services` says; fields that a broker leaves out are their defaults.
#[derive(Debug, Deserialize)]
struct Services {
    total: usize,
    services: Vec<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    name: String,
    workers: u64,
    waiting: u64,
    queued: u64,
    queued_bytes: u64,
}

/// What `mmi.workers` says.
#[derive(Debug, Deserialize)]
struct Workers {
    total: usize,
    workers: Vec<Worker>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Worker {
    service: String,
    address: String,
    name: Option<String>,
    version: Option<String>,
    protocol: String,
    unanswered: u64,
    credit: u64,
    silent_ms: u64,
}

pub(crate) async fn services(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let client = connect(options).await?;
    let data = ask(&client, options, "services", None).await?;
    match output.format() {
        Format::Json => output.json(&data),
        Format::Text => output.line(&services_text(&read(data)?)),
    }
}

pub(crate) async fn workers(
    options: &Options,
    service: Option<ServiceName>,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = connect(options).await?;
    let name = service.as_ref().map(ServiceName::as_str);
    let data = ask(&client, options, "workers", name).await?;
    let workers: Workers = read(data.clone())?;
    match output.format() {
        Format::Json => output.json(&data)?,
        Format::Text => output.line(&workers_text(&workers))?,
    }
    match service {
        Some(service) if workers.total == 0 => Err(Failure::NoWorker {
            service: service.to_string(),
        }),
        Some(_) | None => Ok(()),
    }
}

pub(crate) async fn broker(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let client = connect(options).await?;
    let data = ask(&client, options, "broker", None).await?;
    match output.format() {
        Format::Json => output.json(&data),
        Format::Text => output.line(&broker_text(&data)),
    }
}

pub(crate) fn read<T: DeserializeOwned>(data: Value) -> Result<T, Failure> {
    serde_json::from_value(data)
        .map_err(|error| Failure::Refused(RequestError::InvalidReply(error.to_string())))
}

fn services_text(listing: &Services) -> String {
    let mut table = Table::new([
        Column::Left("SERVICE"),
        Column::Right("WORKERS"),
        Column::Right("WAITING"),
        Column::Right("QUEUED"),
        Column::Right("QUEUED BYTES"),
    ]);
    for service in &listing.services {
        table.row([
            service.name.clone(),
            service.workers.to_string(),
            service.waiting.to_string(),
            service.queued.to_string(),
            units::bytes(service.queued_bytes),
        ]);
    }
    with_rest(&table, listing.total, listing.services.len())
}

fn workers_text(listing: &Workers) -> String {
    let mut table = Table::new([
        Column::Left("SERVICE"),
        Column::Left("NAME"),
        Column::Left("VERSION"),
        Column::Left("ADDRESS"),
        Column::Left("PROTOCOL"),
        Column::Right("UNANSWERED"),
        Column::Right("CREDIT"),
        Column::Right("SILENT"),
    ]);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for worker in &listing.workers {
        table.row([
            worker.service.clone(),
            or_dash(&worker.name),
            or_dash(&worker.version),
            worker.address.clone(),
            worker.protocol.clone(),
            worker.unanswered.to_string(),
            worker.credit.to_string(),
            units::duration(Duration::from_millis(worker.silent_ms)),
        ]);
    }
    with_rest(&table, listing.total, listing.workers.len())
}

/// A table, and how many rows the broker left out.
pub(crate) fn with_rest<const N: usize>(table: &Table<N>, total: usize, listed: usize) -> String {
    match total.saturating_sub(listed) {
        0 => table.to_string(),
        rest => format!("{table}\n… and {rest} more"),
    }
}

/// Each value of the broker's description on a line, those of tables by their dotted names.
fn broker_text(data: &Value) -> String {
    let mut table = Table::new([Column::Left("KEY"), Column::Left("VALUE")]);
    let mut rows = Vec::new();
    flatten("", data, &mut rows);
    for row in rows {
        table.row(row);
    }
    table.to_string()
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<[String; 2]>) {
    if let Value::Object(table) = value {
        for (key, value) in table {
            let dotted = match name {
                "" => key.clone(),
                _ => format!("{name}.{key}"),
            };
            flatten(&dotted, value, rows);
        }
    } else {
        rows.push(humane(name, value));
    }
}

/// A row whose value is in the unit that its name ends with.
fn humane(name: &str, value: &Value) -> [String; 2] {
    let count = value.as_u64();
    if let (Some(bare), Some(count)) = (name.strip_suffix("_ms"), count) {
        return [
            bare.to_owned(),
            units::duration(Duration::from_millis(count)),
        ];
    }
    if let (true, Some(count)) = (name.ends_with("_bytes"), count) {
        return [name.to_owned(), units::bytes(count)];
    }
    [name.to_owned(), plain(value)]
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_a_table() {
        let data = json!({ "total": 3, "services": [
            { "name": "org.a", "workers": 1, "waiting": 0, "queued": 12, "queued_bytes": 2048 },
            { "name": "org.plantd.State", "workers": 10, "later": true },
        ]});
        let expected = "\
SERVICE           WORKERS  WAITING  QUEUED  QUEUED BYTES
org.a                   1        0      12         2 KiB
org.plantd.State       10        0       0           0 B
… and 1 more";
        assert_eq!(services_text(&read(data).unwrap()), expected);
    }

    #[test]
    fn workers_are_a_table() {
        let data = json!({ "total": 1, "workers": [{
            "service": "org.a", "address": "127.0.0.1:5", "name": null, "version": "0.1.0",
            "protocol": "MDP/0.3", "unanswered": 2, "credit": 8, "streams": 0, "silent_ms": 312,
        }]});
        let expected = "\
SERVICE  NAME  VERSION  ADDRESS      PROTOCOL  UNANSWERED  CREDIT  SILENT
org.a    -     0.1.0    127.0.0.1:5  MDP/0.3            2       8  312 ms";
        assert_eq!(workers_text(&read(data).unwrap()), expected);
    }

    #[test]
    fn the_broker_is_told_by_key_in_the_units_of_people() {
        let data = json!({
            "version": "0.1.0", "protocols": ["MDP/0.1", "MDP/0.2"], "uptime_ms": 90_000,
            "draining": false, "limits": { "body_bytes": 8_388_608, "attempts": 3 },
        });
        let expected = "\
KEY                VALUE
draining           false
limits.attempts    3
limits.body_bytes  8 MiB
protocols          MDP/0.1, MDP/0.2
uptime             1 m 30 s
version            0.1.0";
        assert_eq!(broker_text(&data), expected);
    }

    #[test]
    fn another_answer_is_refused() {
        assert!(read::<Services>(json!({ "services": "none" })).is_err());
    }
}
