//! A Spec as `config` shows it: Compose's form, VMs under `vms`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

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
        root.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
        if let Some(Json::Object(services)) = root.get_mut("services") {
            for service in services.values_mut().filter_map(Json::as_object_mut) {
                for always in ["command", "entrypoint"] {
                    service.entry(always).or_insert(Json::Null);
                }
                service.retain(|key, value| keep(key, value));
            }
        }
    }
    sort(&mut root);
    root
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
