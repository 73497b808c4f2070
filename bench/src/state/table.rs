//! A report on state services as text.

use super::flood::Flood;
use super::report::{Report, Row};
use crate::table::{figures, section};

const HEAD: [&str; 12] = [
    "operation",
    "clients",
    "window",
    "service",
    "op/s",
    "CPU µs",
    "busy",
    "p50 µs",
    "p99 µs",
    "rate ÷",
    "CPU ÷",
    "direct ÷",
];
const FLOOD_HEAD: [&str; 4] = ["reads beside writes", "p50 µs", "p99 µs", "writes/s"];

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let mut text = report.conditions.text();
    text += &format!(
        "{} keys; {} subscribes to all changes; the disk syncs a page in {:.0} µs; CPU: user and system time of the service's processes \
         for an operation; ÷: plantd's over this row's; direct ÷: the same for the rate of plantd asked directly\n",
        report.keys,
        if report.has_subscriber {
            "somebody"
        } else {
            "nobody"
        },
        report.sync_us
    );
    text += &section(&HEAD, &report.rows, cells);
    text += &section(&FLOOD_HEAD, &report.floods, flood_cells);
    text += "\n";
    text += &figures(&report.figures);
    text
}

fn cells(row: &Row) -> Vec<String> {
    let Row {
        case,
        service,
        median,
        plantd_over,
        direct_over,
    } = row;
    let or_blank = |value: Option<String>| value.unwrap_or_default();
    vec![
        case.name(),
        case.clients.to_string(),
        case.window.to_string(),
        service.name().to_owned(),
        format!("{:.0}", median.operations_per_second),
        format!("{:.2}", median.cpu_us),
        format!("{:.2}", median.busy),
        or_blank(median.p50_us.map(|p50| format!("{p50:.0}"))),
        or_blank(median.p99_us.map(|p99| format!("{p99:.0}"))),
        or_blank(plantd_over.map(|over| format!("{:.2}", over.rate))),
        or_blank(plantd_over.map(|over| format!("{:.2}", over.cpu))),
        or_blank(direct_over.map(|over| format!("{:.2}", over.rate))),
    ]
}

fn flood_cells(flood: &Flood) -> Vec<String> {
    vec![
        flood.service.name().to_owned(),
        format!("{:.0}", flood.p50_us),
        format!("{:.0}", flood.p99_us),
        format!("{:.0}", flood.writes_per_second),
    ]
}
