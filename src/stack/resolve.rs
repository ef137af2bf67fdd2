//! Spec → Stack: defaults filled in, every reference followed, clashes found.
//!
//! Everything wrong is said at once, each thing at its place. What it reads
//! besides (user-data, the presence of secrets) it reads through [`Files`].
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod clash;
mod cloud_init;
mod container;
mod cycle;
mod dependency;
mod develop;
mod field;
mod health;
mod image;
mod mount;
mod network;
mod port;
mod secret;
mod vm;
mod volume;
mod workload;

use std::collections::BTreeMap;

use super::{Drift, Network, Stack, Volume, Workload};
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span, did_you_mean, nearest};
use crate::spec::{self, Failed, Files, Source, Spec};
use crate::yaml::{Mapping, Node};

/// A stack file, read to its end.
#[derive(Debug)]
pub struct Read {
    /// What it means.
    pub stack: Stack,
    /// What it says.
    pub spec: Spec,
    /// What is not as written.
    pub warnings: Diagnostics,
    /// The files, to render warnings and places with.
    pub sources: Sources,
}

impl Read {
    /// What is done about drift where the files do not say.
    pub fn drift_by_default(&mut self, drift: Drift) {
        let document = &self.spec.document;
        if self::drift(document).is_some() {
            return;
        }
        self.stack.drift = drift;
        for section in ["services", "vms"] {
            let entries = document.get(section).and_then(Node::as_mapping);
            let silent = entries
                .into_iter()
                .flatten()
                .filter(|(_, entry)| self::drift(&entry.value).is_none());
            for (name, _) in silent {
                if let Some(workload) = self.stack.workloads.get_mut(name) {
                    workload.drift = drift;
                }
            }
        }
    }
}

/// Text to Stack in one go, with every error of every phase.
pub fn read(source: &Source, files: &dyn Files) -> Result<Read, Failed> {
    let (spec, mut diagnostics, mut sources) = spec::read(source, files);
    let Some(spec) = spec else {
        return Err(Failed { diagnostics: diagnostics.tidy(), sources });
    };
    match resolve(&spec, files, &mut sources) {
        Ok((stack, warnings)) if !diagnostics.has_errors() => {
            diagnostics.extend(warnings);
            Ok(Read { stack, spec, warnings: diagnostics.tidy(), sources })
        }
        Ok((_, more)) | Err(more) => {
            diagnostics.extend(more);
            Err(Failed { diagnostics: diagnostics.tidy(), sources })
        }
    }
}

/// The Stack that `spec` means, with warnings; or everything that is wrong with it.
pub fn resolve(
    spec: &Spec,
    files: &dyn Files,
    sources: &mut Sources,
) -> Result<(Stack, Diagnostics), Diagnostics> {
    let mut resolver = Resolver { spec, files, sources, found: Diagnostics::new() };
    let stack = resolver.stack();
    let found = resolver.found;
    if found.has_errors() { Err(found) } else { Ok((stack, found)) }
}

/// What is carried along while a Spec is resolved.
struct Resolver<'a> {
    spec: &'a Spec,
    files: &'a dyn Files,
    sources: &'a mut Sources,
    found: Diagnostics,
}

/// A workload as it is written: where, and what.
#[derive(Clone, Copy)]
struct Written<'a> {
    name: &'a str,
    key: Span,
    node: &'a Node,
    is_vm: bool,
}

impl<'a> Resolver<'a> {
    fn stack(&mut self) -> Stack {
        let written = self.written();
        let networks = self.networks();
        let mut volumes = self.volumes();
        let mut workloads: BTreeMap<String, Workload> = BTreeMap::new();
        for one in &written {
            if let Some(workload) = self.workload(*one, &mut volumes) {
                workloads.insert(one.name.to_owned(), workload);
            }
        }
        self.dependencies_exist(&written, &mut workloads);
        self.no_cycle(&written);
        self.no_clash(&written, &workloads, &networks);
        Stack {
            drift: drift(&self.spec.document).unwrap_or_default(),
            name: self.spec.name.clone(),
            directory: self.spec.directory.clone(),
            files: self.spec.files.clone(),
            networks: joined(networks, &workloads),
            volumes: mounted(volumes, &workloads),
            workloads,
        }
    }

    fn written(&self) -> Vec<Written<'a>> {
        let mut written: Vec<Written<'a>> = Vec::new();
        for (section, is_vm) in [("services", false), ("vms", true)] {
            let entries = self.section(section).into_iter().flatten();
            written.extend(entries.map(|(name, entry)| Written {
                name,
                key: entry.key,
                node: &entry.value,
                is_vm,
            }));
        }
        written
    }

    /// A top-level mapping.
    fn section(&self, name: &str) -> Option<&'a Mapping> {
        self.spec.document.get(name).and_then(Node::as_mapping)
    }

    fn error(&mut self, title: impl Into<String>, span: Span) {
        self.found.push(Diagnostic::error(title).at(span));
    }

    /// A reference to something that the file does not declare.
    fn unknown(&mut self, title: String, name: &str, section: &str, kind: &str, span: Span) {
        let declared = self.section(section);
        let names = declared.into_iter().flat_map(|entries| entries.keys().map(String::as_str));
        let help =
            match nearest(name, names).and_then(|near| Some((near, declared?.get(near)?.key))) {
                Some((near, key)) if key.line > 0 => format!(
                    "did you mean the {kind} `{near}`? it is declared at {}",
                    self.sources.place(key)
                ),
                Some((near, _)) => format!("did you mean the {kind} `{near}`?"),
                None => format!("declare it at the top level: `{section}: {{ {name}: … }}`"),
            };
        self.found.push(Diagnostic::error(title).at(span).help(help));
    }
}

/// What to do about what was changed behind our back, where that is written.
fn drift(node: &Node) -> Option<Drift> {
    // Compose's older YAML takes a bare `off` for a boolean.
    match node.get("drift")?.as_text()? {
        "off" => Some(Drift::Off),
        "correct" => Some(Drift::Correct),
        _ => Some(Drift::Detect),
    }
}

/// Networks that a workload joins.
fn joined(
    mut networks: BTreeMap<String, Network>,
    workloads: &BTreeMap<String, Workload>,
) -> BTreeMap<String, Network> {
    let used: std::collections::BTreeSet<&String> =
        workloads.values().flat_map(|workload| workload.networks.keys()).collect();
    networks.retain(|name, _| used.contains(name));
    networks
}

/// Volumes that a workload mounts, as a directory or as a disk.
fn mounted(
    mut volumes: BTreeMap<String, Volume>,
    workloads: &BTreeMap<String, Workload>,
) -> BTreeMap<String, Volume> {
    let used: std::collections::BTreeSet<&str> =
        workloads.values().flat_map(Workload::volume_names).collect();
    volumes.retain(|name, _| used.contains(name.as_str()));
    volumes
}

/// ``did you mean `x`?`` among fixed words.
fn among(word: &str, words: &[&'static str]) -> Option<String> {
    did_you_mean(word, words.iter().copied())
}
