//! What `mmi.buses` tells, made once a second.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::machine::{Bus, Subscriber, Tally};
use super::plane::BoundBus;

/// The peers of one bus that a report lists.
const LISTED: usize = 100;

#[derive(Serialize)]
struct Listing<'a> {
    total: usize,
    buses: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    frontend: Vec<String>,
    backend: Vec<String>,
    capture: Vec<String>,
    retain: &'static str,
    publishers: usize,
    subscribers: usize,
    captures: usize,
    subscriptions: usize,
    topics: usize,
    messages: u64,
    bytes: u64,
    delivered: u64,
    dropped: u64,
    messages_per_second: u64,
    bytes_per_second: u64,
    backlog_bytes: usize,
    retained: usize,
    evicted: u64,
    peers: Vec<Peer<'a>>,
}

#[derive(Serialize)]
struct Peer<'a> {
    address: &'a str,
    side: &'static str,
    subscriptions: usize,
    delivered: u64,
    dropped: u64,
    backlog_bytes: usize,
}

/// Makes reports of the same buses, and so knows their rates.
#[derive(Debug)]
pub(super) struct Reporter {
    bound: Vec<BoundBus>,
    last: Vec<Tally>,
    at: Instant,
}

impl Reporter {
    pub(super) fn new(bound: Vec<BoundBus>, now: Instant) -> Self {
        Self {
            last: vec![Tally::default(); bound.len()],
            bound,
            at: now,
        }
    }

    /// The report of this moment, as JSON.
    pub(super) fn report(&mut self, buses: &[Bus], now: Instant) -> Arc<str> {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        let rate = |now: u64, before: u64| match seconds {
            0.0 => 0,
            _ => ((now - before) as f64 / seconds) as u64,
        };
        let of_each = buses.iter().zip(&self.bound).zip(&self.last);
        let entries = of_each.map(|((bus, bound), last)| {
            let tally = bus.tally();
            Entry {
                name: &bound.name,
                frontend: bound.frontend.iter().map(ToString::to_string).collect(),
                backend: bound.backend.iter().map(ToString::to_string).collect(),
                capture: bound.capture.iter().map(ToString::to_string).collect(),
                retain: bound.retain.as_str(),
                publishers: tally.publishers,
                subscribers: tally.subscribers,
                captures: tally.captures,
                subscriptions: tally.subscriptions,
                topics: tally.topics,
                messages: tally.messages,
                bytes: tally.bytes,
                delivered: tally.delivered,
                dropped: tally.dropped,
                messages_per_second: rate(tally.messages, last.messages),
                bytes_per_second: rate(tally.bytes, last.bytes),
                backlog_bytes: bus.subscribers().map(Subscriber::backlog_bytes).sum(),
                retained: tally.retained,
                evicted: tally.evicted,
                peers: peers(bus),
            }
        });
        let listing = Listing {
            total: buses.len(),
            buses: entries.collect(),
        };
        let report = serde_json::to_string(&listing).expect("names and numbers are plain data");
        self.last = buses.iter().map(Bus::tally).collect();
        self.at = now;
        report.into()
    }
}

/// The subscribers of a bus, those first that have lost most.
fn peers(bus: &Bus) -> Vec<Peer<'_>> {
    let mut peers: Vec<&Subscriber> = bus.subscribers().collect();
    peers.sort_by_key(|peer| std::cmp::Reverse((peer.dropped(), peer.backlog_bytes())));
    peers.truncate(LISTED);
    let peers = peers.into_iter().map(|peer| Peer {
        address: peer.name(),
        side: peer.side().as_str(),
        subscriptions: peer.subscriptions(),
        delivered: peer.delivered(),
        dropped: peer.dropped(),
        backlog_bytes: peer.backlog_bytes(),
    });
    peers.collect()
}
