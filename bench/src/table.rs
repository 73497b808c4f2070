//! A report as text in columns.

use crate::figures::{Bound, Figure};
use crate::memory::Memory;
use crate::report::{Machine, Report, Row};

/// The head of the table of requests.
const HEAD: [&str; 14] = [
    "protocol", "window", "body", "workers", "services", "idle", "broker", "req/s", "CPU µs",
    "busy", "p50 µs", "p99 µs", "rate ÷", "CPU ÷",
];
const P50_RATIO: &str = "p50 ÷";

/// The whole report.
pub(crate) fn of(report: &Report) -> String {
    let Machine { cores, load_before } = &report.machine;
    let mut text = format!(
        "{cores} cores, load average {} before; medians of {} alternating runs of {} s\n\
         CPU: user and system time of the broker's process for a request; ÷: plantd's without \
         idle workers over this row's\n",
        load_before.map_or_else(|| "unknown".to_owned(), |load| load.to_string()),
        report.runs,
        report.seconds,
    );
    if !report.optimised {
        text += "built without --release: nothing of this counts\n";
    }
    for missing in &report.missing {
        text += &format!("not measured: {missing}\n");
    }
    if !report.rows.is_empty() {
        let head = HEAD.into_iter().chain([P50_RATIO]);
        let mut lines = vec![head.map(str::to_owned).collect()];
        lines.extend(report.rows.iter().map(cells));
        text += "\n";
        text += &aligned(&lines);
    }
    if let Some(memory) = &report.memory {
        text += "\n";
        text += &memory_line(memory);
    }
    text += "\n";
    let mut lines = vec![
        ["figure", "at", "bound", "measured", "met"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(report.figures.iter().map(figure_cells));
    text += &aligned(&lines);
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

fn figure_cells(figure: &Figure) -> Vec<String> {
    let (side, bound) = match figure.bound {
        Bound::AtLeast(bound) => ("least", bound),
        Bound::AtMost(bound) => ("most", bound),
    };
    let met = match figure.met {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not measured",
    };
    let measured = figure.measured.map(|value| shown(value, figure.unit));
    vec![
        figure.what.clone(),
        side.to_owned(),
        shown(bound, figure.unit),
        measured.unwrap_or_default(),
        met.to_owned(),
    ]
}

/// Ratios and memory with two decimals, what is large with none.
fn shown(value: f64, unit: &str) -> String {
    if value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}

/// Columns of equal width; numbers to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let numeric = |column: usize| {
        let cells = lines.iter().skip(1).filter_map(|line| line.get(column));
        cells
            .clone()
            .all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()) || cell.is_empty())
    };
    let right: Vec<bool> = (0..columns).map(numeric).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            if right[column] {
                row += &format!("{cell:>width$}  ");
            } else {
                row += &format!("{cell:<width$}  ");
            }
        }
        text += row.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_numbers_right() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = aligned(&[line(["name", "n"]), line(["x", "10"]), line(["long", "9"])]);
        assert_eq!(text, "name   n\nx     10\nlong   9\n");
    }
}
