//! A Spec as `config` shows it: Compose's form, VMs under `vms`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value as Json};

use super::Spec;
use crate::yaml::{Meaning, Node, Value};

/// Indented JSON, keys sorted.
pub fn json(spec: &Spec) -> String {
    format!("{:#}", value(spec))
}

/// YAML, keys sorted.
pub fn yaml(spec: &Spec) -> String {
    // A tree of text, numbers and truth values has no way to fail.
    serde_saphyr::to_string(&value(spec)).unwrap_or_default()
}

/// The tree both are written from.
pub fn value(spec: &Spec) -> Json {
    let mut root = to_json(&spec.document);
    escape(&mut root);
    if let Some(root) = root.as_object_mut() {
        only_used(root);
        root.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
        if let Some(Json::Object(services)) = root.get_mut("services") {
            for service in services.values_mut().filter_map(Json::as_object_mut) {
                for always in ["command", "entrypoint"] {
                    service.entry(always).or_insert(Json::Null);
                }
                service.retain(|key, value| keep(key, value));
                let ours = service.iter_mut().filter(|(key, _)| !NAMED.contains(&key.as_str()));
                ours.for_each(|(_, value)| without_extensions(value));
                if let Some(Json::Object(deploy)) = service.get_mut("deploy") {
                    for always in ["placement", "resources"] {
                        deploy.entry(always).or_insert_with(|| Map::new().into());
                    }
                }
            }
        }
    }
    sort(&mut root);
    root
}

/// Mappings whose keys are names of the user's choice, an `x-` in them included.
const NAMED: &[&str] =
    &["environment", "labels", "annotations", "sysctls", "networks", "depends_on", "args"];

/// Extensions are shown at the top level only.
fn without_extensions(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(without_extensions),
        Json::Object(entries) => {
            entries.retain(|key, _| !key.starts_with("x-"));
            let ours = entries.iter_mut().filter(|(key, _)| !NAMED.contains(&key.as_str()));
            ours.for_each(|(_, value)| without_extensions(value));
        }
        _ => {}
    }
}

/// Compose shows what a workload uses. A VM's disks are volumes too.
fn only_used(root: &mut Map<String, Json>) {
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let mut used: BTreeSet<String> = BTreeSet::new();
        for kind in ["services", "vms"] {
            let workloads = root.get(kind).and_then(Json::as_object);
            for workload in workloads.into_iter().flat_map(Map::values) {
                let keys: &[&str] =
                    if section == "volumes" { &["volumes", "mounts", "disks"] } else { &[section] };
                keys.iter().filter_map(|key| workload.get(key)).for_each(|uses| match uses {
                    Json::Object(names) => used.extend(names.keys().cloned()),
                    Json::Array(items) => used.extend(
                        items
                            .iter()
                            .filter_map(|item| Some(item.get("source")?.as_str()?.to_owned())),
                    ),
                    _ => {}
                });
                let build = workload.get("build").and_then(|build| build.get(section));
                used.extend(
                    build
                        .and_then(Json::as_array)
                        .into_iter()
                        .flatten()
                        .filter_map(|item| Some(item.get("source")?.as_str()?.to_owned())),
                );
            }
        }
        if let Some(Json::Object(resources)) = root.get_mut(section) {
            resources.retain(|name, _| used.contains(name));
        }
    }
}

/// What is read again must mean the same: a dollar sign is written `$$`, except
/// in cloud-init's documents, where it is never looked at.
fn escape(value: &mut Json) {
    match value {
        Json::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Json::Array(items) => items.iter_mut().for_each(escape),
        Json::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("cloud_init", Json::Object(parts)) => {
                        parts.get_mut("meta_data").into_iter().for_each(escape);
                    }
                    ("cloud_init", _) => {}
                    (_, value) => escape(value),
                }
            }
        }
        _ => {}
    }
}

/// Sorts keys, as Compose does, but not those of documents that the guest reads.
fn sort(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(sort),
        Json::Object(entries) => {
            entries.sort_keys();
            let ours = entries.iter_mut().filter(|(key, _)| *key != "cloud_init");
            ours.for_each(|(_, value)| sort(value));
        }
        _ => {}
    }
}

/// Compose leaves out what says nothing.
fn keep(key: &str, value: &Json) -> bool {
    if key.starts_with("x-") {
        return false;
    }
    match value {
        Json::Array(items) => !items.is_empty() || matches!(key, "command" | "entrypoint"),
        Json::Object(entries) => !entries.is_empty(),
        Json::Null => matches!(key, "command" | "entrypoint"),
        Json::Bool(yes) => *yes || matches!(key, "attach" | "init"),
        _ => true,
    }
}

/// A node as JSON: bare scalars by their meaning, the rest as text.
pub(crate) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => Json::Null,
            Meaning::Bool(truth) => Json::Bool(truth),
            Meaning::Integer(number) => Json::Number(number.into()),
            Meaning::Float(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
            Meaning::Text(text) => Json::String(text.to_owned()),
        },
        Value::Sequence(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Mapping(entries) => Json::Object(
            entries.iter().map(|(key, entry)| (key.clone(), to_json(&entry.value))).collect(),
        ),
    }
}
