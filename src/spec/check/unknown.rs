//! A key that nobody knows: what may have been meant.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Trail;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::spec::form::{Object, State};
use crate::spec::keys::{SERVICE, VM};
use crate::yaml::Entry;

/// Words that other tools, or the other kind, have for a service's keys.
const SERVICE_WORDS: &[(&str, &str)] = &[
    ("memory", "mem_limit"),
    ("mounts", "volumes"),
    ("env", "environment"),
    ("cmd", "command"),
    ("replicas", "deploy.replicas"),
];
/// The same for a VM's.
const VM_WORDS: &[(&str, &str)] = &[
    ("mem_limit", "memory"),
    ("mem", "memory"),
    ("ram", "memory"),
    ("user_data", "cloud_init"),
    ("env", "environment"),
    ("replicas", "deploy.replicas"),
];

pub(super) fn key(
    name: &str,
    entry: &Entry,
    form: &'static Object,
    trail: &Trail<'_>,
) -> Diagnostic {
    Diagnostic::error(format!("unknown key `{name}` in {trail}"))
        .at(entry.key)
        .maybe_help(meant(name, form))
}

fn meant(name: &str, form: &'static Object) -> Option<String> {
    let is = |object: &Object| std::ptr::eq(form, object);
    let (words, other): (&[_], _) = if is(&SERVICE) {
        (SERVICE_WORDS, Some((&VM, "VMs")))
    } else if is(&VM) {
        (VM_WORDS, Some((&SERVICE, "services")))
    } else {
        (&[], None)
    };
    if let Some((_, right)) = words.iter().find(|(wrong, _)| *wrong == name) {
        return Some(format!("did you mean `{right}`?"));
    }
    if is(&VM) && matches!(name, "command" | "entrypoint") {
        return Some("a VM boots its image; start programs from its `cloud_init`".to_owned());
    }
    if is(&VM) && name == "tmpfs" {
        return Some("write it under `mounts`: `{ type: tmpfs, target: /scratch }`".to_owned());
    }
    if let Some((other, kind)) = other
        && other.key(name).is_some()
    {
        return Some(format!("`{name}` is a key of {kind}"));
    }
    let known = form.keys.iter().filter(|key| key.state != State::Obsolete);
    did_you_mean(name, known.map(|key| key.name))
}
