//! Files of `NAME=value` lines, as Compose reads them: `.env`, `--env-file`,
//! `env_file:`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::interpolate::{Variables, expand};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Sources};

/// How values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Quotes, comments and variables mean something.
    Compose,
    /// A value is what stands behind the `=`.
    Raw,
}

/// The pairs of `file`, in order; a name without `=` takes its value from `outer`.
pub(super) fn parse(
    file: FileId,
    sources: &Sources,
    outer: &Variables,
    format: Format,
    found: &mut Diagnostics,
) -> Vec<(String, String)> {
    let text = sources.text(file);
    let mut lines = Lines { text: &text, at: 0 };
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut known = outer.clone();
    while let Some((start, line)) = lines.next() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let line_offset = start + (line.len() - line.trim_start().len());
        let body = trimmed.strip_prefix("export ").map_or(trimmed, str::trim_start);
        let separator = body.find(['=', ':']);
        let name = body[..separator.unwrap_or(body.len())].trim();
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '$'))
        {
            found.push(Diagnostic::error("this is not a line of `NAME=value`").at(sources.span(
                file,
                line_offset,
                start + line.trim_end().len(),
            )));
            continue;
        }
        let Some(separator) = separator else {
            if let Some(value) = known.get(name) {
                pairs.push((name.to_owned(), value.clone()));
            }
            continue;
        };
        let written = body[separator + 1..].trim();
        let value = match (format, written.chars().next()) {
            (Format::Raw, _) => Some(written.to_owned()),
            (_, Some(quote @ ('"' | '\''))) => {
                let value_at = line_offset + (trimmed.len() - written.len());
                lines.quoted(value_at, quote).map(|inner| {
                    if quote == '"' {
                        substitute(&unescape(inner), &known)
                    } else {
                        inner.to_owned()
                    }
                })
            }
            _ => Some(substitute(without_comment(written), &known)),
        };
        match value {
            Some(value) => {
                // What the environment sets wins over the file, also within the file.
                known.entry(name.to_owned()).or_insert_with(|| value.clone());
                pairs.push((name.to_owned(), value));
            }
            None => found.push(
                Diagnostic::error(format!("the quote of `{name}` is never closed"))
                    .at(sources.span(file, line_offset, start + line.trim_end().len())),
            ),
        }
    }
    pairs
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let end = rest.find('\n').unwrap_or(rest.len());
        self.at = start + end + 1;
        Some((start, rest[..end].trim_end_matches('\r')))
    }

    /// The inside of the quotes that open at `at`; reading goes on behind them,
    /// however many lines later.
    fn quoted(&mut self, at: usize, quote: char) -> Option<&'a str> {
        let inside = self.text.get(at + 1..)?;
        let mut escaped = false;
        let end = inside.char_indices().find_map(|(offset, c)| {
            let closes = c == quote && !escaped;
            escaped = c == '\\' && !escaped && quote == '"';
            closes.then_some(offset)
        })?;
        let behind = at + 1 + end;
        self.at = self.text[behind..].find('\n').map_or(self.text.len(), |at| behind + at + 1);
        Some(&inside[..end])
    }
}

/// A bare value ends at ` #`.
fn without_comment(value: &str) -> &str {
    if value.starts_with('#') {
        return "";
    }
    value.find(" #").or_else(|| value.find("\t#")).map_or(value, |at| &value[..at]).trim_end()
}

fn substitute(value: &str, known: &Variables) -> String {
    expand(value, &|name| known.get(name).cloned()).text
}

fn unescape(value: &str) -> String {
    let mut result = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => result.push('\n'),
                Some('r') => result.push('\r'),
                Some('t') => result.push('\t'),
                Some('$') => result.push_str("$$"),
                Some(other @ ('"' | '\\')) => result.push(other),
                Some(other) => result.extend(['\\', other]),
                None => result.push('\\'),
            },
            (c, false) => result.push(c),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> (Vec<(String, String)>, usize) {
        let mut sources = Sources::new(Path::new("/"));
        let file = sources.add(Path::new("/.env"), text);
        let mut found = Diagnostics::new();
        let outer = Variables::from([("OUT".to_owned(), "er".to_owned())]);
        (parse(file, &sources, &outer, Format::Compose, &mut found), found.errors())
    }

    #[test]
    fn composes_rules() {
        let text = "# c\nA=1\nexport B = two words # c\nC=\"x\\n${A}\"\nD='${A} # no'\nE=${OUT}-$A\n\
                    F=\"a\nb\"\nG=a#b\nOUT\nH=\nI: yaml\nJ=\"q\" # c\n";
        let (pairs, errors) = read(text);
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(errors, 0);
        assert_eq!(
            pairs,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "x\n1"),
                ("D", "${A} # no"),
                ("E", "er-1"),
                ("F", "a\nb"),
                ("G", "a#b"),
                ("OUT", "er"),
                ("H", ""),
                ("I", "yaml"),
                ("J", "q"),
            ]
        );
    }

    #[test]
    fn bad_lines_are_errors_and_the_rest_is_read() {
        let (pairs, errors) = read("=x\nA B=1\nC=\"open\nD=2\n");
        assert_eq!(errors, 3);
        assert_eq!(pairs.last().map(|(name, _)| name.as_str()), Some("D"));
    }
}
