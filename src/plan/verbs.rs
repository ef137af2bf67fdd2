//! The plans of `start`, `stop`, `restart` and `rm`, and of a boot: small ones, made of the
//! same parts. They act on what exists, as it was made; applying the file is
//! `up`'s work.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use super::course::{Asked, By, course_of_verb};
use super::down::stop_order;
use super::follow::Causes;
use super::given::{Given, Options, Wait};
use super::steps::Steps;
use super::up::plan_with;
use super::{Action, Blocked, Cause, Change, Kept, Loss, Plan, Resource, Verb};
use crate::facts::Facts;
use crate::observed::{Observed, ObservedInstance, State};
use crate::stack::{InstanceId, Kind, Stack};

/// Starts what is at rest, as it was made.
pub fn start(
    stack: &Stack,
    observed: &Observed,
    facts: &Facts,
    ids: &BTreeSet<InstanceId>,
) -> Plan {
    let asked = Asked { start: ids.clone(), restart: BTreeSet::new(), by: By::User("start") };
    run(stack, observed, facts, &asked)
}

/// Stops and starts, dependents stopping first; starts what is at rest. Whoever
/// depends on one of them with `restart: true` restarts too, if it runs.
pub fn restart(
    stack: &Stack,
    observed: &Observed,
    facts: &Facts,
    ids: &BTreeSet<InstanceId>,
) -> Plan {
    let mut restart = ids.clone();
    restart.extend(dependents(stack, observed, ids));
    run(stack, observed, facts, &Asked { start: BTreeSet::new(), restart, by: By::User("restart") })
}

/// Starts again what ended by itself, because its restart policy says so. Nobody else
/// restarts for that: `restart: true` follows what a plan does to a dependency, and
/// "excludes automated restart by the container runtime after the container dies"
/// (<https://docs.docker.com/reference/compose-file/services/#depends_on>).
pub fn revive(
    stack: &Stack,
    observed: &Observed,
    facts: &Facts,
    ids: &BTreeSet<InstanceId>,
) -> Plan {
    let asked = Asked { start: ids.clone(), restart: BTreeSet::new(), by: By::Policy };
    run(stack, observed, facts, &asked)
}

/// Starts again, as it was made, what ran when the host went down: `ran`, which was
/// stopped for that, and whatever was cut off. What the user had stopped and what
/// had ended by itself stays at rest.
pub fn resume(
    stack: &Stack,
    observed: &Observed,
    facts: &Facts,
    ran: &BTreeSet<InstanceId>,
) -> Plan {
    let is_meant = |id: &InstanceId| {
        stack.workloads.get(&id.workload).is_some_and(|workload| id.number <= workload.replicas)
    };
    let was_up = |it: &&ObservedInstance| match &it.state {
        State::Exited(exit) => ran.contains(&it.id) || (!it.held && exit.code.is_none()),
        _ => false,
    };
    let start = observed.instances.values().filter(was_up).map(|it| it.id.clone());
    let start = start.filter(is_meant).collect();
    run(stack, observed, facts, &Asked { start, restart: BTreeSet::new(), by: By::Boot })
}

/// Everything that runs and follows the restarts of these, however indirectly.
fn dependents(
    stack: &Stack,
    observed: &Observed,
    ids: &BTreeSet<InstanceId>,
) -> BTreeSet<InstanceId> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = ids.iter().map(|id| id.workload.as_str()).collect();
    while let Some(name) = open.pop() {
        let follows = |on: &BTreeMap<String, crate::stack::Dependency>| {
            on.get(name).is_some_and(|dependency| dependency.restart)
        };
        for workload in stack.workloads.values().filter(|it| follows(&it.depends_on)) {
            if names.insert(&workload.name) {
                open.push(&workload.name);
            }
        }
    }
    let runs = observed.instances.values().filter(|it| it.is_alive());
    runs.filter(|it| names.contains(it.id.workload.as_str())).map(|it| it.id.clone()).collect()
}

/// The plan of whatever starts or restarts what exists.
pub(super) fn run(stack: &Stack, observed: &Observed, facts: &Facts, asked: &Asked) -> Plan {
    let options = Options {
        only: Some(asked.start.union(&asked.restart).map(|id| id.workload.clone()).collect()),
        no_deps: true,
        wait: Wait::Dependencies,
        ..Options::default()
    };
    let given = Given { stack, observed, facts, options: &options };
    plan_with(given, &|chosen, id, workload, _| course_of_verb(chosen, id, workload, asked))
}

