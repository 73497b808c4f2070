//! The daemon's own endpoint: how it is bound, and what health and `/metrics` show of it.

use std::fmt;

use anyhow::Context as _;
use plantd_client::{Endpoint, ErrorCode, Listener, ListenerStatus};
use plantd_daemon::Daemon;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::watch;
use tracing::Instrument as _;

/// Binds an endpoint of the daemon's own.
pub(crate) async fn bind(endpoint: &Endpoint) -> anyhow::Result<Listener> {
    let listener = Listener::bind(endpoint).await.with_context(|| {
        format!(
            "bind {endpoint}: set endpoint (PLANTD_STATE_ENDPOINT, --endpoint) to another, or leave it out"
        )
    })?;
    tracing::info!(
        context = "state.bound",
        endpoint = %listener.endpoint(),
        "clients are served without a broker"
    );
    Ok(listener)
}

/// Keeps the check `listener` and the metrics at what the worker tells.
pub(crate) fn show(status: watch::Receiver<ListenerStatus>, daemon: &Daemon) {
    let check = daemon.health.check("listener");
    let following = check.follow(status.clone(), ListenerStatus::health);
    tokio::spawn(following.in_current_span());
    daemon.metrics.register("state", |registry| {
        registry.register_collector(Box::new(Clients { status }));
    });
}

/// What is read at each scrape.
#[derive(Debug)]
struct Clients {
    status: watch::Receiver<ListenerStatus>,
}

impl Collector for Clients {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = self.status.borrow().clone();
        let tally = &status.tally;
        let mut counter = |name, help, value: u64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)
        };
        counter(
            "requests",
            "Requests accepted at its own endpoint",
            tally.requests,
        )?;
        counter(
            "replies",
            "Final answers sent to clients there",
            tally.replies,
        )?;
        counter(
            "partials",
            "Partial answers sent to clients there",
            tally.partials,
        )?;
        counter(
            "management",
            "Requests for mmi services answered there",
            tally.management,
        )?;
        let mut gauge = |name, help, unit: Option<&Unit>, value: usize| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
        };
        let help = "Connections to its own endpoint, handshakes under way included";
        gauge("connections", help, None, status.connections)?;
        let help = "Requests that wait for a slot there";
        gauge("requests_queued", help, None, tally.queued)?;
        let help = "Requests whose clients wait there";
        gauge("requests_unanswered", help, None, tally.unanswered)?;
        let bytes = Some(&Unit::Bytes);
        let help = "Memory of unanswered requests there";
        gauge("requests_held", help, bytes, tally.held_bytes)?;
        let help = "Memory of what waits to be written there";
        gauge("outboxes", help, bytes, tally.backlog_bytes)?;
        let failed = ErrorCode::ALL.map(|code| (code.as_str(), tally.failed(code)));
        let help = "Requests there that ended without an answer";
        family(&mut encoder, "requests_failed", help, "code", failed)?;
        let help = "Messages and connections refused or dropped there";
        family(&mut encoder, "rejected", help, "reason", status.rejected())?;
        let help = "Connections there that ended";
        let closed = status
            .closed()
            .iter()
            .map(|(reason, times)| (*reason, *times));
        family(&mut encoder, "connections_closed", help, "reason", closed)
    }
}

/// Writes a counter of one label.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, times) in values {
        let labels = [(label, value)];
        let series = metric.encode_family(&labels)?;
        ConstCounter::new(times).encode(series)?;
    }
    Ok(())
}
