//! `env_file:` and names without a value → `environment:`, whole.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;

use super::dotenv::{self, Format};
use super::load::Loader;
use crate::yaml::{Entry, Mapping, Node, Value};

/// Fills in the environment of every workload. Later files win, `environment` over all.
pub(super) fn resolve(document: &mut Node, loader: &mut Loader<'_>) {
    let Some(root) = document.as_mapping_mut() else { return };
    for section in ["services", "vms"] {
        let workloads = root.get_mut(section).and_then(|entry| entry.value.as_mapping_mut());
        for entry in workloads.into_iter().flat_map(|workloads| workloads.values_mut()) {
            if let Some(entries) = entry.value.as_mapping_mut() {
                workload(entries, loader);
            }
        }
    }
}

fn workload(entries: &mut Mapping, loader: &mut Loader<'_>) {
    let mut environment = Mapping::new();
    let files = entries.shift_remove("env_file");
    let place = files.as_ref().map(|files| files.key);
    for file in files.iter().flat_map(|files| files.value.as_sequence().unwrap_or_default()) {
        for (name, value) in read(file, &environment, loader) {
            let value = Node::text(file.span, value);
            environment.insert(name, Entry { key: file.span, value });
        }
    }
    if let Some(own) = entries.get("environment").and_then(|entry| entry.value.as_mapping()) {
        for (name, entry) in own {
            let mut entry = entry.clone();
            if entry.value.is_null()
                && let Some(value) = loader.variables.get(name)
            {
                entry.value = Node::text(entry.key, value.as_str());
            }
            environment.insert(name.clone(), entry);
        }
    }
    let Some(key) = entries.get("environment").map(|entry| entry.key).or(place) else { return };
    let value = Node::new(key, Value::Mapping(environment));
    entries.insert("environment".to_owned(), Entry { key, value });
}

fn read(file: &Node, so_far: &Mapping, loader: &mut Loader<'_>) -> Vec<(String, String)> {
    let Some((path, place)) = file.get("path").and_then(|path| Some((path.as_text()?, path.span)))
    else {
        return Vec::new();
    };
    let required = file.get("required").and_then(Node::as_text) != Some("false");
    if !required && !loader.files.exists(Path::new(path)) {
        return Vec::new();
    }
    let format = match file.get("format").and_then(Node::as_text) {
        Some("raw") => Format::Raw,
        _ => Format::Compose,
    };
    let Some(id) = loader.read_file(Path::new(path), Some(place)) else { return Vec::new() };
    let mut outer = loader.variables.clone();
    for (name, entry) in so_far {
        let value = entry.value.as_text().unwrap_or_default();
        outer.entry(name.clone()).or_insert_with(|| value.to_owned());
    }
    dotenv::parse(id, &loader.sources, &outer, format, &mut loader.found)
}
