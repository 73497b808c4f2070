//! The figures that plantd promises for state.

use super::case::{Case, Operation};
use super::peer::Peer;
use super::report::Row;
use crate::figures::{Bound, Figure};

/// Every figure for state.
pub(super) fn all(rows: &[Row]) -> Vec<Figure> {
    let set = Case::wide(Operation::Set);
    let get = Case::wide(Operation::Get);
    let crowd = Case::crowd(Operation::Set);
    let mut figures = vec![
        beside(rows, set, Peer::NatsKv, 1.0),
        beside(rows, get, Peer::NatsKv, 1.5),
        beside(rows, crowd, Peer::Redis, 0.7),
        direct_beside(rows, crowd, Peer::Redis, 0.7),
    ];
    figures.extend([set, get].map(|case| {
        Figure::new(
            format!("state, {case}: operations"),
            Bound::AtLeast(10_000.0),
            "/s",
            row(rows, case, Peer::Plantd).map(|row| row.median.operations_per_second),
        )
    }));
    figures
}

fn beside(rows: &[Row], case: Case, peer: Peer, least: f64) -> Figure {
    let ratios = row(rows, case, peer).and_then(|row| row.plantd_over);
    Figure::new(
        format!("state, {case}: rate / that of {}", peer.name()),
        Bound::AtLeast(least),
        "×",
        ratios.map(|ratios| ratios.rate),
    )
}

/// The same for plantd when it is asked directly.
fn direct_beside(rows: &[Row], case: Case, peer: Peer, least: f64) -> Figure {
    let ratios = row(rows, case, peer).and_then(|row| row.direct_over);
    Figure::new(
        format!("state, {case}, direct: rate / that of {}", peer.name()),
        Bound::AtLeast(least),
        "×",
        ratios.map(|ratios| ratios.rate),
    )
}

fn row(rows: &[Row], case: Case, service: Peer) -> Option<&Row> {
    rows.iter()
        .find(|row| row.case == case && row.service == service)
}
