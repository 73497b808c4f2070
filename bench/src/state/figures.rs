//! The figures that plantd promises for state.

use super::case::{Case, Operation};
use super::peer::Peer;
use super::report::Row;
use crate::figures::{Bound, Figure};
use crate::report::Ratios;

/// Every figure for state.
pub(super) fn all(rows: &[Row]) -> Vec<Figure> {
    let set = Case::wide(Operation::Set);
    let get = Case::wide(Operation::Get);
    let crowd = Case::crowd(Operation::Set);
    let plantd = |row: &Row| row.plantd_over;
    let direct = |row: &Row| row.direct_over;
    let mut figures = vec![
        beside(rows, set, "", Peer::NatsKv, plantd, 1.0),
        beside(rows, get, "", Peer::NatsKv, plantd, 1.5),
        beside(rows, crowd, "", Peer::Redis, plantd, 0.7),
        beside(rows, crowd, ", direct", Peer::Redis, direct, 0.7),
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

fn beside(
    rows: &[Row],
    case: Case,
    how: &str,
    peer: Peer,
    over: impl Fn(&Row) -> Option<Ratios>,
    least: f64,
) -> Figure {
    Figure::new(
        format!("state, {case}{how}: rate / that of {}", peer.name()),
        Bound::AtLeast(least),
        "×",
        row(rows, case, peer)
            .and_then(over)
            .map(|ratios| ratios.rate),
    )
}

fn row(rows: &[Row], case: Case, service: Peer) -> Option<&Row> {
    rows.iter()
        .find(|row| row.case == case && row.service == service)
}
