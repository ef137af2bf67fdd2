//! Things in the words of the screen: resources, times, errors. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::look::{Colour, Look};
use crate::diagnostic::{Diagnostic, Sources};
use crate::plan::Resource;
pub use crate::plan::words::bytes;

/// What a resource is and what it is called: `("vm", "db")`.
pub fn kind_and_name(resource: &Resource) -> (&'static str, String) {
    match resource {
        Resource::Network(name) => ("network", name.clone()),
        Resource::Firewall => ("firewall", String::new()),
        Resource::Volume(name) => ("volume", name.clone()),
        Resource::Image(source) => ("image", source.to_string()),
        Resource::Instance(kind, id) => match kind {
            crate::stack::Kind::Vm => ("vm", id.to_string()),
            crate::stack::Kind::Container => ("container", id.to_string()),
        },
    }
}

/// `vm db`, `firewall`.
pub fn label(resource: &Resource) -> String {
    let (kind, name) = kind_and_name(resource);
    if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") }
}

/// `0.4s`, `41.2s`, `2m 05s`, `1h 02m`.
pub fn elapsed(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{}s", tenths / 10, tenths % 10),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// How long ago, in the one unit that matters: `3 min`, `2 days`.
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (count, unit) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => return format!("{} min", seconds / 60),
        3600..86_400 => return format!("{} h", seconds / 3600),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `1 change`, `2 changes`.
pub fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// An error as lines: the message, its causes, help.
pub fn failure(look: Look, chain: &[String], help: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for (depth, message) in chain.iter().enumerate() {
        let mut of_message = message.trim_end().lines();
        let first = of_message.next().unwrap_or_default();
        lines.push(if depth == 0 {
            format!("{}: {first}", look.paint(Colour::Red, "error"))
        } else {
            format!("  because {first}")
        });
        lines.extend(of_message.map(|line| format!("    {line}")));
    }
    for line in help.into_iter().flat_map(str::lines) {
        lines.push(format!("  {}: {line}", look.paint(Colour::Cyan, "help")));
    }
    lines
}

/// What came of something: the error at its place, the words of whom it is
/// about, what is next, help.
pub fn verdict(
    look: Look,
    diagnostic: &Diagnostic,
    sources: &Sources,
    words: &[String],
    next: &str,
) -> String {
    let placed = Diagnostic { help: None, ..diagnostic.clone() };
    let mut lines = vec![placed.render(sources, look.colour)];
    lines.extend(words.iter().map(|word| format!("    {word}")));
    lines.push(format!("  {next}"));
    let word = look.paint(Colour::Cyan, "help");
    lines.extend(diagnostic.help.iter().map(|help| format!("  {word}: {help}")));
    lines.join("\n")
}

/// `text` padded with blanks to `width` columns.
pub fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// `text` on one line of at most `width` columns; what does not fit ends in an
/// ellipsis. Control characters become blanks: a guest's words must not move
/// our cursor.
pub fn fitted(look: Look, text: &str, width: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.width() <= width {
        return text;
    }
    let ellipsis = look.ellipsis();
    let room = width.saturating_sub(ellipsis.width());
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    let mut cut: String = kept.collect();
    if width >= ellipsis.width() {
        cut.push_str(ellipsis);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well() {
        let times = [40, 6_449, 59_999, 125_000, 3_720_000].map(Duration::from_millis);
        assert_eq!(times.map(elapsed), ["0.0s", "6.4s", "59.9s", "2m 05s", "1h 02m"]);
        assert_eq!(
            [5, 185, 7300, 90_000, 200_000].map(age),
            ["5 s", "3 min", "2 h", "1 day", "2 days"]
        );
        assert_eq!(
            [0, 1023, 1024, 1_610_612_736, 21_474_836_480].map(bytes),
            ["0 B", "1023 B", "1 KiB", "1.5 GiB", "20 GiB"]
        );
    }

    #[test]
    fn what_does_not_fit_is_cut_by_columns() {
        let look = Look { colour: false, unicode: true };
        assert_eq!(fitted(look, "containers", 6), "conta…");
        assert_eq!(fitted(look, "日本語", 5), "日本…");
        assert_eq!(fitted(Look::ASCII, "containers", 6), "con...");
        assert_eq!(fitted(look, "a\u{1b}[2Jb", 10), "a [2Jb");
        assert_eq!(fitted(look, "abc", 0), "");
    }

    #[test]
    fn an_error_is_said_with_causes_and_help() {
        let chain = ["cannot start vm db".to_owned(), "no room\nat all".to_owned()];
        let lines = failure(Look::ASCII, &chain, Some("make room"));
        assert_eq!(
            lines,
            ["error: cannot start vm db", "  because no room", "    at all", "  help: make room"]
        );
    }
}
