//! The parser's complaints in the user's words.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use granit_parser::{ErrorKind, Marker, ScanError};

use crate::diagnostic::{Diagnostic, FileId, Span};

/// Where a marker points.
pub(super) fn span_at(file: FileId, from: &Marker, to: &Marker) -> Span {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let start = number(from.byte_offset().unwrap_or(from.index()));
    let end = number(to.byte_offset().unwrap_or(to.index()));
    Span {
        file,
        start,
        end: end.max(start),
        line: number(from.line()),
        column: number(from.col() + 1),
    }
}

/// What the scanner could not read, with what to do where that is known.
pub(super) fn from_scan(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let mut span = span_at(file, error.marker(), error.marker());
    if let Some(tab) = tab_in_indentation(text, span) {
        span.start = tab.0;
        span.end = tab.0 + 1;
        span.column = tab.1;
        return Diagnostic::error("a tab cannot indent YAML")
            .at(span)
            .help("replace the tab with spaces");
    }
    let diagnostic = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Diagnostic::error("this is nested too deeply"),
        ErrorKind::UnknownAnchor => Diagnostic::error("this alias has no anchor before it")
            .help("declare it with `&name` above, or put the `*…` in quotes if it is text"),
        kind => Diagnostic::error(format!("this is not valid YAML: {kind}")),
    };
    let help = diagnostic.help.is_none().then(|| help(text, span)).flatten();
    diagnostic.at(span).maybe_help(help)
}

/// A tab in the white space that opens the line at `span`, with its column.
fn tab_in_indentation(text: &str, span: Span) -> Option<(u32, u32)> {
    let at = text.floor_char_boundary((span.start as usize).min(text.len()));
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next()?;
    let indentation = line.len() - line.trim_start().len();
    let tab = line[..indentation].find('\t')?;
    Some((u32::try_from(line_start + tab).ok()?, u32::try_from(tab + 1).ok()?))
}

/// The commonest slips on the line where the scanner stopped.
fn help(text: &str, span: Span) -> Option<String> {
    let line = text.lines().nth((span.line as usize).saturating_sub(1))?.trim();
    let value = line.split_once(": ").map_or(line, |(_, value)| value.trim());
    if value.starts_with(['@', '`', '%', '*', '&', '!']) {
        return Some(format!("put the value in quotes: \"{value}\""));
    }
    if value.contains(": ") {
        return Some("a value that contains `: ` needs quotes".to_owned());
    }
    None
}
