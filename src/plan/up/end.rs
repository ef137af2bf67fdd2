//! Second phase: what has to end. Dependents stop before what they depend on.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use super::{Layout, Marks};
use crate::graph;
use crate::observed::{ObservedInstance, State};
use crate::plan::course::Course;
use crate::plan::steps::Steps;
use crate::plan::{Action, Resource};
use crate::stack::{InstanceId, Kind};

/// Instances that leave: they exist, and the plan takes them away.
pub(super) type Leaving = BTreeSet<InstanceId>;

/// One instance that ends, whatever becomes of it later.
struct Ending<'a> {
    id: &'a InstanceId,
    kind: Kind,
    close_ports: bool,
    thaw: bool,
    stop: bool,
    remove: Option<bool>,
    set_aside: bool,
    /// Steps that must have succeeded before it is interrupted.
    not_before: Option<usize>,
}

impl Layout<'_> {
    /// Lays out every end; gives those who leave for good.
    pub(super) fn end(&self, steps: &mut Steps, marks: &mut Marks) -> Leaving {
        let leaving: Vec<&ObservedInstance> =
            self.chosen.given.leftovers().filter(|it| self.leaves(it)).collect();
        let mut endings: Vec<Ending<'_>> = leaving.iter().map(|it| of_leaving(it)).collect();
        for course in self.courses.values().flatten() {
            let key = (course.kind, course.desired.workload.image.clone());
            endings.extend(of_course(course, marks.fetched.get(&key).copied()));
        }
        let mut waits = StopOrder::new(self);
        for name in waits.names.clone() {
            for ending in endings.iter().filter(|it| it.id.workload == name) {
                lay_out(ending, &mut waits, steps, marks);
            }
        }
        leaving.into_iter().map(|it| it.id.clone()).collect()
    }

    /// Surplus copies leave; orphans only when that was asked for. A VM that
    /// is at rest is nothing but its disk, which stays.
    fn leaves(&self, leftover: &ObservedInstance) -> bool {
        let given = self.chosen.given;
        let surplus = self.courses.contains_key(&leftover.id.workload);
        let orphan = !given.stack.workloads.contains_key(&leftover.id.workload);
        let asked = given.options.remove_orphans && given.options.only.is_none();
        let only_a_disk = leftover.is_only_a_disk() && leftover.forwarded.is_empty();
        (surplus || (orphan && asked)) && !only_a_disk
    }
}

fn of_leaving(leftover: &ObservedInstance) -> Ending<'_> {
    Ending {
        id: &leftover.id,
        kind: leftover.kind,
        close_ports: !leftover.forwarded.is_empty(),
        thaw: matches!(leftover.state, State::Paused { .. }),
        stop: leftover.is_alive(),
        remove: (!leftover.is_only_a_disk()).then_some(false),
        set_aside: false,
        not_before: None,
    }
}

fn of_course(course: &Course, fetched: Option<usize>) -> Option<Ending<'_>> {
    let todo = course.todo;
    let ends = todo.stop || todo.remove.is_some() || todo.set_aside || todo.close_ports;
    ends.then(|| Ending {
        id: &course.id,
        kind: course.kind,
        close_ports: todo.close_ports,
        thaw: todo.thaw && todo.stop,
        stop: todo.stop,
        remove: todo.remove,
        set_aside: todo.set_aside,
        // What replaces it must be here before it is interrupted.
        not_before: fetched.filter(|_| todo.create),
    })
}

/// Who has to have stopped before whom.
struct StopOrder {
    /// Dependents first.
    names: Vec<String>,
    dependents: BTreeMap<String, Vec<String>>,
    stopped: BTreeMap<String, Vec<usize>>,
}

impl StopOrder {
    fn new(layout: &Layout<'_>) -> Self {
        let given = layout.chosen.given;
        let edges = end_edges(given.observed.instances.values(), graph::edges(given.stack));
        let mut names: Vec<String> = graph::order(&edges).into_iter().map(str::to_owned).collect();
        names.reverse();
        let dependents = graph::dependents(&edges)
            .into_iter()
            .map(|(name, by)| (name.to_owned(), by.into_iter().map(str::to_owned).collect()))
            .collect();
        Self { names, dependents, stopped: BTreeMap::new() }
    }

    /// The stops that a stop of this workload waits for.
    fn before(&self, workload: &str) -> Vec<usize> {
        let dependents = self.dependents.get(workload).into_iter().flatten();
        dependents.filter_map(|name| self.stopped.get(name)).flatten().copied().collect()
    }
}

/// The file's edges, and for what is no longer in it those it was made with.
pub(in crate::plan) fn end_edges<'a>(
    instances: impl Iterator<Item = &'a ObservedInstance>,
    mut edges: graph::Edges<'a>,
) -> graph::Edges<'a> {
    for instance in instances {
        let on = edges.entry(&instance.id.workload).or_default();
        on.extend(instance.definition.below("depends_on").map(|(name, _)| name));
    }
    let whole = edges.clone();
    // The file may have turned an old edge round: then only the file counts.
    if let Some(cycle) = graph::cycle(&whole) {
        for name in cycle {
            edges.insert(name, BTreeSet::new());
        }
    }
    edges
}

fn lay_out(ending: &Ending<'_>, order: &mut StopOrder, steps: &mut Steps, marks: &mut Marks) {
    let (id, kind) = (ending.id, ending.kind);
    let resource = || Resource::Instance(kind, id.clone());
    let mut last: Vec<usize> = ending.not_before.into_iter().collect();
    if ending.close_ports {
        let index = steps.add(resource(), Action::ClosePorts(id.clone()), last.clone());
        marks.freed_ports.push(index);
        last = vec![index];
    }
    if ending.thaw {
        last = vec![steps.add(resource(), Action::Unpause(id.clone(), kind), last)];
    }
    if ending.stop {
        last.extend(order.before(&id.workload));
        let index = steps.add(resource(), Action::Stop(id.clone(), kind), last);
        order.stopped.entry(id.workload.clone()).or_default().push(index);
        last = vec![index];
    }
    if let Some(disk) = ending.remove {
        let action = Action::Remove { id: id.clone(), kind, disk };
        last = vec![steps.add(resource(), action, last)];
    }
    if ending.set_aside {
        last = vec![steps.add(resource(), Action::SetDiskAside(id.clone()), last)];
    }
    if let Some(index) = last.first() {
        marks.ended.insert(id.clone(), *index);
    }
}
