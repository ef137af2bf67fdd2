//! `cloud_init:` → its long form: lists of documents, each a name, an absolute
//! path, a mapping or a body.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Canonical, set};
use crate::diagnostic::Diagnostic;
use crate::spec::interpolate::is_body;
use crate::spec::path;
use crate::yaml::{Node, Scalar, Style, Value};

impl Canonical<'_> {
    /// A VM's `cloud_init:`.
    pub(super) fn cloud_init(&mut self, node: &mut Node) {
        if node.as_text() == Some("false") {
            return;
        }
        if let Some(Scalar { text, .. }) = node.as_scalar().filter(|scalar| !scalar.is_null())
            && text == "true"
        {
            self.found.push(
                Diagnostic::error("`cloud_init` is `false`, or says what cloud-init is given")
                    .at(node.span)
                    .help("leave it out: cloud-init runs unless it is `false`"),
            );
            set(node, Node::mapping(node.span, []));
            return;
        }
        if node.is_null() {
            set(node, Node::mapping(node.span, []));
        } else if node.as_mapping().is_none() {
            let documents = Node::new(node.span, node.value.clone());
            set(node, Node::mapping(node.span, [("user_data".to_owned(), documents)]));
        }
        let Some(parts) = node.as_mapping_mut() else { return };
        for (part, entry) in parts {
            match part.as_str() {
                "user_data" | "vendor_data" => self.documents(&mut entry.value),
                "network_config" => self.document_path(&mut entry.value),
                _ => {}
            }
        }
    }

    fn documents(&mut self, node: &mut Node) {
        if node.as_sequence().is_none() {
            let only = Node::new(node.span, node.value.clone());
            let items = if only.is_null() { vec![] } else { vec![only] };
            set(node, Node::sequence(node.span, items));
        }
        if let Value::Sequence(items) = &mut node.value {
            for item in items {
                self.document_path(item);
            }
        }
    }

    /// A path becomes absolute; names and bodies stay; a mapping is read as the guest reads it.
    pub(super) fn document_path(&self, node: &mut Node) {
        if node.as_mapping().is_some() {
            words_to_truth(node);
        }
        if node.as_text().is_some_and(|text| !is_body(text) && path::is_path(text)) {
            self.path(node);
        }
    }
}

/// cloud-init's YAML is 1.1's: a bare `yes` is true.
fn words_to_truth(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(scalar) if scalar.style == Style::Plain => {
            match scalar.text.to_ascii_lowercase().as_str() {
                "yes" | "on" => "true".clone_into(&mut scalar.text),
                "no" | "off" => "false".clone_into(&mut scalar.text),
                _ => {}
            }
        }
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter_mut().for_each(words_to_truth),
        Value::Mapping(entries) => {
            entries.values_mut().for_each(|entry| words_to_truth(&mut entry.value));
        }
    }
}
