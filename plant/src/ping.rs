//! `ping`: the round trip to the broker.

use std::time::Duration;

use plantd_client::Client;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::{Options, PingArguments};
use crate::connect::{ask, connect};
use crate::failure::Failure;
use crate::output::{Format, Output, units};
use crate::stopwatch::{RoundTrips, Stopwatch};

/// One question and what came of it.
#[derive(Debug, Serialize)]
struct Ping {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(
    options: &Options,
    arguments: &PingArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = connect(options).await?;
    let mut sent = 0;
    let mut answered = RoundTrips::default();
    let asking = ask_repeatedly(
        &client,
        options,
        arguments,
        &mut sent,
        &mut answered,
        output,
    );
    tokio::select! {
        asked = asking => asked?,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| Failure::System {
            what: "wait for Ctrl-C".to_owned(),
            error,
        })?,
    }
    if output.format() == Format::Text {
        output.line(&summary(sent, &answered))?;
    }
    if sent > 0 && answered.count() == 0 {
        let reason = format!("no answer from {}", options.brokers());
        return Err(Failure::NotConnected { reason });
    }
    Ok(())
}

async fn ask_repeatedly(
    client: &Client,
    options: &Options,
    arguments: &PingArguments,
    sent: &mut u64,
    answered: &mut RoundTrips,
    output: &mut Output,
) -> Result<(), Failure> {
    // A period of 0 is a panic; asking again at once is what 0 means.
    let mut ticks = interval(arguments.interval.max(Duration::from_nanos(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while arguments.count == 0 || *sent < arguments.count {
        ticks.tick().await;
        *sent += 1;
        let stopwatch = Stopwatch::start();
        let reply = ask(client, options, "heartbeat", None).await;
        let round_trip = stopwatch.elapsed();
        if reply.is_ok() {
            answered.add(round_trip);
        }
        show(*sent, round_trip, reply.err(), options, output)?;
    }
    Ok(())
}

fn show(
    seq: u64,
    round_trip: Duration,
    error: Option<Failure>,
    options: &Options,
    output: &mut Output,
) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.json(&Ping {
            seq,
            round_trip_ms: error.is_none().then(|| units::milliseconds(round_trip)),
            error: error.map(|error| error.to_string()),
        }),
        Format::Text => {
            let broker = options.brokers();
            output.line(&match error {
                None => {
                    let time = units::duration(round_trip);
                    format!("answer from {broker}: seq={seq} time={time}")
                }
                Some(error) => format!("no answer from {broker}: seq={seq} {error}"),
            })
        }
    }
}

fn summary(sent: u64, answered: &RoundTrips) -> String {
    let lost = sent - u64::from(answered.count());
    let percent = (lost * 100).checked_div(sent).unwrap_or_default();
    format!(
        "{sent} sent, {} answered, {percent} % lost{}",
        answered.count(),
        answered.text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_least_average_and_most() {
        let mut answered = RoundTrips::default();
        for millis in [2, 1, 6] {
            answered.add(Duration::from_millis(millis));
        }
        assert_eq!(
            summary(4, &answered),
            "4 sent, 3 answered, 25 % lost; round trip min/avg/max 1 ms / 3 ms / 6 ms"
        );
        assert_eq!(
            summary(0, &RoundTrips::default()),
            "0 sent, 0 answered, 0 % lost"
        );
    }
}
