//! The plan of an `up`: courses are settled first, then their steps are laid
//! out in four phases, so that every edge points backwards:
//! fetch, end, prepare, run.
//!
//! Stops go from dependents to what they depend on, starts the other way
//! round. Ends come before anything that would hide, should the walk be cut
//! short, that they were needed.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod changes;
pub(super) mod end;
mod prepare;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use super::course::{Chosen, Course, Courses, course};
use super::given::{Given, Options};
use super::steps::Steps;
use super::volume::{self, Fate};
use super::{Action, Blocked, Plan, Resource, address, host, network};
use crate::facts::Facts;
use crate::graph;
use crate::observed::Observed;
use crate::plan::Pull;
use crate::stack::{ImageSource, InstanceId, Kind, Stack, Workload};

/// What must be done so that the host is as the file says.
pub fn plan(stack: &Stack, observed: &Observed, facts: &Facts, options: &Options) -> Plan {
    plan_with(Given { stack, observed, facts, options }, &course)
}

/// The same with other courses: those of `start` and `restart`.
pub(super) fn plan_with(given: Given<'_>, settle: &Settle<'_>) -> Plan {
    let scope = given.scope();
    let mut blocked = unknown_names(given);
    let mut networks = network::networks(given, &scope);
    blocked.append(&mut networks.blocked);
    let addresses = address::assign(given, &networks, &scope, &mut blocked);
    let ports = host::ports(given, &scope, &networks, &addresses, &mut blocked);
    let chosen = Chosen { given, networks, addresses, ports };
    let order = order(given, &scope);
    let mut courses = Courses::new();
    for name in &order {
        let of_copies = given
            .copies(name)
            .map(|(id, workload)| settle(&chosen, &id, workload, &courses))
            .collect();
        courses.insert((*name).to_owned(), of_copies);
    }
    let volumes = volume::fates(given, &scope);
    blocked.extend(volumes.iter().filter_map(|fate| match fate {
        Fate::Blocked(blocked) => Some(blocked.clone()),
        _ => None,
    }));
    blocked.extend(courses.values().flatten().flat_map(|course| course.blocked.clone()));
    blocked.extend(host::obstacles(given, &courses));
    let layout = Layout { chosen: &chosen, order: &order, courses: &courses, volumes: &volumes };
    layout.plan(blocked)
}

/// How the course of one copy is settled, given those of what it depends on.
type Settle<'a> = dyn Fn(&Chosen<'_>, &InstanceId, &Workload, &Courses) -> Course + 'a;

/// Names that were asked for and are not in the file.
fn unknown_names(given: Given<'_>) -> Vec<Blocked> {
    let asked = given.options.only.iter().flatten();
    let unknown = asked.filter(|name| !given.stack.workloads.contains_key(*name));
    let blocked = unknown.map(|name| Blocked {
        resource: Resource::Instance(Kind::Container, InstanceId::single(name)),
        reason: format!("`{name}` is not in the file"),
        help: None,
    });
    blocked.collect()
}

/// The names in scope, each after what it depends on.
fn order<'a>(given: Given<'a>, scope: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let edges = graph::edges(given.stack);
    graph::order(&edges).into_iter().filter(|name| scope.contains(name)).collect()
}

/// Everything that is laid out as steps.
struct Layout<'a> {
    chosen: &'a Chosen<'a>,
    order: &'a [&'a str],
    courses: &'a Courses,
    volumes: &'a [Fate<'a>],
}

/// Where the phases left what later steps wait for.
#[derive(Default)]
struct Marks {
    /// The step that fetches an image.
    fetched: BTreeMap<(Kind, ImageSource), usize>,
    /// The last of the steps that end what an instance was.
    ended: BTreeMap<InstanceId, usize>,
    /// Every step that frees ports of the host.
    freed_ports: Vec<usize>,
    /// The steps after which a network can be used, by its name.
    networks: BTreeMap<String, Vec<usize>>,
    /// The step after which a volume is there, by the file's name.
    volumes: BTreeMap<String, usize>,
    firewall: Option<usize>,
    /// The step that changes an instance while it runs.
    updated: BTreeMap<InstanceId, usize>,
    /// The step that starts an instance.
    started: BTreeMap<InstanceId, usize>,
}

impl Layout<'_> {
    fn plan(&self, blocked: Vec<Blocked>) -> Plan {
        let mut steps = Steps::default();
        let mut marks = Marks::default();
        self.fetch(&mut steps, &mut marks);
        let leaving = self.end(&mut steps, &mut marks);
        let repairs = self.prepare(&mut steps, &mut marks, &leaving);
        self.run(&mut steps, &mut marks);
        let mut plan = Plan { steps: steps.into_vec(), blocked, ..Plan::default() };
        self.describe(&mut plan, &leaving, repairs);
        plan
    }

    /// Images that are not here yet, or that may be newer elsewhere.
    fn fetch(&self, steps: &mut Steps, marks: &mut Marks) {
        let facts = self.chosen.given.facts;
        for course in self.courses.values().flatten().filter(|course| course.todo.create) {
            let source = &course.desired.workload.image;
            let here = facts.images.get(source);
            let newer = facts
                .fresh_images
                .get(source)
                .filter(|_| self.chosen.given.options.pull == Pull::Always);
            let refresh = newer.is_some() && newer != here;
            let key = (course.kind, source.clone());
            if (here.is_some() && !refresh) || marks.fetched.contains_key(&key) {
                continue;
            }
            let action = Action::FetchImage { source: source.clone(), kind: course.kind, refresh };
            let index = steps.add(Resource::Image(source.clone()), action, []);
            marks.fetched.insert(key, index);
        }
    }
}
