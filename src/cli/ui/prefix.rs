//! Log lines with the name of whoever wrote them: `db   | text`. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use super::look::Look;
use super::words::padded;

/// A name's place and colour before its lines.
#[derive(Debug, Clone)]
pub struct Prefixes {
    look: Look,
    width: usize,
    colours: BTreeMap<String, usize>,
}

impl Prefixes {
    /// For these names, whose colours follow their order.
    pub fn new<'a>(look: Look, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefixes = Self { look, width: 0, colours: BTreeMap::new() };
        for name in names {
            prefixes.add(name);
        }
        prefixes
    }

    /// One more name: from here on, columns are wide enough for it.
    pub fn add(&mut self, name: &str) {
        self.width = self.width.max(name.width());
        let next = self.colours.len();
        self.colours.entry(name.to_owned()).or_insert(next);
    }

    /// A line of `name`.
    pub fn line(&self, name: &str, text: &str) -> String {
        use owo_colors::AnsiColors::{
            Blue, BrightBlue, BrightCyan, BrightGreen, BrightMagenta, BrightYellow, Cyan, Green,
            Magenta, Yellow,
        };
        const COLOURS: [owo_colors::AnsiColors; 10] = [
            Cyan,
            Yellow,
            Green,
            Magenta,
            Blue,
            BrightCyan,
            BrightYellow,
            BrightGreen,
            BrightMagenta,
            BrightBlue,
        ];
        let head = format!("{} |", padded(name, self.width));
        if !self.look.colour {
            return format!("{head} {text}");
        }
        let place = self.colours.get(name).copied().unwrap_or_default();
        let style = owo_colors::Style::new().color(COLOURS[place % COLOURS.len()]);
        format!("{} {text}", style.style(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_one_column() {
        let prefixes = Prefixes::new(Look::ASCII, ["db", "migrate"]);
        assert_eq!(prefixes.line("db", "ready"), "db      | ready");
        assert_eq!(prefixes.line("migrate", "done"), "migrate | done");
    }

    #[test]
    fn each_name_keeps_its_colour() {
        let prefixes = Prefixes::new(Look { colour: true, unicode: true }, ["a", "b"]);
        assert_eq!(prefixes.line("a", "x"), "\u{1b}[36ma |\u{1b}[0m x");
        assert_ne!(prefixes.line("a", ""), prefixes.line("b", "").replace('b', "a"));
    }
}
