//! Text in columns.

use crate::figures::{Bound, Figure};

/// The table of figures.
pub(crate) fn figures(figures: &[Figure]) -> String {
    let head = ["figure", "at", "bound", "measured", "met"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    lines.extend(figures.iter().map(figure_cells));
    aligned(&lines)
}

/// A table after an empty line; nothing where it would be empty.
pub(crate) fn section<T>(head: &[&str], rows: &[T], cells: fn(&T) -> Vec<String>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut lines = vec![head];
    lines.extend(rows.iter().map(cells));
    format!("\n{}", aligned(&lines))
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
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
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
