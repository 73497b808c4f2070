//! What comes from several buses, as one stream, and what is counted of it.

use futures_util::stream::{SelectAll, Stream, StreamExt, select_all};
use plantd_client::{Sink, SinkEvent, Status, Topic};
use tokio::sync::watch;

use super::directory::Place;
use crate::cli::Options;
use crate::connect::not_connected;
use crate::failure::Failure;
use crate::output::units;

/// Subscriptions to one or more buses.
pub(super) struct Traffic {
    events: SelectAll<Box<dyn Stream<Item = (usize, SinkEvent)> + Unpin>>,
    buses: Vec<Option<String>>,
    statuses: Vec<watch::Receiver<Status>>,
}

/// What came, and from which bus.
#[derive(Debug)]
pub(super) struct Heard {
    /// Counts the buses.
    pub(super) index: usize,
    pub(super) event: SinkEvent,
}

/// What is counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) missed: u64,
}

impl Traffic {
    /// Subscribes to these topics, or to everything if there are none.
    pub(super) fn subscribe(
        options: &Options,
        places: Vec<Place>,
        topics: &[Topic],
    ) -> Result<Self, Failure> {
        let everything = [Topic::default()];
        let topics = if topics.is_empty() {
            &everything[..]
        } else {
            topics
        };
        let mut traffic = Self {
            events: select_all([]),
            buses: Vec::new(),
            statuses: Vec::new(),
        };
        for (index, place) in places.into_iter().enumerate() {
            let sink = Sink::builder()
                .brokers(&place.endpoints)
                .transport(options.transport.into());
            let sink = topics
                .iter()
                .fold(sink, |sink, topic| sink.subscribe(topic));
            let sink = sink.build()?;
            traffic.buses.push(place.bus);
            traffic.statuses.push(sink.status());
            let events = sink.map(move |event| (index, event));
            traffic.events.push(Box::new(events));
        }
        Ok(traffic)
    }

    /// Waits until each bus is connected.
    pub(super) async fn connected(&mut self, options: &Options) -> Result<(), Failure> {
        let timeout = options.connect_timeout();
        for status in &mut self.statuses {
            let connected = tokio::time::timeout(timeout, status.wait_for(Status::is_up));
            let is_late = connected.await.is_err();
            if is_late {
                let status = status.borrow().clone();
                return Err(not_connected("no bus at", options, &status));
            }
        }
        Ok(())
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Heard {
        match self.events.next().await {
            Some((index, event)) => Heard { index, event },
            None => std::future::pending().await,
        }
    }

    /// The name of a bus, if it is known.
    pub(super) fn bus(&self, index: usize) -> Option<&str> {
        self.buses.get(index)?.as_deref()
    }
}

impl Tally {
    pub(super) fn take(&mut self, event: &SinkEvent) {
        match event {
            SinkEvent::Message(publication) => {
                self.messages += 1;
                self.bytes += publication.body.len_bytes() as u64;
            }
            SinkEvent::Gap(gap) => self.missed += gap.missed,
        }
    }

    /// The sums as text.
    pub(super) fn text(&self) -> String {
        let bytes = units::bytes(self.bytes);
        format!(
            "{} messages, {bytes}, {} missed",
            self.messages, self.missed
        )
    }

    /// What came since an earlier count, for each second.
    pub(super) fn rate_since(&self, before: &Self, seconds: f64) -> Rate {
        let rate = |now: u64, before: u64| ((now - before) as f64 / seconds).round() as u64;
        Rate {
            messages_per_second: rate(self.messages, before.messages),
            bytes_per_second: rate(self.bytes, before.bytes),
        }
    }
}

/// How much comes in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate {
    pub(super) messages_per_second: u64,
    pub(super) bytes_per_second: u64,
}
