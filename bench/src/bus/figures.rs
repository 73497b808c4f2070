//! The figures that plantd promises for buses.

use super::case::Case;
use super::peer::Peer;
use super::report::Row;
use super::standstill::Standstill;
use crate::figures::{Bound, Figure};
use crate::report::Ratios;

/// Every figure for buses.
pub(super) fn all(rows: &[Row], standstill: Option<&Standstill>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Case::all()
        .into_iter()
        .flat_map(|case| beside_peers(rows, case))
        .collect();
    figures.extend([
        Figure::new(
            "bus, 1 subscriber: messages",
            Bound::AtLeast(1_000_000.0),
            "/s",
            row(rows, Case::plain(1), Peer::Plantd).map(|row| row.median.messages_per_second),
        ),
        Figure::new(
            "bus, beside a subscriber that stands still: p99 / without it",
            Bound::AtMost(1.2),
            "×",
            standstill.map(|standstill| standstill.p99_ratio),
        ),
    ]);
    figures
}

/// No slower than libzmq's proxy, half as fast again as NATS, with less CPU than either.
fn beside_peers(rows: &[Row], case: Case) -> [Figure; 4] {
    let libzmq = ratios(rows, case, Peer::LibzmqProxy);
    let nats = ratios(rows, case, Peer::Nats);
    let rate = |ratios: Option<Ratios>| ratios.map(|ratios| ratios.rate);
    let cpu = |ratios: Option<Ratios>| ratios.map(|ratios| ratios.cpu);
    let figure = |what: &str, bound, measured| {
        Figure::new(format!("bus, {case}: {what}"), bound, "×", measured)
    };
    [
        figure("rate / libzmq proxy's", Bound::AtLeast(1.0), rate(libzmq)),
        figure("rate / NATS's", Bound::AtLeast(1.5), rate(nats)),
        figure("CPU / libzmq proxy's", Bound::AtMost(1.0), cpu(libzmq)),
        figure("CPU / NATS's", Bound::AtMost(1.0), cpu(nats)),
    ]
}

fn row(rows: &[Row], case: Case, broker: Peer) -> Option<&Row> {
    rows.iter()
        .find(|row| row.case == case && row.broker == broker)
}

fn ratios(rows: &[Row], case: Case, broker: Peer) -> Option<Ratios> {
    row(rows, case, broker)?.plantd_over
}
