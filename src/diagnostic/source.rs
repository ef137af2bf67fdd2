//! The files that were read, and places in them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file in [`Sources`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A place in a file. Ordered by file, then by position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The start of a file.
    pub fn start_of(file: FileId) -> Self {
        Self { file, start: 0, end: 0, line: 1, column: 1 }
    }
}

/// One file's text.
#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
    text: Arc<str>,
}

/// The text of every file that was read, for rendering.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    base: PathBuf,
    files: Vec<Source>,
}

impl Sources {
    /// No files yet; paths are shown relative to `base`.
    pub fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), files: Vec::new() }
    }

    /// Keeps a file's text and gives it an id.
    pub fn add(&mut self, path: &Path, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path: path.to_owned(), text: text.into() });
        id
    }

    /// The text of `file`.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0 as usize).map_or_else(|| "".into(), |source| source.text.clone())
    }

    /// The path of `file`, as it is shown: relative to the base where it is below it.
    pub fn shown(&self, file: FileId) -> String {
        let source = self.files.get(file.0 as usize);
        source.map_or_else(String::new, |source| self.shown_path(&source.path))
    }

    /// A path as it is shown: relative to the base where it is below it.
    pub fn shown_path(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).display().to_string()
    }

    /// `windlass.yaml:4:3`.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}:{}", self.shown(span.file), span.line, span.column)
    }

    /// The paths of all files, in the order they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|source| source.path.as_path())
    }

    /// A place given by byte offsets.
    pub fn span(&self, file: FileId, start: usize, end: usize) -> Span {
        let text = self.text(file);
        let start = (0..=start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let start = start.unwrap_or(0);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Span {
            file,
            start: number(start),
            end: number(end.clamp(start, text.len())),
            line: number(before.matches('\n').count() + 1),
            column: number(before[line_start..].chars().count() + 1),
        }
    }
}
