//! A document as it can be pointed into: its nodes, and the file that they
//! stand in, which is its own or the stack file.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::Blame;
use crate::diagnostic::{Diagnostics, FileId, Span};
use crate::stack::vm::Document;
use crate::yaml::{self, Node};

/// A document and what is needed to find places in it.
pub(super) struct Reading<'a> {
    document: &'a Document,
    path: PathBuf,
    text: Arc<str>,
    /// The cloud-config, where it is one.
    pub(super) root: Option<Cow<'a, Node>>,
    shift: Shift,
}

/// How a place in the body becomes one in the file.
enum Shift {
    /// It is one already.
    None,
    /// The body is an indented block: the file's byte where each line begins.
    Lines(Vec<usize>),
    /// The body is not in the file as it stands (a folded or quoted text).
    Lost,
}

impl<'a> Reading<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        let body = &document.body;
        let Some(inline) = &document.inline else {
            return Self {
                document,
                path: document.origin.clone().into(),
                text: body.as_str().into(),
                root: root(body).map(Cow::Owned),
                shift: Shift::None,
            };
        };
        let written = inline.node.as_mapping().is_some();
        Self {
            document,
            path: inline.path.clone(),
            text: Arc::clone(&inline.text),
            root: if written {
                Some(Cow::Borrowed(&*inline.node))
            } else {
                root(body).map(Cow::Owned)
            },
            shift: if written { Shift::None } else { shift(body, &inline.text, inline.node.span) },
        }
    }

    /// The document's text.
    pub(super) fn body(&self) -> &str {
        &self.document.body
    }

    /// The value of a key at the top.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.root.as_ref()?.get(key)
    }

    /// Blames the key itself.
    pub(super) fn blame_key(&self, key: &str, said: Option<String>) -> Option<Blame> {
        let entry = self.root.as_ref()?.as_mapping()?.get(key)?;
        self.blame(entry.key, key, said)
    }

    /// Blames a node: a scalar whole, of a collection its first scalar.
    pub(super) fn blame_node(&self, node: &Node, said: Option<String>) -> Option<Blame> {
        let first = first_scalar(node)?;
        self.blame(first.0, first.1, said)
    }

    /// Blames a line of the body, counted from 1.
    pub(super) fn blame_line(&self, number: usize, said: Option<String>) -> Option<Blame> {
        let line = self.body().lines().nth(number.checked_sub(1)?)?;
        let start: usize = self.body().split_inclusive('\n').take(number - 1).map(str::len).sum();
        let blanks = line.len() - line.trim_start().len();
        self.blame_bytes(start + blanks..start + line.trim_end().len(), said)
    }

    /// Only where the file really has `text` there: what was merged from
    /// another file, or is an alias, has its place elsewhere.
    fn blame(&self, span: Span, text: &str, said: Option<String>) -> Option<Blame> {
        let blame = self.blame_bytes(span.start as usize..span.end as usize, said)?;
        let first = text.lines().find(|line| !line.trim().is_empty())?;
        blame.text[blame.range.clone()].contains(first.trim()).then_some(blame)
    }

    fn blame_bytes(&self, range: Range<usize>, said: Option<String>) -> Option<Blame> {
        let range = match &self.shift {
            Shift::None => range,
            Shift::Lost => return None,
            Shift::Lines(lines) => {
                let before = self.body().get(..range.start)?;
                let number = before.matches('\n').count();
                let column = range.start - before.rfind('\n').map_or(0, |newline| newline + 1);
                // What goes on over several lines is pointed at where it begins.
                let first = self.body().get(range)?.lines().next()?;
                let start = lines.get(number)? + column;
                start..start + first.len()
            }
        };
        self.text.get(range.clone())?;
        Some(Blame { path: self.path.clone(), text: Arc::clone(&self.text), range, said })
    }
}

fn root(body: &str) -> Option<Node> {
    if !body.starts_with("#cloud-config") {
        return None;
    }
    let mut found = Diagnostics::new();
    yaml::parse(FileId::default(), body, &mut found).into_iter().next()
}

/// Where the lines of a literal block (`|`) stand in the file around it.
fn shift(body: &str, file: &str, span: Span) -> Shift {
    let Some(block) = file.get(span.start as usize..) else { return Shift::Lost };
    // Its place is that of the mark, or of its first line.
    let mut at = span.start as usize;
    if block.starts_with('|') {
        at += block.find('\n').map_or(block.len(), |newline| newline + 1);
    } else {
        at = file[..at].rfind('\n').map_or(0, |newline| newline + 1);
    }
    let mut lines = Vec::new();
    let mut rest = body.lines();
    let mut next = rest.next();
    for line in file[at..].split_inclusive('\n') {
        let Some(wanted) = next else { break };
        let Some(indent) = line.trim_end_matches(['\n', '\r']).strip_suffix(wanted) else {
            return Shift::Lost;
        };
        if !indent.chars().all(|c| c == ' ') {
            return Shift::Lost;
        }
        lines.push(at + indent.len());
        at += line.len();
        next = rest.next();
    }
    if next.is_none() { Shift::Lines(lines) } else { Shift::Lost }
}

fn first_scalar(node: &Node) -> Option<(Span, &str)> {
    if let Some(scalar) = node.as_scalar() {
        return Some((node.span, &scalar.text));
    }
    if let Some(items) = node.as_sequence() {
        return items.iter().find_map(first_scalar);
    }
    let (key, entry) = node.as_mapping()?.first()?;
    Some((entry.key, key))
}
