//! What the buses publish for `/metrics`: plain stores into atomics, once a turn.

use std::sync::atomic::Ordering;

use plantd_daemon::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::machine::Tally;

type Label = [(&'static str, String); 1];

/// The metrics of all buses, each bus under the label of its name.
#[derive(Debug, Default)]
struct Families {
    messages: Family<Label, Counter>,
    bytes: Family<Label, Counter>,
    delivered: Family<Label, Counter>,
    dropped: Family<Label, Counter>,
    evicted: Family<Label, Counter>,
    peers: Family<[(&'static str, String); 2], Gauge>,
    subscriptions: Family<Label, Gauge>,
    topics: Family<Label, Gauge>,
    retained: Family<Label, Gauge>,
    held_bytes: Family<Label, Gauge>,
    backlog_bytes: Family<Label, Gauge>,
}

/// One bus's side of the metrics.
#[derive(Debug)]
pub(super) struct Published {
    messages: Counter,
    bytes: Counter,
    delivered: Counter,
    dropped: Counter,
    evicted: Counter,
    publishers: Gauge,
    subscribers: Gauge,
    captures: Gauge,
    subscriptions: Gauge,
    topics: Gauge,
    retained: Gauge,
    held_bytes: Gauge,
    backlog_bytes: Gauge,
}

impl Published {
    /// Registers the metrics of these buses, so that each series is there from the start.
    pub(super) fn register(metrics: &Metrics, buses: &[String]) -> Vec<Self> {
        let families = Families::default();
        metrics.register("broker", |registry| families.enter(registry));
        buses.iter().map(|bus| families.of(bus)).collect()
    }

    /// Publishes what a bus counted, and what waits in its outboxes.
    pub(super) fn store(&self, tally: &Tally, backlog_bytes: usize) {
        let count = |counter: &Counter, value: u64| counter.inner().store(value, Ordering::Relaxed);
        count(&self.messages, tally.messages);
        count(&self.bytes, tally.bytes);
        count(&self.delivered, tally.delivered);
        count(&self.dropped, tally.dropped);
        count(&self.evicted, tally.evicted);
        let gauge = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.publishers, tally.publishers);
        gauge(&self.subscribers, tally.subscribers);
        gauge(&self.captures, tally.captures);
        gauge(&self.subscriptions, tally.subscriptions);
        gauge(&self.topics, tally.topics);
        gauge(&self.retained, tally.retained);
        gauge(&self.held_bytes, tally.held_bytes);
        gauge(&self.backlog_bytes, backlog_bytes);
    }
}

impl Families {
    fn of(&self, bus: &str) -> Published {
        let label = [("bus", bus.to_owned())];
        let counter = |family: &Family<Label, Counter>| family.get_or_create(&label).clone();
        let gauge = |family: &Family<Label, Gauge>| family.get_or_create(&label).clone();
        let peers = |side: &str| {
            let labels = [("bus", bus.to_owned()), ("side", side.to_owned())];
            self.peers.get_or_create(&labels).clone()
        };
        Published {
            messages: counter(&self.messages),
            bytes: counter(&self.bytes),
            delivered: counter(&self.delivered),
            dropped: counter(&self.dropped),
            evicted: counter(&self.evicted),
            publishers: peers("frontend"),
            subscribers: peers("backend"),
            captures: peers("capture"),
            subscriptions: gauge(&self.subscriptions),
            topics: gauge(&self.topics),
            retained: gauge(&self.retained),
            held_bytes: gauge(&self.held_bytes),
            backlog_bytes: gauge(&self.backlog_bytes),
        }
    }

    fn enter(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, family: &Family<Label, Counter>| {
            registry.register(name, help, family.clone());
        };
        counter("bus_messages", "Messages of publishers", &self.messages);
        counter(
            "bus_delivered",
            "Messages handed on, once for each subscriber",
            &self.delivered,
        );
        counter(
            "bus_dropped",
            "Messages lost to full outboxes, once for each subscriber",
            &self.dropped,
        );
        counter(
            "bus_retained_evicted",
            "Retained messages given up for others",
            &self.evicted,
        );
        let help = "Bytes of publishers' messages";
        registry.register_with_unit("bus_received", help, Unit::Bytes, self.bytes.clone());
        registry.register("bus_peers", "Connections by side", self.peers.clone());
        let mut gauge = |name: &str, help: &str, family: &Family<Label, Gauge>| {
            registry.register(name, help, family.clone());
        };
        let subscriptions = "Subscriptions of all peers";
        gauge("bus_subscriptions", subscriptions, &self.subscriptions);
        gauge("bus_topics", "Topics that are subscribed", &self.topics);
        gauge("bus_retained", "Messages retained", &self.retained);
        let mut bytes = |name: &str, help: &str, family: &Family<Label, Gauge>| {
            registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        };
        let held = "Memory of subscriptions and retained messages";
        bytes("bus_held", held, &self.held_bytes);
        let outboxes = "Memory of what waits to be written";
        bytes("bus_outboxes", outboxes, &self.backlog_bytes);
    }
}
