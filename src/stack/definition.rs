//! A workload as a flat list of fields, so that two of them can be compared
//! field by field and each difference named in the user's words. It holds
//! digests where the content is secret or long; it never holds a secret.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Kind, Workload};

pub(crate) use fields::{bytes, parse_bytes};

/// Field path (`environment.CACHE`, `memory`, `command`) → value as the user
/// would write it. Absent and `null` are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(pub BTreeMap<String, String>);

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// The field's path.
    pub field: String,
    /// The value it has; `None`: unset.
    pub from: Option<String>,
    /// The value it shall have; `None`: unset.
    pub to: Option<String>,
}

/// What a changed field costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeClass {
    /// Nothing to do but to note it: it acts on what Windlass does next.
    Noted,
    /// Changed while it runs.
    InPlace,
    /// Stopped and started; what it has written stays.
    Restart,
    /// Made again from its image. For a VM that means a new root disk.
    Recreate,
}

impl Definition {
    /// The workload as fields. `contents` are digests of host files by path:
    /// a secret or config whose file changed is a changed field.
    pub fn of(workload: &Workload, contents: &BTreeMap<PathBuf, String>) -> Self {
        Self(fields::of(workload, contents))
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// What follows `prefix.` in the names of fields, with their values:
    /// `below("depends_on")` gives what it depends on.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(field, value)| {
            let rest = field.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((rest, value.as_str()))
        })
    }
}

/// The fields in which `to` differs from `from`, in the order of their names.
pub fn differences(from: &Definition, to: &Definition) -> Vec<Difference> {
    let fields: BTreeSet<&String> = from.0.keys().chain(to.0.keys()).collect();
    fields
        .into_iter()
        .filter(|field| from.0.get(*field) != to.0.get(*field))
        .map(|field| Difference {
            field: field.clone(),
            from: from.0.get(field).cloned(),
            to: to.0.get(field).cloned(),
        })
        .collect()
}

/// What a changed field costs a workload of this kind. A field that is not
/// known here (an older or newer Windlass wrote it) costs the most.
pub fn class(kind: Kind, field: &str) -> ChangeClass {
    let head = field.split('.').next().unwrap_or(field);
    match (kind, head) {
        (
            _,
            "labels" | "healthcheck" | "depends_on" | "restart" | "stop_signal"
            | "stop_grace_period" | "ssh_user" | "ready_timeout",
        ) => ChangeClass::Noted,
        (_, "ports") | (Kind::Container, "cpus" | "mem_limit" | "pids_limit") => {
            ChangeClass::InPlace
        }
        (Kind::Vm, "cloud_init") if field == "cloud_init.on_change" => ChangeClass::Noted,
        (Kind::Vm, "image") | (Kind::Container, _) => ChangeClass::Recreate,
        (Kind::Vm, _) => ChangeClass::Restart,
    }
}

#[cfg(test)]
mod tests;
