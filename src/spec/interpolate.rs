//! `${VARIABLE}` in values: all of Compose's forms, on nodes, before anything
//! is read into them. User-data is the guest's and is never looked into.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod template;

use std::collections::BTreeMap;

pub(crate) use template::{Problem, expand};

use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span};
use crate::yaml::{Node, Scalar, Style, Value};

/// The variables of a stack file.
pub(crate) type Variables = BTreeMap<String, String>;

/// Replaces variables in a whole file.
pub(super) struct Interpolation<'a> {
    pub(super) variables: &'a Variables,
    pub(super) sources: &'a Sources,
    pub(super) found: &'a mut Diagnostics,
}

impl Interpolation<'_> {
    /// The root of a file: everything in it but cloud-init's documents.
    pub(super) fn document(&mut self, root: &mut Node) {
        let Some(entries) = root.as_mapping_mut() else { return };
        for (key, entry) in entries {
            match key.as_str() {
                "cloud_init" => self.each(&mut entry.value, Self::cloud_config),
                "vms" => self.each(&mut entry.value, Self::vm),
                _ => self.node(&mut entry.value),
            }
        }
    }

    fn each(&mut self, node: &mut Node, visit: fn(&mut Self, &mut Node)) {
        match &mut node.value {
            Value::Mapping(entries) => {
                entries.values_mut().for_each(|entry| visit(self, &mut entry.value));
            }
            _ => self.node(node),
        }
    }

    fn vm(&mut self, vm: &mut Node) {
        let Some(entries) = vm.as_mapping_mut() else { return };
        for (key, entry) in entries {
            match (key.as_str(), &mut entry.value.value) {
                ("cloud_init", Value::Mapping(parts)) => {
                    for (part, entry) in parts {
                        if part == "meta_data" || part == "on_change" {
                            self.node(&mut entry.value);
                        } else {
                            self.cloud_config(&mut entry.value);
                        }
                    }
                }
                ("cloud_init", _) => self.cloud_config(&mut entry.value),
                _ => self.node(&mut entry.value),
            }
        }
    }

    /// Names and paths of documents are ours, their bodies the guest's.
    fn cloud_config(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar(scalar) if !is_body(&scalar.text) => self.node(node),
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.cloud_config(item)),
            Value::Scalar(_) | Value::Mapping(_) => {}
        }
    }

    fn node(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar(scalar) => self.scalar(scalar, span),
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Mapping(entries) => {
                entries.values_mut().for_each(|entry| self.node(&mut entry.value));
            }
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) {
        if !scalar.text.contains('$') {
            return;
        }
        let variables = self.variables;
        let expansion = expand(&scalar.text, &|name| variables.get(name).cloned());
        for (at, problem) in &expansion.problems {
            self.found.push(diagnose(problem, self.narrow(scalar, *at, span)));
        }
        *scalar = Scalar { text: expansion.text, style: Style::Quoted };
    }

    /// The place of the reference itself, where the text stands in the file as it is.
    fn narrow(&self, scalar: &Scalar, (at, length): (usize, usize), span: Span) -> Span {
        let text = self.sources.text(span.file);
        let reference = &scalar.text[at..at + length];
        let quote = usize::from(
            text.as_bytes()
                .get(span.start as usize)
                .is_some_and(|byte| matches!(byte, b'"' | b'\'')),
        );
        let start = span.start as usize + quote + at;
        if text.get(start..start + length) != Some(reference) {
            return span;
        }
        self.sources.span(span.file, start, start + length)
    }
}

/// Whether a string is a cloud-init document itself and not the name of one.
pub(crate) fn is_body(text: &str) -> bool {
    text.contains('\n') || text.starts_with('#')
}

fn diagnose(problem: &Problem, span: Span) -> Diagnostic {
    match problem {
        Problem::Unset(name) => {
            Diagnostic::warning(format!("variable `{name}` is not set, and taken as empty"))
                .at(span)
                .help(format!("set it, or give a default: `${{{name}:-value}}`"))
        }
        Problem::Required { name, message } if message.is_empty() => {
            Diagnostic::error(format!("variable `{name}` is required, and not set"))
                .at(span)
                .help(format!("set it in the environment or in `.env`: `{name}=…`"))
        }
        Problem::Required { name, message } => {
            Diagnostic::error(format!("variable `{name}` is required, and not set: {message}"))
                .at(span)
                .help(format!("set it in the environment or in `.env`: `{name}=…`"))
        }
        Problem::Malformed => Diagnostic::error("this is not a variable that can be filled in")
            .at(span)
            .help("write `$$` for a dollar sign, or `${NAME}` for a variable"),
    }
}
