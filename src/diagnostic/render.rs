//! Diagnostics as text: title, place, source line, underline, help.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, FileId, Label, Severity, Sources};

impl Diagnostics {
    /// All of them, a blank line between two; coloured if asked.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let rendered: Vec<_> = self.iter().map(|one| one.render(sources, colour)).collect();
        rendered.join("\n\n")
    }
}

impl Diagnostic {
    /// This one as text, without a newline at its end.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let (labels, footer) = self.inline_help();
        let excerpts = excerpts(&labels, sources);
        let mut group = level
            .clone()
            .primary_title(self.title.as_str())
            .elements(excerpts.iter().map(Excerpt::snippet));
        if let Some(help) = footer {
            group = group.element(Level::HELP.message(help));
        }
        if excerpts.is_empty()
            && let Some(help) = footer
        {
            // Without a source line there is no gutter to hang the help on.
            let title =
                renderer.render(&[Group::with_title(level.primary_title(self.title.as_str()))]);
            return format!("{title}\n  help: {help}");
        }
        renderer.render(&[group])
    }

    /// A single place without a text carries a one-line help itself, as in
    /// `^^^^^^ help: did you mean …`; else the help stands below.
    fn inline_help(&self) -> (Vec<Label>, Option<&str>) {
        let mut labels = self.labels.clone();
        match (&mut labels[..], self.help.as_deref()) {
            ([only], Some(help)) if only.text.is_empty() && !help.contains('\n') => {
                only.text = format!("help: {help}");
                (labels, None)
            }
            (_, help) => (labels, help),
        }
    }
}

/// The lines of one file that labels touch.
struct Excerpt {
    path: String,
    text: Arc<str>,
    lines: Range<usize>,
    first_line: usize,
    labels: Vec<(Label, bool)>,
}

impl Excerpt {
    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let annotations = self.labels.iter().map(|(label, primary)| {
            let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let within = |at: u32| (at as usize).clamp(self.lines.start, self.lines.end);
            let span = within(label.span.start) - self.lines.start
                ..within(label.span.end) - self.lines.start;
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            kind.span(span).label(text)
        });
        Snippet::source(&self.text[self.lines.clone()])
            .line_start(self.first_line)
            .path(self.path.as_str())
            .annotations(annotations)
    }
}

/// One excerpt per file, the first label's file first. Only the lines between
/// the outermost labels are handed on, so that a large file costs nothing.
fn excerpts(labels: &[Label], sources: &Sources) -> Vec<Excerpt> {
    let mut order: Vec<FileId> = Vec::new();
    for label in labels {
        if !order.contains(&label.span.file) {
            order.push(label.span.file);
        }
    }
    let first = labels.first().map(|label| label.span);
    order
        .into_iter()
        .map(|file| {
            let text = sources.text(file);
            let mine: Vec<_> = labels
                .iter()
                .filter(|label| label.span.file == file)
                .map(|label| (label.clone(), Some(label.span) == first))
                .collect();
            let outermost = |at: usize| text.floor_char_boundary(at.min(text.len()));
            let start = mine.iter().map(|(label, _)| label.span.start).min().unwrap_or(0);
            let end = mine.iter().map(|(label, _)| one_line_end(label, &text)).max().unwrap_or(0);
            let start = text[..outermost(start as usize)].rfind('\n').map_or(0, |at| at + 1);
            let end = outermost(end);
            let end = text[end..].find('\n').map_or(text.len(), |at| end + at);
            let first_line = mine.iter().map(|(label, _)| label.span.line).min().unwrap_or(1);
            let labels = mine
                .into_iter()
                .map(|(mut label, primary)| {
                    let end = one_line_end(&label, &text);
                    label.span.end = u32::try_from(end).unwrap_or(u32::MAX);
                    (label, primary)
                })
                .collect();
            Excerpt {
                path: sources.shown(file),
                text,
                lines: start..end.max(start),
                first_line: first_line as usize,
                labels,
            }
        })
        .collect()
}

/// A label over several lines (a block scalar, a mapping) underlines its first.
fn one_line_end(label: &Label, text: &str) -> usize {
    let start = text.floor_char_boundary((label.span.start as usize).min(text.len()));
    let end = text.floor_char_boundary((label.span.end as usize).min(text.len())).max(start);
    text[start..end].find('\n').map_or(end, |newline| start + newline)
}
