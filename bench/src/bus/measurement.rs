//! One run of one bus.

use std::time::Duration;

use serde::Serialize;

use super::case::Case;
use super::load::{Counted, Load, Pace};
use super::peer::Peer;

/// The share of the measured time that comes before it.
const WARM_UP: f64 = 0.3;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Measurement {
    /// Messages that a subscriber received, on average.
    pub(super) messages_per_second: f64,
    /// CPU of the bus's process for a message, whatever the number of subscribers, in microseconds.
    pub(super) cpu_us: f64,
    /// CPU of the bus's process for a second; over 1 when it has several busy threads.
    pub(super) busy: f64,
}

/// Starts a bus, runs the load of a case, and checks that nothing was lost.
pub(super) fn take(peer: Peer, case: &Case, measured: Duration) -> anyhow::Result<Measurement> {
    let bus = peer.start()?;
    let mut load = Load::connect(&bus, peer.language(), case)?;
    let warm_up = measured.mul_f64(WARM_UP);
    let counted = load.run(Pace::Full, warm_up, measured, || bus.process.cpu())?;
    Ok(Measurement::of(&counted))
}

impl Measurement {
    fn of(counted: &Counted) -> Self {
        let messages = counted.messages;
        let seconds = counted.elapsed.as_secs_f64();
        Self {
            messages_per_second: messages / seconds,
            cpu_us: counted.cpu.as_secs_f64() * 1e6 / messages,
            busy: counted.cpu.as_secs_f64() / seconds,
        }
    }
}
