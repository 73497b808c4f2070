//! One run of one broker.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::case::Case;
use super::client::{Client, Counted};
use super::crowd::{Crowd, Presence};
use super::peer::Peer;
use super::workers::Workers;

/// The share of the measured time that comes before it.
const WARM_UP: f64 = 0.3;
/// The least warm-up: long enough for every worker to be registered.
const LEAST_WARM_UP: Duration = Duration::from_millis(50);

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Measurement {
    pub(crate) requests_per_second: f64,
    /// CPU of the broker's process for a request, in microseconds.
    pub(crate) cpu_us: f64,
    /// CPU of the broker's process for a second; over 1 when it has several busy threads.
    pub(crate) busy: f64,
    /// How long a request took, with one at a time.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

/// Starts a broker, runs the load of a case, and checks that nothing was lost.
pub(crate) fn take(peer: Peer, case: &Case, measured: Duration) -> anyhow::Result<Measurement> {
    let broker = peer.start()?;
    let language = peer.language(case);
    let script = language.script(case);
    let address = broker.address(0)?;
    let crowd = Crowd::gather(address, case.idle, Presence::Worker);
    let crowd = crowd.context("connect idle workers")?;
    let workers = Workers::start(language, address, case, &script)?;
    let stream = language.client(address).context("connect a client")?;
    let client = Client::new(stream, script, case.window)?;
    let warm_up = measured.mul_f64(WARM_UP).max(LEAST_WARM_UP);
    let counted = client.run(warm_up, measured, || broker.cpu());
    drop(broker);
    drop(crowd);
    // What stopped the workers explains what the client misses.
    workers.join()?;
    Ok(Measurement::of(&counted?))
}

impl Measurement {
    fn of(counted: &Counted) -> Self {
        let mut latencies = counted.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len() as f64 * share) as usize;
            latencies.get(index).map(|latency| microseconds(*latency))
        };
        let replies = counted.replies as f64;
        Self {
            requests_per_second: replies / counted.elapsed.as_secs_f64(),
            cpu_us: microseconds(counted.cpu) / replies,
            busy: counted.cpu.as_secs_f64() / counted.elapsed.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        }
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
