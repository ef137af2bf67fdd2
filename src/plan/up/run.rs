//! Fourth phase: instances are made, updated, started, opened to the host and
//! waited for; each after what it depends on.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{Layout, Marks};
use crate::observed::{ObservedInstance, Readiness, State};
use crate::plan::Action;
use crate::plan::course::{COMPLETED, Course};
use crate::plan::given::Wait;
use crate::plan::steps::Steps;
use crate::plan::volume;
use crate::stack::{Condition, Definition, Healthcheck, InstanceId, Kind, Probe, health};

/// The steps that wait, so that nothing is waited for twice.
type Awaits = BTreeMap<(InstanceId, Condition), Option<usize>>;

impl Layout<'_> {
    pub(super) fn run(&self, steps: &mut Steps, marks: &mut Marks) {
        let mut awaits = Awaits::new();
        for name in self.order {
            for course in self.courses.get(*name).into_iter().flatten() {
                self.run_one(course, steps, marks, &mut awaits);
            }
        }
        for course in self.courses.values().flatten() {
            let waited_for = awaits.contains_key(&(course.id.clone(), Condition::ServiceHealthy));
            if let Some(condition) = self.wait_at_the_end(course).filter(|_| !waited_for) {
                self.wait(course, condition, steps, marks, &mut awaits);
            }
        }
    }

    fn run_one(&self, course: &Course, steps: &mut Steps, marks: &mut Marks, awaits: &mut Awaits) {
        let (id, kind, todo) = (&course.id, course.kind, course.todo);
        let resource = || course.resource();
        let ended = marks.ended.get(id).copied();
        let mut last: Vec<usize> = ended.into_iter().collect();
        if todo.thaw && !todo.stop {
            last = vec![steps.add(resource(), Action::Unpause(id.clone(), kind), last)];
        }
        if todo.adopt {
            last = vec![steps.add(resource(), Action::Adopt(id.clone(), kind), last)];
        }
        if todo.create {
            let image = (kind, course.desired.workload.image.clone());
            last.extend(marks.fetched.get(&image));
            last = vec![steps.add(resource(), Action::Create(course.desired.clone()), last)];
        }
        if todo.update {
            let index = steps.add(resource(), Action::Update(course.desired.clone()), last);
            marks.updated.insert(id.clone(), index);
            last = vec![index];
        }
        if todo.start {
            last.extend(Self::needs(course, marks));
            last.extend(self.former_holders(course, marks));
            last.extend(self.dependencies(course, steps, marks, awaits));
            // cloud-init was told to run again when the record was written anew.
            let desired = Box::new(crate::plan::Desired {
                rerun_cloud_init: course.desired.rerun_cloud_init && !todo.update,
                ..(*course.desired).clone()
            });
            let index = steps.add(resource(), Action::Start(desired), last);
            marks.started.insert(id.clone(), index);
            last = vec![index];
        }
        if todo.open_ports {
            last.extend(&marks.freed_ports);
            last.extend(marks.firewall);
            let forwards = course.forwards.clone();
            steps.add(resource(), Action::OpenPorts(id.clone(), forwards), last);
        }
    }

    /// What must be there before it runs.
    fn needs(course: &Course, marks: &Marks) -> Vec<usize> {
        let networks = course.desired.workload.networks.keys();
        let networks = networks.filter_map(|name| marks.networks.get(name)).flatten();
        let volumes = volume::used_by(&course.desired.workload);
        let volumes = volumes.into_iter().filter_map(|name| marks.volumes.get(name));
        networks.chain(volumes).copied().chain(marks.firewall).collect()
    }

    /// The ends of those whose addresses it gets.
    fn former_holders(&self, course: &Course, marks: &Marks) -> Vec<usize> {
        let observed = &self.chosen.given.observed.instances;
        let had = |it: &ObservedInstance| {
            let mut own = course.desired.addresses.iter();
            it.id != course.id && own.any(|own| it.addresses.get(&own.network) == Some(&own.ipv4))
        };
        let holders = observed.values().filter(|it| had(it));
        holders.filter_map(|it| marks.ended.get(&it.id).copied()).collect()
    }

    /// The steps after which what it depends on is as it demands.
    fn dependencies(
        &self,
        course: &Course,
        steps: &mut Steps,
        marks: &Marks,
        awaits: &mut Awaits,
    ) -> Vec<usize> {
        let mut after = Vec::new();
        for (name, dependency) in &course.desired.workload.depends_on {
            for on in self.courses.get(name).into_iter().flatten() {
                after.extend(marks.started.get(&on.id));
                after.extend(self.wait(on, dependency.condition, steps, marks, awaits));
            }
        }
        after
    }

    /// A step that waits until the condition holds; `None` if it holds already.
    fn wait(
        &self,
        course: &Course,
        condition: Condition,
        steps: &mut Steps,
        marks: &Marks,
        awaits: &mut Awaits,
    ) -> Option<usize> {
        let condition = self.effective(course, condition);
        let started = marks.started.get(&course.id).copied();
        let existing = self.chosen.given.existing(&course.id);
        let holds = match (started, existing) {
            _ if condition == Condition::ServiceStarted => true,
            (None, Some(existing)) => holds(course, existing, condition),
            _ => false,
        };
        if holds {
            return None;
        }
        *awaits.entry((course.id.clone(), condition)).or_insert_with(|| {
            let asks = condition == Condition::ServiceHealthy;
            let check = match self.check(course) {
                Check::Asks(check) => Some(check),
                Check::None => None,
                Check::OfImage(written) => written,
            };
            let action = Action::Await {
                id: course.id.clone(),
                kind: course.kind,
                condition,
                check: check.filter(|_| asks),
                address: self.chosen.ports.target(&course.id).filter(|_| asks),
            };
            let after = started.or_else(|| marks.updated.get(&course.id).copied());
            Some(steps.add(course.resource(), action, after))
        })
    }

    /// What an `up` waits for at its end.
    fn wait_at_the_end(&self, course: &Course) -> Option<Condition> {
        let starts = course.todo.start;
        match self.chosen.given.options.wait {
            Wait::Guests => (starts && course.kind == Kind::Vm).then_some(Condition::ServiceReady),
            Wait::All if starts || course.reason != COMPLETED => Some(Condition::ServiceHealthy),
            Wait::Dependencies | Wait::All => None,
        }
    }

    /// A container is ready when it has started; without a check, ready is healthy.
    fn effective(&self, course: &Course, condition: Condition) -> Condition {
        let condition = match condition {
            Condition::ServiceHealthy if self.check(course) == Check::None => {
                Condition::ServiceReady
            }
            other => other,
        };
        match (course.kind, condition) {
            (Kind::Container, Condition::ServiceReady) => Condition::ServiceStarted,
            (_, other) => other,
        }
    }

    /// The check that counts, as far as the image that will run is known.
    fn check(&self, course: &Course) -> Check {
        let given = self.chosen.given;
        let existing = given.existing(&course.id).filter(|_| !course.todo.create);
        let source = &course.desired.workload.image;
        let image = match existing {
            Some(existing) => existing.image_check.as_ref(),
            None if course.kind == Kind::Vm => None,
            None if given.facts.images.contains_key(source) => given.facts.image_checks.get(source),
            None => return without_image(written(course)),
        };
        health::effective(written(course), image).map_or(Check::None, Check::Asks)
    }
}

