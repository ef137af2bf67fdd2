//! `depends_on`: whether what is waited for is there.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, HashMap};

use super::{Resolver, Written};
use crate::diagnostic::{Diagnostic, nearest};
use crate::stack::Workload;
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn dependencies_exist(
        &mut self,
        written: &[Written<'_>],
        workloads: &mut BTreeMap<String, Workload>,
    ) {
        let known: HashMap<&str, &Written<'_>> =
            written.iter().map(|one| (one.name, one)).collect();
        for one in written {
            let dependencies = one.node.get("depends_on").and_then(Node::as_mapping);
            for (name, entry) in dependencies.into_iter().flatten() {
                if known.contains_key(name.as_str()) {
                    continue;
                }
                let required = entry.value.get("required").and_then(Node::as_text) != Some("false");
                if required {
                    let diagnostic = self.missing(one.name, name, &known).at(entry.key);
                    self.found.push(diagnostic);
                } else if let Some(workload) = workloads.get_mut(one.name) {
                    workload.depends_on.remove(name);
                }
            }
        }
    }

    fn missing(&self, from: &str, name: &str, known: &HashMap<&str, &Written<'_>>) -> Diagnostic {
        if let Some(profiles) = self.spec.disabled.get(name) {
            return Diagnostic::error(format!(
                "`{from}` depends on `{name}`, which is switched off"
            ))
            .help(format!(
                "`--profile {}` switches it on; `required: false` goes without it",
                profiles.first().map_or("", String::as_str)
            ));
        }
        let near = nearest(name, known.keys().copied()).and_then(|near| known.get(near));
        let help = near.map(|near| {
            let kind = if near.is_vm { "VM" } else { "service" };
            let place = self.sources.place(near.key);
            format!("did you mean the {kind} `{}`? it is declared at {place}", near.name)
        });
        Diagnostic::error(format!("`{from}` depends on `{name}`, which is not in this stack"))
            .maybe_help(help)
    }
}
