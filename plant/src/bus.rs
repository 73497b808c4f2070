//! `plant bus`: looks at buses, subscribes to them and publishes on them.

pub(crate) mod directory;
mod publish;
mod record;
mod subscribe;
mod top;
mod traffic;

use crate::cli::{BusArguments, BusCommand, Options};
use crate::connect::{ask, connect};
use crate::failure::Failure;
use crate::listing::{read, with_rest};
use crate::output::{Column, Format, Output, Table, units};

use directory::Buses;

pub(crate) async fn run(
    options: &Options,
    arguments: BusArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    match arguments.command {
        BusCommand::List => list(options, output).await,
        BusCommand::Sub(arguments) => subscribe::run(options, arguments, output).await,
        BusCommand::Pub(arguments) => publish::run(options, arguments, output).await,
        BusCommand::Top(arguments) => top::run(options, arguments, output).await,
    }
}

async fn list(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let client = connect(options).await?;
    let data = ask(&client, options, "buses", None).await?;
    match output.format() {
        Format::Json => output.json(&data),
        Format::Text => output.line(&list_text(&read(data)?)),
    }
}

fn list_text(listing: &Buses) -> String {
    let mut table = Table::new([
        Column::Left("BUS"),
        Column::Left("FRONTEND"),
        Column::Left("BACKEND"),
        Column::Right("PUBLISHERS"),
        Column::Right("SUBSCRIBERS"),
        Column::Right("MESSAGES/S"),
        Column::Right("BYTES/S"),
        Column::Right("MESSAGES"),
        Column::Right("DROPPED"),
    ]);
    for bus in &listing.buses {
        table.row([
            bus.name.clone(),
            bus.frontend.join(" "),
            bus.backend.join(" "),
            bus.publishers.to_string(),
            bus.subscribers.to_string(),
            bus.messages_per_second.to_string(),
            units::bytes(bus.bytes_per_second),
            bus.messages.to_string(),
            bus.dropped.to_string(),
        ]);
    }
    with_rest(&table, listing.total, listing.buses.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn buses_are_a_table() {
        let data = json!({ "total": 1, "buses": [{
            "name": "metric", "frontend": ["tcp://127.0.0.1:11000"],
            "backend": ["tcp://127.0.0.1:11001", "ipc:///run/metric"], "publishers": 2,
            "subscribers": 1, "messages_per_second": 12, "bytes_per_second": 2048,
            "messages": 700, "dropped": 3, "later": {},
        }]});
        let expected = "\
BUS     FRONTEND               BACKEND                                  PUBLISHERS  SUBSCRIBERS  MESSAGES/S  BYTES/S  MESSAGES  DROPPED
metric  tcp://127.0.0.1:11000  tcp://127.0.0.1:11001 ipc:///run/metric           2            1          12    2 KiB       700        3";
        assert_eq!(list_text(&read(data).unwrap()), expected);
    }
}
