//! The files in their order, one layer over the other, to one Spec.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::canonical::Canonical;
use super::check::check;
use super::dotenv::{self, Format};
use super::interpolate::{Interpolation, Variables};
use super::merge::{merge, settle};
use super::{Failed, Files, Source, Spec, env_file, extends, include, normalise, profiles};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Sources, Span};
use crate::stack::StackName;
use crate::yaml::{self, Node};

/// Reads and merges the files. The warnings come with the Spec.
pub fn load(source: &Source, files: &dyn Files) -> Result<(Spec, Diagnostics, Sources), Failed> {
    let (spec, diagnostics, sources) = read(source, files);
    match spec {
        Some(spec) if !diagnostics.has_errors() => Ok((spec, diagnostics.tidy(), sources)),
        _ => Err(Failed { diagnostics: diagnostics.tidy(), sources }),
    }
}

/// As [`load`], but what is left of a wrong file is returned too, so that later
/// phases can say what else is wrong with it.
pub fn read(source: &Source, files: &dyn Files) -> (Option<Spec>, Diagnostics, Sources) {
    let mut loader = Loader {
        files,
        sources: Sources::new(&source.project_directory),
        found: Diagnostics::new(),
        variables: source.environment.clone(),
        open: Vec::new(),
        layers: BTreeMap::new(),
        merged: Vec::new(),
    };
    let spec = loader.spec(source);
    (spec, loader.found, loader.sources)
}

/// What is carried along while files are read.
pub(super) struct Loader<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) sources: Sources,
    pub(super) found: Diagnostics,
    /// The variables in force: an included project may add its own.
    pub(super) variables: Variables,
    /// Files that are being included, outermost first.
    pub(super) open: Vec<PathBuf>,
    /// Files that `extends` named, read once.
    pub(super) layers: BTreeMap<PathBuf, Option<Node>>,
    /// Every file that went into the tree.
    merged: Vec<PathBuf>,
}

