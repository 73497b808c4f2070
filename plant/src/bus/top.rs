//! `bus top`: topics by what is published on them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use plantd_client::{SinkEvent, Topic};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::directory::places;
use super::traffic::{Rate, Tally, Traffic};
use crate::cli::{Options, TopArguments};
use crate::failure::Failure;
use crate::output::{Column, Format, Output, Table, units};
use crate::signals::StopSignals;
use crate::stopwatch::Stopwatch;

/// The topics that are told apart; those beyond are counted together.
const MOST_TOPICS: usize = 10_000;
/// Clears a terminal and begins at its top.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";

/// What is known of each topic of each bus.
#[derive(Debug, Default)]
struct Topics {
    lines: BTreeMap<(usize, Topic), Line>,
    others: Line,
}

#[derive(Debug, Default, Clone, Copy)]
struct Line {
    now: Tally,
    /// As it was when it was shown last.
    shown: Tally,
}

/// A line in JSON.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<String>,
    topic: String,
    messages_per_second: u64,
    bytes_per_second: u64,
    messages: u64,
    missed: u64,
}

/// One table in JSON.
#[derive(Debug, Serialize)]
struct Page {
    /// How many topics there are, shown or not.
    total: usize,
    topics: Vec<Shown>,
}

pub(super) async fn run(
    options: &Options,
    arguments: TopArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = StopSignals::catch()?;
    let places = places(options, &arguments.choice, |bus| bus.backend).await?;
    let mut traffic = Traffic::subscribe(options, places, &arguments.topic)?;
    traffic.connected(options).await?;
    let clears = output.format() == Format::Text && std::io::stdout().is_terminal();
    let mut topics = Topics::default();
    let mut ticks = interval(arguments.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    let mut since = Stopwatch::start();
    let mut pages = 0;
    while arguments.count.is_none_or(|count| pages < count) {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            _ = ticks.tick() => {
                let rows = arguments.rows as usize;
                let page = topics.page(rows, since.elapsed(), |index| traffic.bus(index));
                since = Stopwatch::start();
                match output.format() {
                    Format::Json => output.json(&page)?,
                    Format::Text => {
                        let (before, after): (&[u8], _) = if clears { (CLEAR, "") } else { (b"", "\n") };
                        output.bytes(before)?;
                        output.line(&format!("{}{after}", page_text(&page)))?;
                    }
                }
                output.finish()?;
                pages += 1;
            }
            heard = traffic.next() => topics.take(heard.index, &heard.event),
        }
    }
    Ok(())
}

impl Topics {
    fn take(&mut self, bus: usize, event: &SinkEvent) {
        let topic = match event {
            SinkEvent::Message(publication) => &publication.topic,
            SinkEvent::Gap(gap) => &gap.topic,
        };
        let is_full = self.lines.len() >= MOST_TOPICS;
        let key = (bus, topic.clone());
        let line = match self.lines.get_mut(&key) {
            Some(line) => line,
            None if is_full || topic.as_bytes().len() > Topic::MAX_BYTES => &mut self.others,
            None => self.lines.entry(key).or_default(),
        };
        line.now.take(event);
    }

    /// The busiest topics since the last page.
    fn page<'a>(
        &mut self,
        rows: usize,
        elapsed: Duration,
        bus: impl Fn(usize) -> Option<&'a str>,
    ) -> Page {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = |line: &Line| line.now.rate_since(&line.shown, seconds);
        let mut lines: Vec<_> = self.lines.iter().map(|it| (rate(it.1), it)).collect();
        lines.sort_by_key(|(rate, (key, line))| (Reverse((*rate, line.now.messages)), *key));
        let shown = lines.into_iter().take(rows);
        let mut topics: Vec<Shown> = shown
            .map(|(rate, ((index, topic), line))| {
                let bus = bus(*index).map(str::to_owned);
                Shown::of(bus, topic.to_string(), rate, line)
            })
            .collect();
        if self.others.now != Tally::default() {
            let others = "(all other topics)".to_owned();
            topics.push(Shown::of(None, others, rate(&self.others), &self.others));
        }
        for line in self.lines.values_mut().chain([&mut self.others]) {
            line.shown = line.now;
        }
        Page {
            total: self.lines.len(),
            topics,
        }
    }
}

impl Shown {
    fn of(bus: Option<String>, topic: String, rate: Rate, line: &Line) -> Self {
        Self {
            bus,
            topic,
            messages_per_second: rate.messages_per_second,
            bytes_per_second: rate.bytes_per_second,
            messages: line.now.messages,
            missed: line.now.missed,
        }
    }
}

fn page_text(page: &Page) -> String {
    let mut table = Table::new([
        Column::Left("TOPIC"),
        Column::Left("BUS"),
        Column::Right("MESSAGES/S"),
        Column::Right("BYTES/S"),
        Column::Right("MESSAGES"),
        Column::Right("MISSED"),
    ]);
    for line in &page.topics {
        table.row([
            line.topic.clone(),
            line.bus.clone().unwrap_or_else(|| "-".to_owned()),
            line.messages_per_second.to_string(),
            units::bytes(line.bytes_per_second),
            line.messages.to_string(),
            line.missed.to_string(),
        ]);
    }
    match page.total.saturating_sub(page.topics.len()) {
        0 => table.to_string(),
        rest => format!("{table}\n… and {rest} more"),
    }
}

#[cfg(test)]
mod tests {
    use plantd_client::{Body, Publication};

    use super::*;

    fn publication(topic: &str) -> SinkEvent {
        SinkEvent::Message(Publication {
            topic: Topic::new(topic).unwrap(),
            header: None,
            body: Body::from("12345"),
        })
    }

    #[test]
    fn the_busiest_come_first_and_rates_begin_anew() {
        let mut topics = Topics::default();
        for (topic, times) in [("a", 2), ("b", 6), ("c", 4)] {
            for _ in 0..times {
                topics.take(0, &publication(topic));
            }
        }
        let page = topics.page(2, Duration::from_secs(2), |_| Some("metric"));
        let expected = "\
TOPIC  BUS     MESSAGES/S  BYTES/S  MESSAGES  MISSED
b      metric           3     15 B         6       0
c      metric           2     10 B         4       0
… and 1 more";
        assert_eq!(page_text(&page), expected);
        topics.take(0, &publication("a"));
        let page = topics.page(9, Duration::from_secs(1), |_| None);
        let rates = page.topics.iter();
        let rates = rates.map(|line| (line.topic.as_str(), line.messages_per_second));
        assert_eq!(rates.collect::<Vec<_>>(), [("a", 1), ("b", 0), ("c", 0)]);
    }

    #[test]
    fn a_million_topics_take_bounded_memory() {
        let mut topics = Topics::default();
        for n in 0..MOST_TOPICS + 5 {
            topics.take(0, &publication(&n.to_string()));
        }
        assert_eq!(topics.lines.len(), MOST_TOPICS);
        let page = topics.page(1, Duration::from_secs(1), |_| None);
        assert_eq!(page.topics[1].topic, "(all other topics)");
        assert_eq!(page.topics[1].messages, 5);
    }
}
