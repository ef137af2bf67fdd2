//! A file against the key tables: unknown keys, wrong types, keys that are not
//! carried out yet. What is wrong is said and taken out of the tree, so that
//! later phases go on with the rest and say what is wrong there too.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod trail;
mod unknown;

use super::form::{Form, Object, State};
use super::keys::ROOT;
use super::measure;
use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Mapping, Meaning, Node, Scalar, Style, Value};
pub(super) use trail::Trail;

/// The tag of a value that was wrong, and has been spoken about.
pub(crate) const WRONG: &str = "!wrong";

/// Checks one file's tree.
pub(super) fn check(document: &mut Node, found: &mut Diagnostics) {
    let start = "start with `services:` or `vms:`";
    check_as(document, &ROOT, "stack file", start, found);
}

/// Checks a tree against another table; what kind of file that is, and how one
/// begins, in words.
pub(crate) fn check_as(
    document: &mut Node,
    form: &'static Object,
    kind: &str,
    start: &str,
    found: &mut Diagnostics,
) {
    let whole = document.span;
    let Some(root) = document.as_mapping_mut() else {
        let title = format!("a {kind} is a mapping, found {}", document.description());
        found.push(Diagnostic::error(title).at(whole).help(start));
        *document = Node::mapping(whole, []);
        return;
    };
    object(root, whole, form, &Trail::root(kind), found);
}

/// Whether `node` has the form; what is wrong deeper down is taken out of it.
fn value(node: &mut Node, form: &Form, trail: &Trail<'_>, found: &mut Diagnostics) -> bool {
    if node.tag.as_deref() == Some("!reset") || node.is_null() && nullable(form, trail) {
        return true;
    }
    let (span, description) = (node.span, || wrong(node, form, trail));
    let fits = match (form, &node.value) {
        (Form::Either(forms), _) => {
            return if let Some(form) = forms.iter().find(|form| same_shape(form, node)) {
                value(node, form, trail, found)
            } else {
                found.push(description());
                false
            };
        }
        (Form::Any, _)
        | (Form::List(_), Value::Sequence(_))
        | (Form::Map(_) | Form::Object(_), Value::Mapping(_)) => true,
        (_, Value::Scalar(scalar)) => match form {
            Form::Text => matches!(scalar.meaning(), Meaning::Text(_)),
            Form::Scalar => true,
            Form::Bool => scalar.as_bool().is_some(),
            Form::Integer => scalar.as_integer().is_some(),
            Form::Number => scalar.as_number().is_some(),
            Form::Bytes => measure::bytes(&scalar.text).is_some() || scalar.text == "-1",
            Form::Duration => measure::duration(&scalar.text).is_some(),
            Form::Words(words) => words.contains(&scalar.text.as_str()),
            _ => false,
        },
        _ => false,
    };
    if !fits {
        found.push(description());
        return false;
    }
    match (form, &mut node.value) {
        (Form::List(form), Value::Sequence(items)) => {
            items.retain_mut(|item| value(item, form, trail, found));
        }
        (Form::Map(form), Value::Mapping(entries)) => {
            let entries_form: &Form = form;
            for (name, entry) in entries {
                if !value(&mut entry.value, entries_form, &trail.child(name), found) {
                    entry.value = wrong_value(entry.value.span);
                }
            }
        }
        (Form::Object(keys), Value::Mapping(entries)) => object(entries, span, keys, trail, found),
        (Form::Bool | Form::Integer | Form::Number, Value::Scalar(scalar)) => cast(scalar, form),
        _ => {}
    }
    true
}

/// A number or truth value in quotes, or out of a variable, becomes one.
fn cast(scalar: &mut Scalar, form: &Form) {
    scalar.style = Style::Plain;
    if let (Form::Bool, Some(truth)) = (form, scalar.as_bool()) {
        scalar.text = truth.to_string();
    }
}

/// Stands where something wrong was, so that nobody calls it missing.
fn wrong_value(span: Span) -> Node {
    Node { tag: Some(WRONG.into()), ..Node::null(span) }
}

/// Compose takes an empty value as absent, except where a workload is declared.
fn nullable(form: &Form, trail: &Trail<'_>) -> bool {
    !trail.is_workload() || matches!(form, Form::Any | Form::Scalar)
}

fn same_shape(form: &Form, node: &Node) -> bool {
    match (form, &node.value) {
        (Form::Any, _)
        | (Form::List(_), Value::Sequence(_))
        | (Form::Map(_) | Form::Object(_), Value::Mapping(_)) => true,
        (Form::List(_) | Form::Map(_) | Form::Object(_), _) => false,
        (Form::Either(forms), _) => forms.iter().any(|form| same_shape(form, node)),
        (_, Value::Scalar(_)) => true,
        _ => false,
    }
}

fn object(
    entries: &mut Mapping,
    span: Span,
    form: &'static Object,
    trail: &Trail<'_>,
    found: &mut Diagnostics,
) {
    let before = found.errors();
    entries.retain(|name, entry| {
        if name.starts_with("x-") {
            return true;
        }
        let Some(key) = form.key(name) else {
            found.push(unknown::key(name, entry, form, trail));
            return false;
        };
        match key.state {
            State::Carried => {}
            State::Later if entry.value.is_null() => {}
            State::Later => found.push(
                Diagnostic::warning(format!("`{name}` is not carried out yet, and ignored"))
                    .at(entry.key),
            ),
            State::Obsolete => found.push(
                Diagnostic::warning(format!("`{name}` is obsolete, and ignored")).at(entry.key),
            ),
        }
        if !value(&mut entry.value, &key.form, &trail.child(name), found) {
            entry.value = wrong_value(entry.value.span);
        }
        true
    });
    // A required key that was there but wrong has been spoken about.
    if found.errors() > before {
        return;
    }
    for required in form.required.iter().filter(|name| !entries.contains_key(**name)) {
        found.push(
            Diagnostic::error(format!("{trail} has no `{required}`"))
                .at(entries.values().next().map_or(span, |entry| entry.key)),
        );
    }
}

fn wrong(node: &Node, form: &Form, trail: &Trail<'_>) -> Diagnostic {
    let help = match (form, node.as_scalar()) {
        (Form::Text, Some(scalar)) if !scalar.is_null() => {
            Some(format!("put it in quotes: \"{}\"", scalar.text))
        }
        (Form::Words(words), Some(scalar)) => {
            crate::diagnostic::did_you_mean(&scalar.text, words.iter().copied())
        }
        (Form::Map(_) | Form::Object(_), _) if node.is_null() => {
            Some("it needs at least one key below it".to_owned())
        }
        _ => None,
    };
    let (expected, found) = (form.expectation(), node.description());
    Diagnostic::error(format!("{trail} must be {expected}; found {found}"))
        .at(node.span)
        .maybe_help(help)
}