/// Stops these, dependents first. What it published is closed before.
pub fn stop(observed: &Observed, stack: Option<&Stack>, ids: &BTreeSet<InstanceId>) -> Plan {
    end(observed, stack, ids, &End { word: "stop", why: None, remove: false, stop: true })
}

/// Stops these for the causes that are given, dependents first.
pub(super) fn stop_for(observed: &Observed, stack: &Stack, causes: &Causes) -> Plan {
    let ids = causes.keys().cloned().collect();
    let end_of = End { word: "stop", why: Some(causes), remove: false, stop: true };
    end(observed, Some(stack), &ids, &end_of)
}

/// Removes these; those that run only with `stop_first` (`rm -s`). A VM's disk
/// stays.
pub fn remove(
    observed: &Observed,
    stack: Option<&Stack>,
    ids: &BTreeSet<InstanceId>,
    stop_first: bool,
) -> Plan {
    end(observed, stack, ids, &End { word: "rm", why: None, remove: true, stop: stop_first })
}

/// What `stop` and `rm` differ in.
struct End<'a> {
    word: &'static str,
    /// Where nobody asked for it.
    why: Option<&'a Causes>,
    remove: bool,
    stop: bool,
}

impl End<'_> {
    fn causes(&self, id: &InstanceId) -> Vec<Cause> {
        let why = self.why.and_then(|why| why.get(id)).cloned();
        why.unwrap_or_else(|| vec![Cause::Asked(self.word.into())])
    }
}

fn end(
    observed: &Observed,
    stack: Option<&Stack>,
    ids: &BTreeSet<InstanceId>,
    end: &End<'_>,
) -> Plan {
    let mut plan = Plan::default();
    let mut steps = Steps::default();
    let mut stopped: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let chosen = || observed.instances.values().filter(|it| ids.contains(&it.id));
    for (name, dependents) in stop_order(chosen(), stack) {
        for instance in chosen().filter(|it| it.id.workload == name) {
            let before = dependents.iter().filter_map(|name| stopped.get(name)).flatten().copied();
            let stop = end_one(instance, end, before.collect(), &mut plan, &mut steps);
            stopped.entry(name.clone()).or_default().extend(stop);
        }
    }
    plan.steps = steps.into_vec();
    plan
}

/// Lays out the end of one; the step that stops it.
fn end_one(
    instance: &ObservedInstance,
    end: &End<'_>,
    before: Vec<usize>,
    plan: &mut Plan,
    steps: &mut Steps,
) -> Option<usize> {
    let (id, kind) = (&instance.id, instance.kind);
    let resource = || Resource::Instance(kind, id.clone());
    if instance.is_alive() && !end.stop {
        plan.blocked.push(Blocked {
            resource: resource(),
            reason: "it is running".into(),
            help: Some(format!("`windlass rm -s {id}` stops it first")),
        });
        return None;
    }
    let removes = end.remove && !instance.is_only_a_disk();
    if !instance.is_alive() && !removes {
        let reason = match (kind, end.remove) {
            (Kind::Vm, true) => format!("its disk stays until `windlass volume rm {id}`"),
            _ => "not running".into(),
        };
        plan.kept.push(Kept { resource: resource(), reason });
        return None;
    }
    plan.changes.push(Change {
        resource: resource(),
        verb: if end.remove { Verb::Remove } else { Verb::Stop },
        causes: end.causes(id),
        loss: if instance.is_alive() { Loss::Downtime } else { Loss::None },
    });
    let mut last: Vec<usize> = Vec::new();
    let mut stop = None;
    if !instance.forwarded.is_empty() {
        last = vec![steps.add(resource(), Action::ClosePorts(id.clone()), [])];
    }
    if matches!(instance.state, State::Paused { .. }) {
        last = vec![steps.add(resource(), Action::Unpause(id.clone(), kind), last)];
    }
    if instance.is_alive() {
        last.extend(before);
        let index = steps.add(resource(), Action::Stop(id.clone(), kind), last);
        stop = Some(index);
        last = vec![index];
    }
    if removes {
        let action = Action::Remove { id: id.clone(), kind, disk: false };
        steps.add(resource(), action, last);
    }
    stop
}
