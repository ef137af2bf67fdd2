//! `extends:`: a service or VM on top of another one, of this file or another.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};

use super::load::Loader;
use super::merge::merge;
use super::path;
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::yaml::{Entry, Node};

const SECTIONS: [&str; 2] = ["services", "vms"];

/// Resolves every `extends` of a file.
pub(super) fn resolve(root: &mut Node, file: &Path, loader: &mut Loader<'_>) {
    for section in SECTIONS {
        let names: Vec<String> = root
            .get(section)
            .and_then(Node::as_mapping)
            .into_iter()
            .flatten()
            .filter(|(_, entry)| entry.value.get("extends").is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let mut trail = vec![(file.to_owned(), name.clone())];
            let resolved = workload(root, section, &name, &mut trail, loader);
            let slot = root
                .as_mapping_mut()
                .and_then(|entries| entries.get_mut(section))
                .and_then(|entry| entry.value.as_mapping_mut())
                .and_then(|entries| entries.get_mut(&name));
            if let (Some(slot), Some(resolved)) = (slot, resolved) {
                slot.value = resolved;
            }
        }
    }
}

type Trail = Vec<(PathBuf, String)>;

/// `section.name` of `root` with everything below it.
fn workload(
    root: &Node,
    section: &str,
    name: &str,
    trail: &mut Trail,
    loader: &mut Loader<'_>,
) -> Option<Node> {
    let mut own = root.get(section)?.as_mapping()?.get(name)?.value.clone();
    let Some(Entry { value: extends, .. }) =
        own.as_mapping_mut().and_then(|entries| entries.shift_remove("extends"))
    else {
        return Some(own);
    };
    let Some(base) = base(root, section, &extends, trail, loader) else { return Some(own) };
    Some(merge(base, own))
}

fn base(
    root: &Node,
    section: &str,
    extends: &Node,
    trail: &mut Trail,
    loader: &mut Loader<'_>,
) -> Option<Node> {
    let service = extends.get("service")?;
    let (name, place) = (service.as_text()?, service.span);
    let here = trail.last().map(|(file, _)| file.clone())?;
    let other = extends.get("file").and_then(|file| Some((file.as_text()?, file.span)));
    let file = match other {
        Some((written, _)) => {
            let home = loader.variables.get("HOME").cloned();
            path::absolute(here.parent()?, written, home.as_deref())
        }
        None => here,
    };
    if trail.contains(&(file.clone(), name.to_owned())) {
        let mut names: Vec<&str> = trail.iter().map(|(_, name)| name.as_str()).collect();
        names.push(name);
        let chain = names.join(" → ");
        loader.found.push(
            Diagnostic::error(format!("these extend each other: {chain}"))
                .at(place)
                .help("take one of the `extends` away"),
        );
        return None;
    }
    let layer;
    let root = if let Some((_, place)) = other {
        layer = other_file(&file, place, loader)?;
        &layer
    } else {
        root
    };
    if root.get(section).and_then(|entries| entries.get(name)).is_none() {
        not_there(root, section, name, place, loader);
        return None;
    }
    trail.push((file, name.to_owned()));
    let resolved = workload(root, section, name, trail, loader);
    trail.pop();
    resolved
}

fn other_file(file: &Path, place: Span, loader: &mut Loader<'_>) -> Option<Node> {
    if let Some(known) = loader.layers.get(file) {
        return known.clone();
    }
    let base = file.parent()?.to_owned();
    let layer = loader.plain_layer(file, &base, Some(place));
    loader.layers.insert(file.to_owned(), layer.clone());
    layer
}

fn not_there(root: &Node, section: &str, name: &str, place: Span, loader: &mut Loader<'_>) {
    let kind = if section == "vms" { "VM" } else { "service" };
    let names = root.get(section).and_then(Node::as_mapping);
    let names = names.into_iter().flat_map(|entries| entries.keys().map(String::as_str));
    loader.found.push(
        Diagnostic::error(format!("there is no {kind} `{name}` to extend"))
            .at(place)
            .maybe_help(did_you_mean(name, names)),
    );
}