impl Loader<'_> {
    fn spec(&mut self, source: &Source) -> Option<Spec> {
        let env_files = if source.env_files.is_empty() {
            let usual = source.project_directory.join(".env");
            if self.files.exists(&usual) { vec![usual] } else { Vec::new() }
        } else {
            source.env_files.clone()
        };
        self.add_variables(&env_files);
        let given = source.project_name.clone().or_else(|| self.variable("COMPOSE_PROJECT_NAME"));
        let name = given.or_else(|| self.declared_name(source)).unwrap_or_else(|| {
            let directory = source.project_directory.file_name().unwrap_or_default();
            normalised(&directory.to_string_lossy())
        });
        let name = self.project_name(&name)?;
        self.variables.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_string());

        let mut document: Option<Node> = None;
        for file in &source.files {
            let Some(layer) = self.layer(file, &source.project_directory) else { continue };
            document = Some(match document {
                Some(below) => merge(below, layer),
                None => layer,
            });
        }
        let mut document = document?;
        settle(&mut document);
        let active = self.active_profiles(source);
        let disabled = profiles::select(&mut document, &active);
        env_file::resolve(&mut document, self);
        normalise::normalise(&mut document, name.as_str(), &mut self.found);
        Some(Spec {
            name,
            directory: source.project_directory.clone(),
            files: std::mem::take(&mut self.merged),
            variables: std::mem::take(&mut self.variables),
            disabled,
            document,
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn active_profiles(&self, source: &Source) -> Vec<String> {
        let listed = self.variable("COMPOSE_PROFILES").unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|part| !part.is_empty());
        source.profiles.iter().cloned().chain(listed.map(str::to_owned)).collect()
    }

    /// `name:` of the last file that has one. Interpolated with what is known so far.
    fn declared_name(&mut self, source: &Source) -> Option<String> {
        let mut declared = None;
        for file in &source.files {
            // A look ahead: what is wrong is said when the file is read in earnest.
            let Ok(text) = self.files.read(file) else { continue };
            let mut silent = Diagnostics::new();
            let roots = yaml::parse(FileId::default(), &text, &mut silent);
            for root in roots {
                if let Some(name) = root.get("name").and_then(Node::as_text) {
                    let lookup = |name: &str| self.variables.get(name).cloned();
                    let name = super::interpolate::expand(name, &lookup).text;
                    declared = Some(normalised(&name)).filter(|name| !name.is_empty());
                }
            }
        }
        declared
    }

    fn project_name(&mut self, name: &str) -> Option<StackName> {
        let valid = StackName::new(name);
        if valid.is_none() {
            self.found.push(
                Diagnostic::error(format!("`{name}` is not a project name"))
                    .help("use lower-case letters, digits, `-` and `_`, a letter or digit first"),
            );
        }
        valid
    }

    /// Puts the variables of `files` below those already there.
    pub(super) fn add_variables(&mut self, files: &[PathBuf]) {
        let mut added = Variables::new();
        for file in files {
            let Some(id) = self.read_file(file, None) else { continue };
            let mut outer = added.clone();
            outer.extend(self.variables.clone());
            let pairs = dotenv::parse(id, &self.sources, &outer, Format::Compose, &mut self.found);
            added.extend(pairs);
        }
        for (name, value) in added {
            self.variables.entry(name).or_insert(value);
        }
    }

    /// Reads a file into the sources; a missing one is an error, at `place` if it was named there.
    pub(super) fn read_file(&mut self, file: &Path, place: Option<Span>) -> Option<FileId> {
        match self.files.read(file) {
            Ok(text) => Some(self.sources.add(file, text)),
            Err(error) => {
                let shown = self.shown(file);
                let title = match error.kind() {
                    std::io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
                    std::io::ErrorKind::InvalidData => format!("`{shown}` is not UTF-8 text"),
                    _ => format!("cannot read `{shown}`: {error}"),
                };
                let diagnostic = Diagnostic::error(title);
                self.found.push(place.into_iter().fold(diagnostic, Diagnostic::at));
                None
            }
        }
    }

    /// A path as it is shown.
    pub(super) fn shown(&self, file: &Path) -> String {
        self.sources.shown_path(file)
    }

    /// One file with what it includes and extends, in its long form.
    pub(super) fn layer(&mut self, file: &Path, base: &Path) -> Option<Node> {
        let mut root = self.plain_layer(file, base, None)?;
        self.merged.push(file.to_owned());
        extends::resolve(&mut root, file, self);
        Some(include::resolve(root, file, base, self))
    }

    /// One file by itself, in its long form.
    pub(super) fn plain_layer(
        &mut self,
        file: &Path,
        base: &Path,
        place: Option<Span>,
    ) -> Option<Node> {
        let id = self.read_file(file, place)?;
        let text = self.sources.text(id);
        let documents = yaml::parse(id, &text, &mut self.found);
        let whole: Option<Node> = documents
            .into_iter()
            .filter(|document| !document.is_null())
            .map(|document| self.long_form(document, base))
            .reduce(merge);
        if whole.is_none() && !self.found.has_errors() {
            self.found.push(
                Diagnostic::error("this file is empty")
                    .at(Span::start_of(id))
                    .help("start with `services:` or `vms:`"),
            );
        }
        whole
    }

    fn long_form(&mut self, mut root: Node, base: &Path) -> Node {
        let (variables, sources, found) = (&self.variables, &self.sources, &mut self.found);
        Interpolation { variables, sources, found }.document(&mut root);
        check(&mut root, &mut self.found);
        if let Some(entries) = root.as_mapping_mut() {
            let home = self.variables.get("HOME").map(String::as_str);
            Canonical { base, home, found: &mut self.found }.document(entries);
        }
        root
    }
}

/// A directory's name as a project's name, as Compose does it.
fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    lower.chars().filter(allowed).collect::<String>().trim_start_matches(['-', '_']).to_owned()
}
