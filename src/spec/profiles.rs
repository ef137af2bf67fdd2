//! Which workloads are switched on.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use crate::yaml::Node;

/// Takes out what is not switched on; returns what that was, with its profiles.
pub(super) fn select(document: &mut Node, active: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut disabled = BTreeMap::new();
    let Some(root) = document.as_mapping_mut() else { return disabled };
    for section in ["services", "vms"] {
        let workloads = root.get_mut(section).and_then(|entry| entry.value.as_mapping_mut());
        let Some(workloads) = workloads else { continue };
        workloads.retain(|name, entry| {
            let profiles: Vec<String> = entry
                .value
                .get("profiles")
                .and_then(Node::as_sequence)
                .unwrap_or_default()
                .iter()
                .filter_map(|profile| profile.as_text().map(str::to_owned))
                .collect();
            let on = profiles.is_empty()
                || profiles
                    .iter()
                    .any(|profile| active.iter().any(|on| on == profile || on == "*"));
            if !on {
                disabled.insert(name.clone(), profiles);
            }
            on
        });
    }
    disabled
}
