//! The parser's events → nodes: aliases, merge keys, duplicate keys, budgets.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span as Range, Tag};
use indexmap::map::Entry as Slot;

use super::error::{from_scan, span_at};
use super::{Entry, Mapping, Node, Scalar, Style, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Span};

/// How deep a file may nest.
const DEPTH: usize = 100;
/// How large a file may be.
const BYTES: usize = 16 << 20;
/// What aliases may add whatever the file's size; beyond it, one node per byte.
const ALIASED: usize = 10_000;

/// Every document of `text`. What is wrong is added to `found`; a document
/// that could be read in spite of it (a key given twice) is returned all the same.
pub fn parse(file: FileId, text: &str, found: &mut Diagnostics) -> Vec<Node> {
    if text.len() > BYTES {
        found.push(
            Diagnostic::error(format!("this file is larger than {} MiB", BYTES >> 20))
                .at(Span::start_of(file)),
        );
        return Vec::new();
    }
    let mut reader = Reader {
        file,
        text,
        found,
        open: Vec::new(),
        anchors: HashMap::new(),
        allowance: ALIASED + text.len(),
        documents: Vec::new(),
    };
    let options = granit_parser::options! {
        emit_comments: false, flow_nesting_limit: DEPTH + 1, block_nesting_limit: DEPTH + 1,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let read = match event {
            Ok((event, range)) => reader.event(event, &range),
            Err(error) => Err(from_scan(file, text, &error)),
        };
        if let Err(diagnostic) = read {
            reader.found.push(diagnostic);
            break;
        }
    }
    reader.documents
}

/// A collection that is being read.
struct Open {
    span: Span,
    tag: Option<Box<str>>,
    anchor: usize,
    /// Nodes in it so far, itself included.
    size: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping {
        entries: Mapping,
        /// The key whose value comes next, and whether it is the bare `<<`.
        key: Option<(String, Span, bool)>,
        /// What `<<` brings in, applied when the mapping ends: its own keys win.
        merged: Vec<Node>,
        merge_key: Option<Span>,
    },
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    found: &'a mut Diagnostics,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    allowance: usize,
    documents: Vec<Node>,
}

type Read = Result<(), Diagnostic>;

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: &Range) -> Read {
        let span = span_at(self.file, &range.start, &range.end);
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(span, anchor, tag.as_deref(), Items::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let (entries, merged) = (Mapping::new(), Vec::new());
                let items = Items::Mapping { entries, key: None, merged, merge_key: None };
                self.start(span, anchor, tag.as_deref(), items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        mut span: Span,
    ) -> Read {
        // A block scalar's range ends behind its line break.
        let raw = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        span.end -= u32::try_from(raw.len() - raw.trim_end().len()).unwrap_or(0);
        let text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        let plain = style == ScalarStyle::Plain && !text_tag;
        let scalar = Scalar {
            text: text.into_owned(),
            style: if plain { Style::Plain } else { Style::Quoted },
        };
        let node = Node { span, tag: own_tag(tag), value: Value::Scalar(scalar) };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.place(node, 1)
    }

    fn start(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, items: Items) -> Read {
        if self.open.len() >= DEPTH {
            return Err(
                Diagnostic::error(format!("this is nested deeper than {DEPTH} levels")).at(span)
            );
        }
        let span = Span { end: span.end.max(span.start), ..span };
        self.open.push(Open { span, tag: own_tag(tag), anchor, size: 1, items });
        Ok(())
    }

    fn end(&mut self) -> Read {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.items {
            Items::Sequence(items) => Value::Sequence(items),
            Items::Mapping { mut entries, merged, .. } => {
                for source in merged {
                    let Value::Mapping(source) = source.value else { continue };
                    for (key, entry) in source {
                        entries.entry(key).or_insert(entry);
                    }
                }
                Value::Mapping(entries)
            }
        };
        let node = Node { span: open.span, tag: open.tag, value };
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, (node.clone(), open.size));
        }
        self.place(node, open.size)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Read {
        // Known to the parser but not complete here: the alias stands inside its own anchor.
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error("this alias refers to what it stands in").at(span));
        };
        let (size, depth) = (*size, self.open.len());
        let Some(left) = self.allowance.checked_sub(size) else {
            return Err(Diagnostic::error("the aliases of this file expand to too much")
                .at(span)
                .help("repeat less, or write out what the innermost aliases stand for"));
        };
        self.allowance = left;
        if depth + node_depth(node) > DEPTH {
            return Err(
                Diagnostic::error(format!("this is nested deeper than {DEPTH} levels")).at(span)
            );
        }
        // A clone keeps the places of where it was written: that is where a mistake is mended.
        let node = node.clone();
        self.place(node, size)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, size: usize) -> Read {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        open.size += size;
        match &mut open.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, key, merged, merge_key } => match key.take() {
                None => *key = Some(read_key(node)?),
                Some((_, span, true)) => {
                    if let Some(first) = merge_key.replace(span) {
                        self.found.push(twice("<<", first, span));
                    }
                    merge_sources(node, merged)?;
                }
                Some((name, span, false)) => match entries.entry(name) {
                    Slot::Vacant(slot) => {
                        slot.insert(Entry { key: span, value: node });
                    }
                    Slot::Occupied(slot) => {
                        self.found.push(twice(slot.key(), slot.get().key, span));
                    }
                },
            },
        }
        Ok(())
    }
}

/// A scalar as a key: its text, its place, and whether it is the merge key.
fn read_key(node: Node) -> Result<(String, Span, bool), Diagnostic> {
    match node.value {
        Value::Scalar(scalar) => {
            let merge = scalar.style == Style::Plain && scalar.text == "<<";
            Ok((scalar.text, node.span, merge))
        }
        Value::Sequence(_) | Value::Mapping(_) => Err(Diagnostic::error("a key must be a word")
            .at(node.span)
            .help("if this was meant as text (`{{ … }}`, `[…]`), put it in quotes")),
    }
}

/// What `<<:` names: a mapping, or a list of them of which the earlier win.
fn merge_sources(node: Node, merged: &mut Vec<Node>) -> Read {
    match node.value {
        Value::Mapping(_) => merged.push(node),
        Value::Sequence(items) => {
            for item in items {
                if item.as_mapping().is_none() {
                    return Err(not_mergeable(&item));
                }
                merged.push(item);
            }
        }
        Value::Scalar(_) => return Err(not_mergeable(&node)),
    }
    Ok(())
}

fn not_mergeable(node: &Node) -> Diagnostic {
    Diagnostic::error(format!("`<<` needs a mapping to merge, found {}", node.description()))
        .at(node.span)
        .help("write `<<: *anchor`, the anchor standing on a mapping")
}

fn twice(key: &str, first: Span, second: Span) -> Diagnostic {
    Diagnostic::error(format!("key `{key}` is given twice"))
        .label(second, "given again here")
        .label(first, "first given here")
        .help("take one of the two away")
}

/// Tags that are YAML's own (`!!str`) act on reading; only others are kept.
fn own_tag(tag: Option<&Tag>) -> Option<Box<str>> {
    tag.filter(|tag| !tag.is_yaml_core_schema()).map(|tag| tag.original().into())
}

fn node_depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::Sequence(items) => 1 + items.iter().map(node_depth).max().unwrap_or(0),
        Value::Mapping(entries) => {
            1 + entries.values().map(|entry| node_depth(&entry.value)).max().unwrap_or(0)
        }
    }
}
