//! Text → a tree of nodes that know their place, tag and raw text.
//!
//! Knows YAML and nothing of Compose. A scalar keeps the text that was written
//! (`0755` stays `0755`); what it means is asked of it. Aliases and merge keys
//! are resolved here, within budgets, so that nobody after this needs any.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod error;
mod read;
mod scalar;

use indexmap::IndexMap;

pub use read::parse;
pub use scalar::{Meaning, Scalar, Style};

use crate::diagnostic::Span;

/// A value in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// Its tag with the mark (`!reset`), if it has one that is not YAML's own.
    pub tag: Option<Box<str>>,
    /// What it is.
    pub value: Value,
}

/// The three things a node can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, a number, a truth value or nothing.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the file's order.
    Mapping(Mapping),
}

/// Keys and values, in the file's order.
pub type Mapping = IndexMap<String, Entry>;

/// A value and the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A node that was not written, standing for something at `span`.
    pub fn new(span: Span, value: Value) -> Self {
        Self { span, tag: None, value }
    }

    /// A string that was not written.
    pub fn text(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Value::Scalar(Scalar { text: text.into(), style: Style::Quoted }))
    }

    /// A number or truth value that was not written.
    pub fn plain(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Value::Scalar(Scalar { text: text.into(), style: Style::Plain }))
    }

    /// `null` that was not written.
    pub fn null(span: Span) -> Self {
        Self::plain(span, "null")
    }

    /// A mapping that was not written.
    pub fn mapping(span: Span, entries: impl IntoIterator<Item = (String, Self)>) -> Self {
        let entries =
            entries.into_iter().map(|(key, value)| (key, Entry { key: value.span, value }));
        Self::new(span, Value::Mapping(entries.collect()))
    }

    /// A list that was not written.
    pub fn sequence(span: Span, items: impl IntoIterator<Item = Self>) -> Self {
        Self::new(span, Value::Sequence(items.into_iter().collect()))
    }

    /// The mapping, if it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        if let Value::Mapping(mapping) = &self.value { Some(mapping) } else { None }
    }

    /// The mapping, if it is one.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        if let Value::Mapping(mapping) = &mut self.value { Some(mapping) } else { None }
    }

    /// The list, if it is one.
    pub fn as_sequence(&self) -> Option<&[Self]> {
        if let Value::Sequence(items) = &self.value { Some(items) } else { None }
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        if let Value::Scalar(scalar) = &self.value { Some(scalar) } else { None }
    }

    /// A scalar's text, unless it is null.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar().filter(|scalar| !scalar.is_null()).map(|scalar| scalar.text.as_str())
    }

    /// Whether it says nothing: `null`, `~` or an empty value.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(Scalar::is_null)
    }

    /// The value of `key`, if this is a mapping that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_mapping()?.get(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// The place of `key`, or of the whole where the key is not written.
    pub fn key_span(&self, key: &str) -> Span {
        self.as_mapping().and_then(|mapping| mapping.get(key)).map_or(self.span, |entry| entry.key)
    }

    /// What it is, in words: for "expected …, found …".
    pub fn description(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.description(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}
