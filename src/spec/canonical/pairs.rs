//! `[A=b]` and `{A: b}`: the mapping, with text as its values.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{set, set_text};
use crate::yaml::{Entry, Mapping, Node, Value};

/// A list of `A=b` → a mapping; null values become empty text. For labels.
pub(super) fn to_mapping(node: &mut Node) {
    list_to_mapping(node, '=');
    values_to_text(node);
    let Some(entries) = node.as_mapping_mut() else { return };
    for entry in entries.values_mut().filter(|entry| entry.value.is_null()) {
        entry.value = Node::text(entry.value.span, "");
    }
}

/// A list of `A=b` → a mapping; a name alone keeps null: its value is the caller's.
pub(super) fn to_environment(node: &mut Node) {
    list_to_mapping(node, '=');
    values_to_text(node);
}

/// Numbers and truth values become the text that was written.
pub(super) fn values_to_text(node: &mut Node) {
    let Some(entries) = node.as_mapping_mut() else { return };
    for entry in entries.values_mut() {
        if let Some(text) = entry.value.as_text().map(str::to_owned) {
            set_text(&mut entry.value, text);
        }
    }
}

/// `[host=address]`, `[host:address]`, `{host: address}` → a list of `host=address`.
pub(super) fn hosts(node: &mut Node) {
    let mut lines: Vec<Node> = Vec::new();
    match &node.value {
        Value::Mapping(entries) => {
            for (host, entry) in entries {
                let addresses =
                    entry.value.as_sequence().unwrap_or(std::slice::from_ref(&entry.value));
                for address in addresses {
                    let text = address.as_text().unwrap_or_default();
                    lines.push(Node::text(address.span, format!("{host}={text}")));
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let text = item.as_text().unwrap_or_default();
                let line = match text.find(['=', ':']) {
                    Some(at) => format!("{}={}", &text[..at], &text[at + 1..]),
                    None => text.to_owned(),
                };
                lines.push(Node::text(item.span, line));
            }
        }
        Value::Scalar(_) => return,
    }
    set(node, Node::sequence(node.span, lines));
}

fn list_to_mapping(node: &mut Node, separator: char) {
    let Some(items) = node.as_sequence() else { return };
    let mut entries = Mapping::new();
    for item in items {
        let Some(text) = item.as_text() else { continue };
        let (name, value) = match text.split_once(separator) {
            Some((name, value)) => (name, Node::text(item.span, value)),
            None => (text, Node::null(item.span)),
        };
        entries.insert(name.to_owned(), Entry { key: item.span, value });
    }
    set(node, Node::new(node.span, Value::Mapping(entries)));
}
