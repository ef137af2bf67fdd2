//! Values of a node in its long form. The checker has seen them: what does not
//! fit any more was taken out and spoken about.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::spec;
use crate::yaml::{Node, Scalar};

pub(super) fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.as_text().map(str::to_owned)
}

pub(super) fn truth(node: &Node, key: &str) -> bool {
    node.get(key).and_then(Node::as_scalar).and_then(Scalar::as_bool).unwrap_or(false)
}

pub(super) fn integer(node: &Node, key: &str) -> Option<i64> {
    node.get(key)?.as_scalar()?.as_integer()
}

pub(super) fn bytes(node: &Node, key: &str) -> Option<u64> {
    spec::bytes(node.get(key)?.as_text()?)
}

pub(super) fn duration(node: &Node, key: &str) -> Option<Duration> {
    spec::duration(node.get(key)?.as_text()?)
}

pub(super) fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_sequence).unwrap_or_default()
}

pub(super) fn texts(node: &Node, key: &str) -> Vec<String> {
    items(node, key).iter().filter_map(|item| item.as_text().map(str::to_owned)).collect()
}

/// A list, told apart from its absence; an empty one is there.
pub(super) fn maybe_texts(node: &Node, key: &str) -> Option<Vec<String>> {
    let items = node.get(key)?.as_sequence()?;
    // An empty word is a word: only null is left out.
    Some(items.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect())
}

/// A mapping to text; names without a value are left out.
pub(super) fn pairs(node: &Node, key: &str) -> BTreeMap<String, String> {
    let entries = node.get(key).and_then(Node::as_mapping).into_iter().flatten();
    entries
        .filter_map(|(name, entry)| Some((name.clone(), entry.value.as_text()?.to_owned())))
        .collect()
}
