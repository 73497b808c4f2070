//! A report on buses as text.

use super::report::{Report, Row};
use crate::table::{figures, section};

const HEAD: [&str; 9] = [
    "subscribers",
    "body",
    "subscriptions",
    "broker",
    "msg/s",
    "CPU µs",
    "busy",
    "rate ÷",
    "CPU ÷",
];

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let mut text = report.conditions.text();
    text += "msg/s: messages that a subscriber received, on average; CPU: user and system time of \
             the bus's process for one of them, for all subscribers; ÷: plantd's over this row's\n";
    text += &section(&HEAD, &report.rows, cells);
    if let Some(standstill) = &report.standstill {
        text += &format!(
            "\nsubscribers of plantd, p99: {:.0} µs while all read, {:.0} µs beside one that does \
             not\n",
            standstill.p99_without_us, standstill.p99_beside_us
        );
    }
    text += "\n";
    text += &figures(&report.figures);
    text
}

fn cells(row: &Row) -> Vec<String> {
    let Row {
        case,
        broker,
        median,
        plantd_over,
    } = row;
    let ratio = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    vec![
        case.subscribers.to_string(),
        case.body_bytes.to_string(),
        case.subscriptions.to_string(),
        broker.name().to_owned(),
        format!("{:.0}", median.messages_per_second),
        format!("{:.2}", median.cpu_us),
        format!("{:.2}", median.busy),
        ratio(plantd_over.map(|over| over.rate)),
        ratio(plantd_over.map(|over| over.cpu)),
    ]
}
