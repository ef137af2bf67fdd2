//! The plan as a reader sees it: what changes and why, what stays and why.
//! Interruptions come first, each in dependency order.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use super::Layout;
use super::end::Leaving;
use super::prepare::{Repairs, touched_networks};
use crate::observed::ObservedInstance;
use crate::plan::course::AS_IT_SHOULD_BE;
use crate::plan::network::Fate;
use crate::plan::{Cause, Change, Kept, Loss, Plan, Resource, Verb, host, volume};
use crate::stack::definition::Difference;
use crate::stack::{InstanceId, Kind};

impl Layout<'_> {
    /// Fills in everything of the plan but its steps.
    pub(super) fn describe(&self, plan: &mut Plan, leaving: &Leaving, repairs: Repairs) {
        let mut instances = self.instances();
        instances.extend(self.leaving(leaving));
        let changed: BTreeSet<InstanceId> = instances
            .iter()
            .filter_map(|change| match &change.resource {
                Resource::Instance(_, id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        let (first, second) = instances.into_iter().partition(interrupts);
        plan.changes = first;
        plan.changes.extend(self.networks());
        plan.changes.extend(self.volumes());
        plan.changes.extend::<Vec<Change>>(second);
        let touched = touched_networks(self, &changed);
        let repaired = repairs.changes(&plan.changes, &touched);
        plan.changes.extend(repaired);
        plan.kept = self.kept(plan);
        self.leave_alone(plan, leaving);
        plan.notes = host::notes(self.chosen.given, self.courses);
    }

    fn instances(&self) -> Vec<Change> {
        let courses = self.order.iter().filter_map(|name| self.courses.get(*name)).flatten();
        let changes = courses.filter_map(|course| {
            Some(Change {
                resource: course.resource(),
                verb: course.verb?,
                causes: course.causes.clone(),
                loss: course.loss.clone(),
            })
        });
        changes.collect()
    }

    fn leaving(&self, leaving: &Leaving) -> Vec<Change> {
        let given = self.chosen.given;
        let change = |it: &ObservedInstance| {
            let cause = match given.stack.workloads.get(&it.id.workload) {
                Some(workload) => Cause::Field(Difference {
                    field: "replicas".into(),
                    from: Some(copies(given.observed.instances.values(), workload.kind(), &it.id)),
                    to: Some(workload.replicas.to_string()),
                }),
                None => Cause::Asked("--remove-orphans".into()),
            };
            let loss = if it.is_alive() { Loss::Downtime } else { Loss::None };
            let resource = Resource::Instance(it.kind, it.id.clone());
            Change { resource, verb: Verb::Remove, causes: vec![cause], loss }
        };
        given.leftovers().filter(|it| leaving.contains(&it.id)).map(change).collect()
    }

    fn networks(&self) -> Vec<Change> {
        let networks = &self.chosen.networks;
        let wanted = networks.wanted.iter().filter_map(|(name, wanted)| {
            let (verb, cause) = match &wanted.fate {
                Fate::Keep => return None,
                Fate::Create => (Verb::Create, Cause::Missing),
                Fate::Mend(cause) => (Verb::InPlace, cause.clone()),
                Fate::Renumber(cause, _) => (Verb::Recreate, cause.clone()),
            };
            let resource = Resource::Network(name.clone());
            Some(Change { resource, verb, causes: vec![cause], loss: Loss::None })
        });
        let unused = networks.unused.keys().map(|name| Change {
            resource: Resource::Network(name.clone()),
            verb: Verb::Remove,
            causes: vec![Cause::Seen("is no longer in the file, and nothing is on it".into())],
            loss: Loss::None,
        });
        wanted.chain(unused).collect()
    }

    fn volumes(&self) -> Vec<Change> {
        let changes = self.volumes.iter().filter_map(|fate| {
            let (volume, verb, cause) = match fate {
                volume::Fate::Create(volume) => (volume, Verb::Create, Cause::Missing),
                volume::Fate::Grow(volume, cause) => (volume, Verb::InPlace, cause.clone()),
                volume::Fate::Keep(_) | volume::Fate::Blocked(_) => return None,
            };
            let resource = Resource::Volume(volume.resolved.clone());
            Some(Change { resource, verb, causes: vec![cause], loss: Loss::None })
        });
        changes.collect()
    }

    fn kept(&self, plan: &Plan) -> Vec<Kept> {
        let courses = self.order.iter().filter_map(|name| self.courses.get(*name)).flatten();
        let instances = courses
            .filter(|course| course.verb.is_none() && course.blocked.is_empty())
            .map(|course| Kept { resource: course.resource(), reason: course.reason.clone() });
        let volumes = self.volumes.iter().filter_map(|fate| match fate {
            volume::Fate::Keep(volume) => Some(Resource::Volume(volume.resolved.clone())),
            _ => None,
        });
        let networks = self.chosen.networks.wanted.keys().cloned().map(Resource::Network);
        let changed: BTreeSet<&Resource> =
            plan.changes.iter().map(|change| &change.resource).collect();
        let rest = volumes
            .chain(networks)
            .filter(|resource| !changed.contains(resource))
            .map(|resource| Kept { resource, reason: AS_IT_SHOULD_BE.into() });
        instances.chain(rest).collect()
    }

    /// What exists, is not in the file, and is not touched.
    fn leave_alone(&self, plan: &mut Plan, leaving: &Leaving) {
        let given = self.chosen.given;
        if given.options.only.is_some() {
            return;
        }
        for leftover in given.leftovers().filter(|it| !leaving.contains(&it.id)) {
            let resource = Resource::Instance(leftover.kind, leftover.id.clone());
            if leftover.is_only_a_disk() {
                let reason = format!(
                    "not in the file; its disk stays until `windlass volume rm {}`",
                    leftover.id
                );
                plan.kept.push(Kept { resource, reason });
            } else {
                plan.orphans.push(resource);
            }
        }
    }
}

/// How many copies there are now, for words.
fn copies<'a>(
    instances: impl Iterator<Item = &'a ObservedInstance>,
    kind: Kind,
    id: &InstanceId,
) -> String {
    let same = instances.filter(|it| it.id.workload == id.workload);
    let counted = same.filter(|it| kind == Kind::Container || it.is_alive()).count();
    counted.to_string()
}

fn interrupts(change: &Change) -> bool {
    change.loss != Loss::None || matches!(change.verb, Verb::Recreate | Verb::ReplaceDisk)
}
