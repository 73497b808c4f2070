//! The figures that plantd promises for requests.

use super::case::{Case, Dialect};
use super::memory::Memory;
use super::peer::Peer;
use super::report::{Ratios, Row};
use crate::figures::{Bound, Figure};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// Every figure for requests.
pub(super) fn all(rows: &[Row], memory: Option<&Memory>) -> Vec<Figure> {
    let mut figures = Vec::from(credit(rows));
    figures.extend(strict(rows));
    figures.extend(one_at_a_time(rows));
    figures.extend(idle(rows));
    figures.extend(promised(rows));
    figures.extend([
        Figure::new(
            "memory, idle",
            Bound::AtMost(15.0),
            "MiB",
            memory.map(|memory| memory.idle_bytes as f64 / MIB),
        ),
        Figure::new(
            "memory, a connection more",
            Bound::AtMost(16.0),
            "KiB",
            memory.map(|memory| memory.connection_bytes / KIB),
        ),
    ]);
    figures
}

/// MDP/0.3 with many requests at one worker.
fn credit(rows: &[Row]) -> [Figure; 3] {
    let case = Case::plain(Dialect::Mdp03, 500, 1);
    let nats = ratios(rows, case, Peer::Nats);
    let libzmq = ratios(rows, case, Peer::LibzmqForward);
    let cpu = |ratios: Option<Ratios>| ratios.map(|ratios| ratios.cpu);
    [
        Figure::new(
            "MDP/0.3, window 500: CPU / NATS's",
            Bound::AtMost(0.8),
            "×",
            cpu(nats),
        ),
        Figure::new(
            "MDP/0.3, window 500: CPU / libzmq forwarding's",
            Bound::AtMost(0.25),
            "×",
            cpu(libzmq),
        ),
        Figure::new(
            "MDP/0.3, window 500: rate / NATS's",
            Bound::AtLeast(1.1),
            "×",
            nats.map(|ratios| ratios.rate),
        ),
    ]
}

/// MDP/0.2, whose workers hold one request.
fn strict(rows: &[Row]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for workers in [1, 16, 64] {
        let case = Case::plain(Dialect::Mdp02, 500, workers);
        let ratios = ratios(rows, case, Peer::LibzmqMdp);
        let mut what = format!("MDP/0.2, window 500, {workers} worker");
        if workers > 1 {
            what.push('s');
        }
        figures.push(Figure::new(
            format!("{what}: rate / libzmq MDP loop's"),
            Bound::AtLeast(1.0),
            "×",
            ratios.map(|ratios| ratios.rate),
        ));
        figures.push(Figure::new(
            format!("{what}: CPU / libzmq MDP loop's"),
            Bound::AtMost(0.8),
            "×",
            ratios.map(|ratios| ratios.cpu),
        ));
    }
    figures
}

fn one_at_a_time(rows: &[Row]) -> [Figure; 2] {
    Dialect::ALL.map(|dialect| {
        let ratios = ratios(rows, Case::plain(dialect, 1, 1), Peer::LibzmqMdp);
        Figure::new(
            format!("{dialect}, window 1: p50 / libzmq MDP loop's"),
            Bound::AtMost(1.0),
            "×",
            ratios.and_then(|ratios| ratios.p50),
        )
    })
}

/// The cost of workers that are connected and not asked.
fn idle(rows: &[Row]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for dialect in Dialect::ALL {
        for idle in [99, 9_999] {
            let crowded = Case::plain(dialect, 500, 1).beside(idle);
            let ratios = ratios(rows, crowded, Peer::Plantd);
            figures.push(Figure::new(
                format!("{dialect}, {idle} idle workers: CPU / without them"),
                Bound::AtMost(1.2),
                "×",
                ratios.map(|alone_over_crowded| 1.0 / alone_over_crowded.cpu),
            ));
        }
    }
    figures
}

/// What users are promised in absolute terms.
fn promised(rows: &[Row]) -> [Figure; 2] {
    let many = row(rows, Case::plain(Dialect::Mdp03, 500, 1), Peer::Plantd);
    let single = row(rows, Case::plain(Dialect::Mdp03, 1, 1), Peer::Plantd);
    [
        Figure::new(
            "MDP/0.3, window 500: messages (requests and replies)",
            Bound::AtLeast(100_000.0),
            "/s",
            many.map(|row| 2.0 * row.median.requests_per_second),
        ),
        Figure::new(
            "MDP/0.3, window 1: p99",
            Bound::AtMost(1000.0),
            "µs",
            single.and_then(|row| row.median.p99_us),
        ),
    ]
}

fn row(rows: &[Row], case: Case, broker: Peer) -> Option<&Row> {
    rows.iter()
        .find(|row| row.case == case && row.broker == broker)
}

fn ratios(rows: &[Row], case: Case, broker: Peer) -> Option<Ratios> {
    row(rows, case, broker)?.plantd_over
}
