//! The plan of a `down`: everything goes but volumes and disks.
//!
//! Instances stop in reverse dependency order: those that nothing running
//! depends on at once and side by side, then what they depended on. So a
//! database is still there while what writes to it shuts down. What the file
//! no longer says is read from what each instance was made with.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use super::network::{Networks, Rules, existing_plan, ruleset};
use super::steps::Steps;
use super::up::end::end_edges;
use super::words::written;
use super::{Action, Cause, Change, Forward, Kept, Loss, Plan, Resource, Verb};
use crate::facts::Facts;
use crate::graph;
use crate::observed::{Observed, ObservedInstance, State};
use crate::stack::definition::bytes;
use crate::stack::{InstanceId, Kind, Port, Stack, StackName};

/// What a `down` takes away.
#[derive(Debug, Clone)]
pub struct DownOptions<'a> {
    /// The stack's name.
    pub name: &'a StackName,
    /// The file, where there is one; without it everything of the stack goes.
    pub stack: Option<&'a Stack>,
    /// Volumes and disks too (`-v`).
    pub volumes: bool,
    /// With a file: also what is not in it.
    pub remove_orphans: bool,
}

/// What must be done so that nothing of the stack runs.
pub fn down(observed: &Observed, facts: &Facts, options: &DownOptions<'_>) -> Plan {
    let goes = |it: &&ObservedInstance| {
        let in_file = |stack: &Stack| stack.workloads.contains_key(&it.id.workload);
        options.remove_orphans || options.stack.is_none_or(in_file)
    };
    let (going, staying): (Vec<_>, Vec<_>) = observed.instances.values().partition(goes);
    let mut plan = Plan::default();
    let mut steps = Steps::default();
    let mut down = Down { observed, facts, options, staying, ended: BTreeMap::new() };
    down.end(&going, &mut plan, &mut steps);
    down.remove_networks(&mut plan, &mut steps);
    down.volumes(&mut plan, &mut steps);
    let alive = down.staying.iter().filter(|it| it.is_alive());
    plan.orphans = alive.map(|it| Resource::Instance(it.kind, it.id.clone())).collect();
    plan.steps = steps.into_vec();
    plan
}

struct Down<'a> {
    observed: &'a Observed,
    facts: &'a Facts,
    options: &'a DownOptions<'a>,
    staying: Vec<&'a ObservedInstance>,
    /// The last step of each instance that goes.
    ended: BTreeMap<&'a InstanceId, usize>,
}

impl<'a> Down<'a> {
    fn end(&mut self, going: &[&'a ObservedInstance], plan: &mut Plan, steps: &mut Steps) {
        let order = stop_order(going.iter().copied(), self.options.stack);
        let mut stopped: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (name, dependents) in order {
            for instance in going.iter().filter(|it| it.id.workload == name) {
                let before = dependents.iter().filter_map(|name| stopped.get(name.as_str()));
                let before: Vec<usize> = before.flatten().copied().collect();
                let Some(ending) = self.ending(instance) else {
                    if instance.kind == Kind::Vm {
                        plan.kept.push(disk_stays(instance));
                    }
                    continue;
                };
                plan.changes.push(ending.change.clone());
                let (stop, last) = lay_out(instance, &ending, before, steps);
                stopped.entry(instance.id.workload.as_str()).or_default().extend(stop);
                self.ended.extend(last.map(|last| (&instance.id, last)));
            }
        }
    }

    /// What becomes of one that goes; `None`: nothing, it is at rest already.
    fn ending(&self, instance: &ObservedInstance) -> Option<Ending> {
        let half_made = instance.state == State::HalfMade;
        let disk = instance.kind == Kind::Vm && (self.options.volumes || half_made);
        let at_rest = instance.kind == Kind::Vm && !instance.is_alive() && !disk;
        if at_rest && instance.forwarded.is_empty() {
            return None;
        }
        let loss = match (disk && !half_made, instance.is_alive()) {
            (true, _) => Loss::Data(format!("{} is deleted", written(instance))),
            (false, true) => Loss::Downtime,
            (false, false) => Loss::None,
        };
        let stops = instance.kind == Kind::Vm && !disk;
        let mut causes = vec![Cause::Asked(self.word().into())];
        if half_made {
            causes.push(Cause::Seen("was left half made".into()));
        }
        let change = Change {
            resource: Resource::Instance(instance.kind, instance.id.clone()),
            verb: if stops { Verb::Stop } else { Verb::Remove },
            causes,
            loss,
        };
        Some(Ending { change, disk, remove: !at_rest })
    }

    fn word(&self) -> &'static str {
        if self.options.volumes { "down -v" } else { "down" }
    }

