//! Every short form → its long form, every path → absolute: one way to say one
//! thing, so that merging, `config` and the Stack need to know one only.
//!
//! Runs once per file, since paths are relative to the file that wrote them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cloud_init;
mod mount;
mod pairs;
mod port;
mod workload;

use std::path::Path;

use super::path;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::yaml::{Entry, Mapping, Node, Value};

pub(super) use workload::Kind;

/// Brings one file's tree into its long form.
pub(super) struct Canonical<'a> {
    /// What its paths are relative to.
    pub(super) base: &'a Path,
    /// What `~` stands for.
    pub(super) home: Option<&'a str>,
    pub(super) found: &'a mut Diagnostics,
}

impl Canonical<'_> {
    /// A whole file.
    pub(super) fn document(&mut self, root: &mut Mapping) {
        if let Some(containers) = root.shift_remove("containers") {
            self.join(root, "services", containers);
        }
        for (name, entry) in root.iter_mut() {
            match name.as_str() {
                "services" => self.each(&mut entry.value, |this, entries| {
                    this.workload(entries, Kind::Service);
                }),
                "vms" => self.each(&mut entry.value, |this, entries| {
                    this.workload(entries, Kind::Vm);
                }),
                "networks" | "volumes" => {
                    self.each(&mut entry.value, |_, entries| Self::resource(entries));
                }
                "secrets" | "configs" => self.each(&mut entry.value, |this, entries| {
                    Self::resource(entries);
                    this.path_at(entries, "file");
                }),
                "cloud_init" => {
                    if let Some(documents) = entry.value.as_mapping_mut() {
                        for entry in documents.values_mut() {
                            self.document_path(&mut entry.value);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// `containers:` is another spelling of `services:`; both may be used at once.
    fn join(&mut self, root: &mut Mapping, name: &str, other: Entry) {
        match root.get_mut(name) {
            None => {
                root.insert(name.to_owned(), other);
            }
            Some(entry) => {
                let (Some(into), Value::Mapping(from)) =
                    (entry.value.as_mapping_mut(), other.value.value)
                else {
                    return;
                };
                for (name, entry) in from {
                    if let Some(first) = into.get(&name) {
                        self.found.push(
                            Diagnostic::error(format!("`{name}` is declared twice"))
                                .label(entry.key, "here under `containers`")
                                .label(first.key, "and here under `services`"),
                        );
                    } else {
                        into.insert(name, entry);
                    }
                }
            }
        }
    }

    fn each(&mut self, node: &mut Node, visit: impl Fn(&mut Self, &mut Mapping)) {
        let Some(entries) = node.as_mapping_mut() else { return };
        for entry in entries.values_mut() {
            if entry.value.is_null() {
                entry.value = Node { tag: entry.value.tag.take(), ..Node::mapping(entry.key, []) };
            }
            if let Some(entries) = entry.value.as_mapping_mut() {
                visit(self, entries);
            }
        }
    }

    fn resource(entries: &mut Mapping) {
        if let Some(labels) = entries.get_mut("labels") {
            pairs::to_mapping(&mut labels.value);
        }
        // Compose's older `external: {name: …}`.
        if let Some(Entry { key, value }) = entries.get("external").cloned()
            && let Some(inner) = value.as_mapping()
        {
            if let Some(name) = inner.get("name") {
                entries.entry("name".to_owned()).or_insert_with(|| name.clone());
            }
            let external = Entry { key, value: Node::plain(value.span, "true") };
            entries.insert("external".to_owned(), external);
        }
        if let Some(options) = entries.get_mut("driver_opts") {
            pairs::values_to_text(&mut options.value);
        }
    }

    /// Makes the path at `key` absolute.
    fn path_at(&self, entries: &mut Mapping, key: &str) {
        if let Some(entry) = entries.get_mut(key) {
            self.path(&mut entry.value);
        }
    }

    fn path(&self, node: &mut Node) {
        if let Some(text) = node.as_text() {
            let absolute = path::absolute(self.base, text, self.home);
            set_text(node, absolute.display().to_string());
        }
    }
}

/// Replaces a scalar's text; its place and tag stay.
fn set_text(node: &mut Node, text: String) {
    node.value = Node::text(node.span, text).value;
}

/// Replaces what a node is; its place and tag stay.
fn set(node: &mut Node, value: Node) {
    node.value = value.value;
}
