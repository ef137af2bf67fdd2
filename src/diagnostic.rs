//! What is wrong, where, and what to do about it: errors and warnings about a
//! user's files, as data, and their rendering with the source line.
//!
//! It never prints: rendering gives a `String`, and whoever owns the terminal
//! decides about colour.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod causes;
mod render;
mod source;
mod suggest;

pub use causes::chain;
pub use source::{FileId, Sources, Span};
pub use suggest::{did_you_mean, nearest};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but not as written.
    Warning,
}

/// A place and what is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; empty for a bare underline.
    pub text: String,
}

/// One thing to tell the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A lower-case fragment without a full stop.
    pub title: String,
    /// Places; the first is the one to look at.
    pub labels: Vec<Label>,
    /// What to do, if that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(title: impl Into<String>) -> Self {
        Self { severity: Severity::Error, title: title.into(), labels: Vec::new(), help: None }
    }

    /// A warning without a place yet.
    pub fn warning(title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(title) }
    }

    /// Adds a bare place.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        self.label(span, "")
    }

    /// Adds a place with a word about it.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, where something is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// Everything found in one go, in the order it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing found yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes one more.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Takes over what `other` found.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// Sorted by place, and warnings that say the same folded into one: a
    /// thousand services with one unsupported key are one line of news.
    #[must_use]
    pub fn tidy(mut self) -> Self {
        self.0.sort_by_key(|one| one.labels.first().map(|label| label.span));
        let mut first: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        let mut more: Vec<usize> = Vec::new();
        let mut kept: Vec<Diagnostic> = Vec::new();
        for diagnostic in self.0 {
            if kept.last() == Some(&diagnostic) {
                continue;
            }
            let foldable = diagnostic.severity == Severity::Warning && diagnostic.labels.len() == 1;
            if let Some(&at) = foldable.then(|| first.get(&diagnostic.title)).flatten() {
                more[at] += 1;
            } else {
                if foldable {
                    first.insert(diagnostic.title.clone(), kept.len());
                }
                kept.push(diagnostic);
                more.push(0);
            }
        }
        for (diagnostic, more) in kept.iter_mut().zip(more).filter(|(_, more)| *more > 0) {
            let places = if more == 1 { "place" } else { "places" };
            diagnostic.labels[0].text = format!("and in {more} more {places}");
        }
        Self(kept)
    }

    /// `windlass.yaml: 3 errors, nothing was changed`: the last line after the errors.
    pub fn summary(&self, file: &str) -> String {
        match self.errors() {
            1 => format!("{file}: 1 error, nothing was changed"),
            errors => format!("{file}: {errors} errors, nothing was changed"),
        }
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