    /// Networks that nobody stays on, and the firewall with the last of them.
    fn remove_networks(&self, plan: &mut Plan, steps: &mut Steps) {
        let mut left = Networks::default();
        let all_ended: Vec<usize> = self.ended.values().copied().collect();
        for network in self.observed.networks.values() {
            let planned = existing_plan(self.options.name, &self.facts.home_id, network);
            let on_it = |it: &&&ObservedInstance| it.addresses.contains_key(&network.name);
            if self.staying.iter().filter(|it| it.is_alive()).any(|it| on_it(&it)) {
                left.lingering.insert(network.name.clone(), planned);
                continue;
            }
            let after = all_ended.clone();
            let resource = Resource::Network(network.name.clone());
            plan.changes.push(self.removal(resource.clone(), Loss::None));
            steps.add(resource, Action::RemoveNetwork(planned), after);
        }
        let Some(there) = &self.observed.firewall else { return };
        let rules = self.rules_left();
        if let Some(table) = ruleset(self.options.name, &self.facts.home_id, &left, &rules) {
            if table.rule_ids() != *there {
                steps.add(Resource::Firewall, Action::ApplyFirewall(table), all_ended);
            }
            return;
        }
        steps.add(Resource::Firewall, Action::RemoveFirewall, all_ended);
        if plan.changes.is_empty() {
            plan.changes.push(self.removal(Resource::Firewall, Loss::None));
        }
    }

    fn rules_left(&self) -> Rules {
        let alive = self.staying.iter().filter(|it| it.is_alive());
        let rules = alive.filter_map(|it| {
            let to = *it.addresses.values().next()?;
            let forward = |port: &Port| Forward { port: port.clone(), to };
            Some((it.id.clone(), it.forwarded.iter().map(forward).collect()))
        });
        rules.collect()
    }

    fn volumes(&self, plan: &mut Plan, steps: &mut Steps) {
        for volume in self.observed.volumes.values() {
            let resource = Resource::Volume(volume.resolved.clone());
            let mut of_file = self.options.stack.iter().flat_map(|stack| stack.volumes.values());
            let external = of_file.any(|it| it.resolved == volume.resolved && it.external);
            if self.options.volumes && !external {
                let loss = Loss::Data(format!("the {} in it are deleted", size(volume.bytes)));
                plan.changes.push(self.removal(resource.clone(), loss));
                let after: Vec<usize> = self.ended.values().copied().collect();
                steps.add(resource, Action::RemoveVolume(volume.resolved.clone()), after);
            } else {
                plan.kept.push(Kept {
                    resource,
                    reason: "volumes stay (`down -v` removes them)".into(),
                });
            }
        }
    }

    fn removal(&self, resource: Resource, loss: Loss) -> Change {
        let causes = vec![Cause::Asked(self.word().into())];
        Change { resource, verb: Verb::Remove, causes, loss }
    }
}

/// What becomes of one that goes.
struct Ending {
    change: Change,
    disk: bool,
    remove: bool,
}

fn disk_stays(instance: &ObservedInstance) -> Kept {
    Kept {
        resource: Resource::Instance(instance.kind, instance.id.clone()),
        reason: "stopped; its disk stays (`down -v` removes it)".into(),
    }
}

/// The step that stops it, and the last of its steps.
fn lay_out(
    instance: &ObservedInstance,
    ending: &Ending,
    before: Vec<usize>,
    steps: &mut Steps,
) -> (Option<usize>, Option<usize>) {
    let (id, kind) = (&instance.id, instance.kind);
    let resource = || Resource::Instance(kind, id.clone());
    let mut last: Option<usize> = None;
    let mut stop = None;
    if !instance.forwarded.is_empty() {
        last = Some(steps.add(resource(), Action::ClosePorts(id.clone()), []));
    }
    if matches!(instance.state, State::Paused { .. }) {
        last = Some(steps.add(resource(), Action::Unpause(id.clone(), kind), last));
    }
    if instance.is_alive() {
        let after = before.into_iter().chain(last);
        stop = Some(steps.add(resource(), Action::Stop(id.clone(), kind), after));
        last = stop;
    }
    if ending.remove {
        let action = Action::Remove { id: id.clone(), kind, disk: ending.disk };
        last = Some(steps.add(resource(), action, last));
    }
    (stop, last)
}

/// Workloads with those that depend on them, dependents first.
pub(super) fn stop_order<'a>(
    instances: impl Iterator<Item = &'a ObservedInstance>,
    stack: Option<&'a Stack>,
) -> Vec<(String, BTreeSet<String>)> {
    let edges = end_edges(instances, stack.map(graph::edges).unwrap_or_default());
    let dependents = graph::dependents(&edges);
    let mut order = graph::order(&edges);
    order.reverse();
    order
        .into_iter()
        .map(|name| {
            let by = dependents.get(name).into_iter().flatten();
            (name.to_owned(), by.map(|name| (*name).to_owned()).collect())
        })
        .collect()
}

/// A size for people: `3.1 GiB`.
fn size(count: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in units {
        if count >= size {
            let tenths = u128::from(count) * 10 / u128::from(size);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{} bytes", bytes(count))
}
