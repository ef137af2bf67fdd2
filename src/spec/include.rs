//! `include:`: other projects' files below this one, each with its own
//! directory and variables.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};

use super::load::Loader;
use super::merge::merge;
use super::path;
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::Node;

/// One entry of `include:`.
struct Included {
    paths: Vec<(PathBuf, Span)>,
    directory: PathBuf,
    env_files: Vec<PathBuf>,
}

/// `root` on top of what it includes.
pub(super) fn resolve(mut root: Node, file: &Path, base: &Path, loader: &mut Loader<'_>) -> Node {
    let include = root.as_mapping_mut().and_then(|entries| entries.shift_remove("include"));
    let Some(include) = include else { return root };
    loader.open.push(file.to_owned());
    let mut below: Option<Node> = None;
    for item in include.value.as_sequence().unwrap_or_default() {
        let Some(included) = read(item, base, loader) else { continue };
        for layer in load(&included, loader) {
            below = Some(match below {
                Some(below) => merge(below, layer),
                None => layer,
            });
        }
    }
    loader.open.pop();
    let Some(mut below) = below else { return root };
    // A project's name is its own; the one that includes it has the say.
    if let Some(entries) = below.as_mapping_mut() {
        entries.shift_remove("name");
    }
    merge(below, root)
}

fn read(item: &Node, base: &Path, loader: &Loader<'_>) -> Option<Included> {
    let home = loader.variables.get("HOME").map(String::as_str);
    let absolute = |node: &Node| -> Option<(PathBuf, Span)> {
        Some((path::absolute(base, node.as_text()?, home), node.span))
    };
    let several = |node: Option<&Node>| -> Vec<(PathBuf, Span)> {
        node.map_or_else(Vec::new, |node| {
            let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
            items.iter().filter_map(absolute).collect()
        })
    };
    let (paths, directory, env_files) = if item.as_text().is_some() {
        (several(Some(item)), None, Vec::new())
    } else {
        let directory = item.get("project_directory").and_then(absolute);
        (several(item.get("path")), directory, several(item.get("env_file")))
    };
    let first = paths.first()?.0.parent()?.to_owned();
    Some(Included {
        paths,
        directory: directory.map_or(first, |(directory, _)| directory),
        env_files: env_files.into_iter().map(|(file, _)| file).collect(),
    })
}

/// The layers of one entry, read with variables of their own below ours.
fn load(included: &Included, loader: &mut Loader<'_>) -> Vec<Node> {
    let outer = loader.variables.clone();
    let usual = included.directory.join(".env");
    if !included.env_files.is_empty() {
        loader.add_variables(&included.env_files);
    } else if loader.files.exists(&usual) {
        loader.add_variables(&[usual]);
    }
    let mut layers = Vec::new();
    for (file, place) in &included.paths {
        if loader.open.contains(file) {
            let shown = loader.shown(file);
            loader.found.push(
                Diagnostic::error(format!("`{shown}` includes itself"))
                    .at(*place)
                    .help("take one of the `include` lines away"),
            );
        } else if loader.files.exists(file) {
            layers.extend(loader.layer(file, &included.directory));
        } else {
            loader.read_file(file, Some(*place));
        }
    }
    loader.variables = outer;
    layers
}
