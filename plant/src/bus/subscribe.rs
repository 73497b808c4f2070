//! `bus sub`: prints what is published.

use std::io::{self, Write as _};
use std::time::Duration;

use plantd_client::SinkEvent;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::directory::places;
use super::record::{Record, gap_text, text};
use super::traffic::{Heard, Tally, Traffic};
use crate::cli::{Options, Shown, SubArguments};
use crate::failure::Failure;
use crate::output::{Format, Output, units};
use crate::signals::StopSignals;
use crate::stopwatch::Stopwatch;

/// How often rates are told.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    Json,
    Raw,
    Count(Format),
    Rate(Format),
}

pub(super) async fn run(
    options: &Options,
    arguments: SubArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mode = Mode::of(&arguments.shown, output.format());
    let mut signals = StopSignals::catch()?;
    let places = places(options, &arguments.choice, |bus| bus.backend).await?;
    let mut traffic = Traffic::subscribe(options, places, &arguments.topic)?;
    traffic.connected(options).await?;
    let mut tally = Tally::default();
    let mut told = tally;
    let mut since = Stopwatch::start();
    let mut ticks = interval(RATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    let end = async {
        match arguments.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let mut end = std::pin::pin!(end);
    while arguments.max.is_none_or(|max| tally.messages < max) {
        tokio::select! {
            biased;
            () = signals.next() => break,
            () = &mut end => break,
            _ = ticks.tick(), if mode.is_rate() => {
                mode.tell_rate(&tally, &told, since.elapsed(), output)?;
                told = tally;
                since = Stopwatch::start();
            }
            heard = traffic.next() => {
                tally.take(&heard.event);
                let bus = traffic.bus(heard.index);
                mode.tell(bus, &heard, output)?;
            }
        }
    }
    mode.tell_sums(&tally, output)
}

impl Mode {
    fn of(shown: &Shown, format: Format) -> Self {
        let format = if shown.json { Format::Json } else { format };
        match (shown, format) {
            (Shown { raw: true, .. }, _) => Self::Raw,
            (Shown { count: true, .. }, format) => Self::Count(format),
            (Shown { rate: true, .. }, format) => Self::Rate(format),
            (_, Format::Json) => Self::Json,
            (_, Format::Text) => Self::Text,
        }
    }

    fn is_rate(self) -> bool {
        matches!(self, Self::Rate(_))
    }

    fn tell(self, bus: Option<&str>, heard: &Heard, output: &mut Output) -> Result<(), Failure> {
        match (self, &heard.event) {
            (Self::Text, event) => output.line(&text(bus, event))?,
            (Self::Json, event) => output.json(&Record::of(bus, event))?,
            (Self::Raw, SinkEvent::Message(publication)) => {
                for frame in publication.body.frames() {
                    output.bytes(frame)?;
                }
            }
            (Self::Raw, SinkEvent::Gap(gap)) => {
                // Without a stderr there is nobody to tell.
                let _ = writeln!(io::stderr(), "plant: {}", gap_text(gap));
            }
            (Self::Count(_) | Self::Rate(_), _) => return Ok(()),
        }
        output.finish()
    }

    fn tell_rate(
        self,
        tally: &Tally,
        told: &Tally,
        elapsed: Duration,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let rate = tally.rate_since(told, elapsed.as_secs_f64());
        let missed = tally.missed - told.missed;
        match self {
            Self::Rate(Format::Json) => output.json(&Record::rate(rate, missed))?,
            Self::Rate(Format::Text) => output.line(&format!(
                "{} messages/s  {}/s  {missed} missed",
                rate.messages_per_second,
                units::bytes(rate.bytes_per_second),
            ))?,
            Self::Text | Self::Json | Self::Raw | Self::Count(_) => {}
        }
        output.finish()
    }

    fn tell_sums(self, tally: &Tally, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Count(Format::Json) => output.json(&Record::count(tally)),
            Self::Count(Format::Text) => output.line(&tally.text()),
            Self::Text | Self::Json | Self::Raw | Self::Rate(_) => Ok(()),
        }
    }
}
