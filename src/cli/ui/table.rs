//! Tables without lines: a header, two blanks between columns. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use unicode_width::UnicodeWidthStr;

use super::words::padded;

/// Rows under a header.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers and no rows.
    pub fn new<const N: usize>(headers: [&str; N]) -> Self {
        Self { rows: vec![headers.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Vec::from(cells));
    }

    /// The text, without blanks at the ends of lines.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row(["db".into(), "ready, healthy".into()]);
        table.row(["migrate".into(), "completed (0)".into()]);
        let expected = "\
NAME     STATE
db       ready, healthy
migrate  completed (0)
";
        assert_eq!(table.render(), expected);
    }
}
