//! What cloud-init is given: documents from names, paths, mappings and bodies,
//! byte for byte, and looked at just enough to catch what cannot work.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::field::{items, text};
use super::{Resolver, Written};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Span};
use crate::spec::is_body;
use crate::spec::render::to_json;
use crate::stack::vm::{Document, Inline};
use crate::stack::{CloudInit, OnChange};
use crate::yaml::{self, Node};

/// How user-data may begin: cloud-init goes by the first line.
const HEADERS: &[&str] = &[
    "#cloud-config",
    "#!",
    "#include",
    "#cloud-boothook",
    "#part-handler",
    "## template: jinja",
    "Content-Type:",
    "MIME-Version:",
];

impl Resolver<'_> {
    pub(super) fn cloud_init(&mut self, written: Written<'_>) -> Option<CloudInit> {
        let Some(node) = written.node.get("cloud_init") else { return Some(CloudInit::default()) };
        node.as_mapping()?;
        let origin = format!("cloud_init of vm {}", written.name);
        let meta_data = match node.get("meta_data").map(to_json) {
            Some(Json::Object(entries)) => entries,
            _ => serde_json::Map::new(),
        };
        let network_config = node.get("network_config");
        Some(CloudInit {
            user_data: self.documents(node, "user_data", &origin),
            vendor_data: self.documents(node, "vendor_data", &origin),
            meta_data,
            network_config: network_config
                .and_then(|network| self.document(network, &origin, Purpose::Network)),
            on_change: match text(node, "on_change").as_deref() {
                Some("replace") => OnChange::Replace,
                Some("ignore") => OnChange::Ignore,
                _ => OnChange::Rerun,
            },
        })
    }

    fn documents(&mut self, node: &Node, key: &str, origin: &str) -> Vec<Document> {
        let documents = items(node, key).iter();
        documents.filter_map(|item| self.document(item, origin, Purpose::Data)).collect()
    }

    fn document(&mut self, node: &Node, origin: &str, purpose: Purpose) -> Option<Document> {
        if node.as_mapping().is_some() {
            let inline = self.inline(node);
            return Some(Document { inline, ..Document::new(origin, body_of(node, purpose)) });
        }
        let written = node.as_text()?;
        if is_body(written) {
            self.check_inline(written, node.span, purpose);
            let inline = self.inline(node);
            return Some(Document { inline, ..Document::new(origin, written) });
        }
        if written.starts_with('/') {
            return self.file(Path::new(written), node.span, purpose);
        }
        let Some(named) = self.section("cloud_init").and_then(|all| all.get(written)) else {
            let title = format!("there is no cloud-config `{written}`");
            let help =
                format!("`cloud_init: {{ {written}: … }}` declares it; a path starts with `./`");
            if self.section("cloud_init").is_none() {
                self.found.push(Diagnostic::error(title).at(node.span).help(help));
            } else {
                self.unknown(title, written, "cloud_init", "cloud-config", node.span);
            }
            return None;
        };
        let refers_on =
            named.value.as_text().is_some_and(|text| !is_body(text) && !text.starts_with('/'));
        if refers_on {
            self.found.push(
                Diagnostic::error(format!(
                    "cloud-config `{written}` is neither a path nor a mapping"
                ))
                .at(named.value.span)
                .help("a path starts with `./`, `../`, `/` or `~`"),
            );
            return None;
        }
        self.document(&named.value, &format!("cloud_init.{written}"), purpose)
    }

    fn file(&mut self, path: &Path, place: Span, purpose: Purpose) -> Option<Document> {
        let shown = self.sources.shown_path(path);
        let body = match self.files.read(path) {
            Ok(body) => body,
            Err(error) => {
                let title = match error.kind() {
                    std::io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
                    _ => format!("cannot read `{shown}`: {error}"),
                };
                self.error(title, place);
                return None;
            }
        };
        let file = self.sources.add(path, body.as_str());
        self.header(&body, Span::start_of(file), purpose);
        if is_cloud_config(&body) || purpose == Purpose::Network {
            let mut found = Diagnostics::new();
            yaml::parse(file, &body, &mut found);
            self.found.extend(as_cloud_init_sees_it(&found));
        }
        Some(Document::new(shown, body))
    }

    /// Where a document stands that has no file of its own.
    fn inline(&self, node: &Node) -> Option<Inline> {
        let file = node.span.file;
        let (path, text) = (self.sources.shown(file).into(), self.sources.text(file));
        (node.span.line > 0).then(|| Inline { path, text, node: Arc::new(node.clone()) })
    }

    /// A body within the stack file: its places are those of the whole.
    fn check_inline(&mut self, body: &str, place: Span, purpose: Purpose) {
        self.header(body, place, purpose);
        if is_cloud_config(body) || purpose == Purpose::Network {
            let mut found = Diagnostics::new();
            yaml::parse(place.file, body, &mut found);
            for diagnostic in as_cloud_init_sees_it(&found).iter() {
                let line = diagnostic.labels.first().map_or(1, |label| label.span.line);
                let title = format!("{}, in line {line} of this", diagnostic.title);
                self.found
                    .push(Diagnostic { title, labels: vec![], ..diagnostic.clone() }.at(place));
            }
        }
    }

    fn header(&mut self, body: &str, place: Span, purpose: Purpose) {
        if purpose == Purpose::Network || HEADERS.iter().any(|header| body.starts_with(header)) {
            return;
        }
        let first = body.lines().next().unwrap_or_default();
        let place = Span {
            end: place.end.max(place.start + u32::try_from(first.len()).unwrap_or(0)),
            ..place
        };
        self.found.push(
            Diagnostic::error("cloud-init would ignore this: its first line says no known type")
                .at(place)
                .help("start with `#cloud-config` (or `#!/bin/sh` for a script)"),
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// User-data and vendor-data.
    Data,
    /// network-config, which has no header.
    Network,
}

fn is_cloud_config(body: &str) -> bool {
    let first = body.lines().next().unwrap_or_default().trim_end();
    first == "#cloud-config"
}

/// cloud-init takes the last of two equal keys; losing the first is worth a warning only.
fn as_cloud_init_sees_it(found: &Diagnostics) -> Diagnostics {
    found
        .iter()
        .cloned()
        .map(|diagnostic| {
            let severity =
                if diagnostic.labels.len() > 1 { Severity::Warning } else { diagnostic.severity };
            Diagnostic { severity, ..diagnostic }
        })
        .collect()
}

/// A mapping written out for the guest.
fn body_of(node: &Node, purpose: Purpose) -> String {
    // A tree of text, numbers and truth values has no way to fail.
    let yaml = serde_saphyr::to_string(&to_json(node)).unwrap_or_default();
    match purpose {
        Purpose::Data => format!("#cloud-config\n{yaml}"),
        Purpose::Network => yaml,
    }
}
