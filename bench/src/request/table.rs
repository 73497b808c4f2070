//! A report on requests as text.

use super::memory::Memory;
use super::report::{Report, Row};
use crate::table::{figures, section};

/// The head of the table of requests.
const HEAD: [&str; 15] = [
    "protocol", "window", "body", "workers", "services", "idle", "broker", "req/s", "CPU µs",
    "busy", "p50 µs", "p99 µs", "rate ÷", "CPU ÷", "p50 ÷",
];

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let mut text = report.conditions.text();
    text += "CPU: user and system time of the broker's process for a request; ÷: plantd's without \
             idle workers over this row's\n";
    text += &section(&HEAD, &report.rows, cells);
    if let Some(memory) = &report.memory {
        text += "\n";
        text += &memory_line(memory);
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
    let or_blank = |value: Option<String>| value.unwrap_or_default();
    vec![
        case.dialect.to_string(),
        case.window.to_string(),
        case.body_bytes.to_string(),
        case.workers.to_string(),
        case.services.to_string(),
        case.idle.to_string(),
        broker.name().to_owned(),
        format!("{:.0}", median.requests_per_second),
        format!("{:.2}", median.cpu_us),
        format!("{:.2}", median.busy),
        or_blank(median.p50_us.map(|p50| format!("{p50:.0}"))),
        or_blank(median.p99_us.map(|p99| format!("{p99:.0}"))),
        or_blank(plantd_over.map(|over| format!("{:.2}", over.rate))),
        or_blank(plantd_over.map(|over| format!("{:.2}", over.cpu))),
        or_blank(plantd_over.and_then(|over| Some(format!("{:.2}", over.p50?)))),
    ]
}

fn memory_line(memory: &Memory) -> String {
    format!(
        "memory of plantd: {:.1} MiB idle, {:.1} KiB a connection more, {:.1} KiB a worker more, \
         at {}\n",
        memory.idle_bytes as f64 / 1048576.0,
        memory.connection_bytes / 1024.0,
        memory.worker_bytes / 1024.0,
        memory.connections,
    )
}