/// What is known of a check when its turn comes.
#[derive(PartialEq)]
enum Check {
    /// This is asked.
    Asks(Healthcheck),
    /// Nothing is.
    None,
    /// The image has the word, and is not here yet.
    OfImage(Option<Healthcheck>),
}

/// Where the file asks something itself, only timings may still be the image's.
fn without_image(written: Option<&Healthcheck>) -> Check {
    match written {
        Some(check) if check.test == Probe::Disabled => Check::None,
        Some(check) if check.test != Probe::Image => Check::Asks(check.clone()),
        written => Check::OfImage(written.cloned()),
    }
}

/// What the file says of its health.
fn written(course: &Course) -> Option<&Healthcheck> {
    course.desired.workload.healthcheck.as_ref()
}

/// Whether it is seen to hold, for one that is not started by this plan.
fn holds(course: &Course, existing: &ObservedInstance, condition: Condition) -> bool {
    match condition {
        Condition::ServiceStarted => true,
        Condition::ServiceReady => existing.ready == Readiness::Ready || done(course),
        Condition::ServiceHealthy => {
            let healthy = existing.health.as_ref().is_some_and(|health| health.healthy);
            healthy && !asks_otherwise(course, existing) || done(course)
        }
        Condition::ServiceCompletedSuccessfully => {
            matches!(&existing.state, State::Exited(exit) if exit.code == Some(0))
        }
    }
}

/// Whether its last answer was to another healthcheck than what it gets now.
fn asks_otherwise(course: &Course, existing: &ObservedInstance) -> bool {
    let check = |definition: &Definition| {
        let fields = definition.0.iter().filter(|(field, _)| field.starts_with("healthcheck."));
        fields.map(|(field, value)| (field.clone(), value.clone())).collect::<Vec<_>>()
    };
    course.todo.update && check(&existing.definition) != check(&course.desired.definition)
}

/// Whether it is kept because its work is done: it will never be asked again.
fn done(course: &Course) -> bool {
    course.reason == COMPLETED
}
