//! Tables for people: aligned columns, two spaces between them.

use std::fmt;

use super::body::one_line;

/// Columns with a head, and rows below it.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

/// The head of a column, and the side on which its cells are aligned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells may be what a stranger sent: control characters are escaped.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| one_line(&cell)));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.columns.map(|column| column.name().to_owned());
        let lines = || std::iter::once(&head).chain(&self.rows);
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = lines().map(|line| line[column].chars().count());
            cells.max().unwrap_or_default()
        });
        for (index, line) in lines().enumerate() {
            let mut text = String::new();
            for ((cell, column), width) in line.iter().zip(&self.columns).zip(widths) {
                text.push_str(&column.aligned(cell, width));
                text.push_str("  ");
            }
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Left(name) | Self::Right(name) => name,
        }
    }

    fn aligned(self, cell: &str, width: usize) -> String {
        match self {
            Self::Left(_) => format!("{cell:<width$}"),
            Self::Right(_) => format!("{cell:>width$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([
            Column::Left("SERVICE"),
            Column::Right("WORKERS"),
            Column::Left("NAME"),
        ]);
        table.row(["org.plantd.Süd".to_owned(), "1".to_owned(), String::new()]);
        table.row([
            "b".to_owned(),
            "12345678".to_owned(),
            "x\u{1b}[2J".to_owned(),
        ]);
        let expected = "\
SERVICE          WORKERS  NAME
org.plantd.Süd         1
b               12345678  x\\u{1b}[2J";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_table_without_rows_is_its_head() {
        let table = Table::new([Column::Left("A"), Column::Right("B")]);
        assert_eq!(table.to_string(), "A  B");
    }
}
