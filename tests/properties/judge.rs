//! Whether a host is what a file says, seen without asking the planner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use windlass::observed::{Observed, State};
use windlass::stack::definition::differences;
use windlass::stack::{Definition, OnChange, Role, Stack};

/// The host is exactly what the file says, seen without asking the planner.
pub fn assert_equals(stack: &Stack, observed: &Observed) -> Result<(), TestCaseError> {
    for (id, workload) in stack.instances() {
        let instance = observed.instances.get(&id);
        let instance = instance.ok_or_else(|| TestCaseError::fail(format!("{id} is missing")))?;
        let completed = matches!(&instance.state, State::Exited(exit) if exit.code == Some(0));
        let runs = matches!(instance.state, State::Running { .. }) && instance.minded;
        let held = matches!(instance.state, State::Paused { .. }) && instance.held;
        prop_assert!(runs || completed || held, "{} is {:?}", id, instance.state);
        prop_assert!(instance.drift.is_empty());
        prop_assert_eq!(instance.id.to_string(), id.to_string());
        let desired = Definition::of(workload, &BTreeMap::new());
        let left: Vec<_> = differences(&instance.definition, &desired)
            .into_iter()
            .filter(|it| !(ignores(workload) && it.field.starts_with("cloud_init.")))
            .collect();
        prop_assert!(left.is_empty(), "{}: {:?}", id, left);
        let joined: Vec<&String> = workload.networks.keys().collect();
        prop_assert_eq!(instance.addresses.keys().collect::<Vec<_>>(), joined);
        if runs {
            prop_assert_eq!(
                instance.forwarded.len(),
                workload.ports.len(),
                "{} {:?}",
                id,
                instance
            );
        }
        for (network, address) in &instance.addresses {
            let on = &observed.networks[network];
            prop_assert!(on.subnet.is_some_and(|it| it.contains(address)));
            prop_assert!(on.zone.0[&id.to_string()].contains(address));
            prop_assert!(on.zone.0[&id.workload].contains(address));
            prop_assert!(on.names_alive && on.up);
        }
    }
    for (name, network) in &stack.networks {
        let subnet = observed.networks.get(name).and_then(|it| it.subnet);
        prop_assert!(subnet.is_some());
        prop_assert!(network.subnet.is_none() || network.subnet == subnet);
    }
    for volume in stack.volumes.values() {
        prop_assert!(observed.volumes.contains_key(&volume.resolved));
    }
    prop_assert_eq!(observed.firewall.is_some(), !observed.networks.is_empty());
    let addresses: Vec<_> =
        observed.instances.values().flat_map(|it| it.addresses.iter()).collect();
    let distinct: BTreeSet<_> = addresses.iter().collect();
    prop_assert_eq!(addresses.len(), distinct.len(), "an address was given twice");
    Ok(())
}

fn ignores(workload: &windlass::stack::Workload) -> bool {
    let Role::Vm(vm) = &workload.role else { return false };
    vm.cloud_init.as_ref().is_some_and(|it| it.on_change == OnChange::Ignore)
}
