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
    root.sort_all_objects();
    root
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
