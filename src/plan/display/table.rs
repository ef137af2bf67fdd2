//! Rows of a plan, aligned.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write;

/// One resource with everything that is said of it.
pub(super) struct Row {
    pub(super) mark: &'static str,
    pub(super) name: String,
    pub(super) verb: String,
    pub(super) lines: Vec<String>,
}

/// The rows under one another; what is said in several lines stays in its column.
pub(super) fn lay_out(rows: &[Row]) -> String {
    let width = |text: &dyn Fn(&Row) -> &str| {
        rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
    };
    let (names, verbs) = (width(&|row| &row.name), width(&|row| &row.verb));
    let verbs = if verbs == 0 { 0 } else { verbs + 3 };
    let mut text = String::new();
    for row in rows {
        let mut lines = row.lines.iter();
        let first = lines.next().map_or("", String::as_str);
        let line = format!(
            "  {} {name:names$}  {verb:verbs$}{first}",
            row.mark,
            name = row.name,
            verb = row.verb
        );
        let _ = writeln!(text, "{}", line.trim_end());
        for line in lines {
            let _ = writeln!(text, "    {:names$}  {:verbs$}{line}", "", "");
        }
    }
    text
}
