//! `bus pub`: publishes something, and ends when the broker has read it.

use plantd_client::{PublishError, Source, Status};
use serde::Serialize;
use tokio::time::{interval, timeout};

use super::directory::{Place, places};
use crate::cli::{Options, PubArguments};
use crate::connect::not_connected;
use crate::failure::Failure;
use crate::input::read_body;
use crate::output::{Format, Output};
use crate::signals::StopSignals;

/// What was done, in JSON.
#[derive(Debug, Serialize)]
struct Published {
    published: u64,
}

pub(super) async fn run(
    options: &Options,
    arguments: PubArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let body = read_body(&arguments.body, &arguments.file)?;
    let mut signals = StopSignals::catch()?;
    let places = places(options, &arguments.choice, |bus| bus.frontend).await?;
    let place = the_one(places)?;
    let source = Source::builder()
        .brokers(&place.endpoints)
        .transport(options.transport.into())
        .build()?;
    let mut status = source.status();
    let connected = timeout(options.connect_timeout(), status.wait_for(Status::is_up));
    let is_late = connected.await.is_err();
    if is_late {
        let status = source.status().borrow().clone();
        return Err(not_connected("no bus at", options, &status));
    }
    let mut ticks = (!arguments.interval.is_zero()).then(|| interval(arguments.interval));
    let mut published = 0;
    while published < arguments.count {
        if let Some(ticks) = &mut ticks {
            tokio::select! {
                biased;
                () = signals.next() => break,
                _ = ticks.tick() => {}
            }
        }
        let publication = source.publication(&arguments.topic, body.clone());
        let properties = arguments.property.iter();
        let publication = properties.fold(publication, |publication, (name, value)| {
            publication.property(name, value)
        });
        match publication.send() {
            Ok(()) => published += 1,
            Err(PublishError::Full { .. }) => tokio::select! {
                biased;
                () = signals.next() => break,
                flushed = flush(&source, options, &place) => flushed?,
            },
            Err(error) => return Err(Failure::Usage(error.to_string())),
        }
    }
    flush(&source, options, &place).await?;
    match output.format() {
        Format::Json => output.json(&Published { published }),
        Format::Text => Ok(()),
    }
}

/// The bus that is published on: it is chosen, or there is but one.
fn the_one(mut places: Vec<Place>) -> Result<Place, Failure> {
    match (places.pop(), places.len()) {
        (Some(place), 0) => Ok(place),
        (last, _) => {
            let names = places.into_iter().chain(last).filter_map(|place| place.bus);
            let names: Vec<String> = names.collect();
            let names = names.join(", ");
            Err(Failure::Usage(format!(
                "choose a bus by --bus; the broker has: {names}"
            )))
        }
    }
}

async fn flush(source: &Source, options: &Options, place: &Place) -> Result<(), Failure> {
    let within = options.request_timeout();
    match timeout(within, source.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(closed)) => Err(Failure::Unfinished(closed.to_string())),
        Err(_elapsed) => Err(Failure::Timeout {
            asked: place.endpoints.join(", "),
            timeout: within,
        }),
    }
}
