//! What a Compose file means without saying it: the default network, names on
//! the host, conditions of short dependencies.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Entry, Mapping, Node, Value};

/// Fills in what follows from the rest.
pub(super) fn normalise(document: &mut Node, project: &str, found: &mut Diagnostics) {
    let span = document.span;
    let vms: Vec<String> = document
        .get("vms")
        .and_then(Node::as_mapping)
        .map_or_else(Vec::new, |vms| vms.keys().cloned().collect());
    let Some(root) = document.as_mapping_mut() else { return };
    root.shift_remove("version");
    root.insert("name".to_owned(), Entry { key: span, value: Node::text(span, project) });
    one_name_space(root, found);
    let mut default_used = false;
    for section in ["services", "vms"] {
        let workloads = root.get_mut(section).and_then(|entry| entry.value.as_mapping_mut());
        for entry in workloads.into_iter().flat_map(|workloads| workloads.values_mut()) {
            let key = entry.key;
            let Some(entries) = entry.value.as_mapping_mut() else { continue };
            default_used |= join_default(entries, key);
            links(entries);
            conditions(entries, &vms);
            files(entries);
        }
    }
    if default_used {
        let networks = root
            .entry("networks".to_owned())
            .or_insert_with(|| Entry { key: span, value: Node::mapping(span, []) });
        if networks.value.is_null() {
            networks.value = Node::mapping(span, []);
        }
        if let Some(networks) = networks.value.as_mapping_mut() {
            networks
                .entry("default".to_owned())
                .or_insert_with(|| Entry { key: span, value: Node::mapping(span, []) });
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(resources) = root.get_mut(section).and_then(|entry| entry.value.as_mapping_mut())
        else {
            continue;
        };
        for (name, entry) in resources {
            let key = entry.key;
            if let Some(entries) = entry.value.as_mapping_mut() {
                resource(section, name, entries, key, project);
            }
        }
    }
}

/// A VM and a service with one name cannot be told apart.
fn one_name_space(root: &Mapping, found: &mut Diagnostics) {
    let section = |name: &str| root.get(name).and_then(|entry| entry.value.as_mapping());
    let (Some(services), Some(vms)) = (section("services"), section("vms")) else { return };
    for (name, vm) in vms {
        if let Some(service) = services.get(name) {
            found.push(
                Diagnostic::error(format!("`{name}` is both a VM and a service"))
                    .label(vm.key, "the VM")
                    .label(service.key, "the service")
                    .help("rename one of them: they share one name space"),
            );
        }
    }
}

/// A workload that says nothing about networks joins `default`.
fn join_default(entries: &mut Mapping, span: Span) -> bool {
    if entries.contains_key("network_mode") {
        return false;
    }
    let networks = entries.get("networks").and_then(|entry| entry.value.as_mapping());
    if let Some(networks) = networks.filter(|networks| !networks.is_empty()) {
        return networks.contains_key("default");
    }
    let value = Node::mapping(span, [("default".to_owned(), Node::null(span))]);
    entries.insert("networks".to_owned(), Entry { key: span, value });
    true
}

/// What is linked to is waited for, and its restarts are followed.
fn links(entries: &mut Mapping) {
    let mut waited: Vec<(String, Span, bool)> = Vec::new();
    for (key, restart) in [("links", true), ("volumes_from", false)] {
        let items = entries.get(key).and_then(|entry| entry.value.as_sequence());
        for item in items.into_iter().flatten() {
            let name = item.as_text().unwrap_or_default().split(':').next().unwrap_or_default();
            if name != "container" {
                waited.push((name.to_owned(), item.span, restart));
            }
        }
    }
    for key in ["network_mode", "ipc", "pid"] {
        let mode = entries.get(key).map(|entry| &entry.value);
        if let Some((name, span)) = mode.and_then(|mode| {
            Some((mode.as_text()?.strip_prefix("service:")?.to_owned(), mode.span))
        }) {
            waited.push((name, span, true));
        }
    }
    let Some((_, first, _)) = waited.first() else { return };
    let first = *first;
    let dependencies = entries
        .entry("depends_on".to_owned())
        .or_insert_with(|| Entry { key: first, value: Node::mapping(first, []) });
    let Some(dependencies) = dependencies.value.as_mapping_mut() else { return };
    for (name, span, restart) in waited {
        let follow = restart.then(|| ("restart".to_owned(), Node::plain(span, "true")));
        let details = [
            ("condition".to_owned(), Node::text(span, "service_started")),
            ("required".to_owned(), Node::plain(span, "true")),
        ];
        let value = Node::mapping(span, details.into_iter().chain(follow));
        dependencies.entry(name).or_insert(Entry { key: span, value });
    }
}

fn conditions(entries: &mut Mapping, vms: &[String]) {
    let dependencies = entries.get_mut("depends_on").and_then(|entry| entry.value.as_mapping_mut());
    for (name, entry) in dependencies.into_iter().flatten() {
        let span = entry.key;
        let Some(condition) =
            entry.value.as_mapping_mut().and_then(|entries| entries.get_mut("condition"))
        else {
            continue;
        };
        if condition.value.is_null() {
            let word = if vms.contains(name) { "service_ready" } else { "service_started" };
            condition.value = Node::text(span, word);
        }
    }
}

/// Secrets go to `/run/secrets/NAME`, where nothing else is said.
fn files(entries: &mut Mapping) {
    let Some(Value::Sequence(items)) =
        entries.get_mut("secrets").map(|entry| &mut entry.value.value)
    else {
        return;
    };
    for item in items {
        let source = item.get("source").and_then(Node::as_text).map(str::to_owned);
        let span = item.span;
        if let (Some(source), Some(entries)) = (source, item.as_mapping_mut()) {
            entries.entry("target".to_owned()).or_insert_with(|| Entry {
                key: span,
                value: Node::text(span, format!("/run/secrets/{source}")),
            });
        }
    }
}

fn resource(section: &str, name: &str, entries: &mut Mapping, span: Span, project: &str) {
    let external = entries.get("external").and_then(|entry| entry.value.as_text()) == Some("true");
    let resolved = if external { name.to_owned() } else { format!("{project}_{name}") };
    entries
        .entry("name".to_owned())
        .or_insert_with(|| Entry { key: span, value: Node::text(span, resolved) });
    if section == "networks" {
        entries
            .entry("ipam".to_owned())
            .or_insert_with(|| Entry { key: span, value: Node::mapping(span, []) });
    }
}
