//! What is done to one instance, and why: compares what is with what shall be
//! and settles on the gentlest course that gets there.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod need;

use std::collections::{BTreeMap, BTreeSet};

use super::address::{Addresses, desired};
use super::follow::{Causes, rests_until};
use super::given::{Given, Initiative};
use super::host::Ports;
use super::network::Networks;
use super::words::{why_it_rests, written};
use super::{Blocked, Cause, Desired, Forward, Loss, Resource, Verb};
use crate::observed::{ObservedInstance, Readiness, State, Verdict};
use crate::stack::definition::{ChangeClass, Difference};
use crate::stack::{Condition, InstanceId, Kind, Port, Restart, Workload};
use need::{Need, need};

/// Why one that is right stays.
pub(super) const AS_IT_SHOULD_BE: &str = "as it should be";
/// Why one that has done its work stays.
pub(super) const COMPLETED: &str = "completed";

/// Everything that was chosen before instances are looked at.
pub(super) struct Chosen<'a> {
    pub(super) given: Given<'a>,
    pub(super) networks: Networks,
    pub(super) addresses: Addresses,
    pub(super) ports: Ports,
}

/// The course of one instance.
pub(super) struct Course {
    pub(super) id: InstanceId,
    pub(super) kind: Kind,
    /// What a reader is told; `None`: it is kept.
    pub(super) verb: Option<Verb>,
    pub(super) causes: Vec<Cause>,
    pub(super) loss: Loss,
    /// Why it is kept.
    pub(super) reason: String,
    /// What is done, each at most once, in the order of the fields.
    pub(super) todo: Todo,
    pub(super) desired: Box<Desired>,
    pub(super) forwards: Vec<Forward>,
    /// What stands in the way.
    pub(super) blocked: Vec<Blocked>,
}

/// What is done to an instance, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Todo {
    pub(super) close_ports: bool,
    pub(super) thaw: bool,
    pub(super) stop: bool,
    /// With its disk, if `Some(true)`.
    pub(super) remove: Option<bool>,
    pub(super) set_aside: bool,
    pub(super) adopt: bool,
    pub(super) create: bool,
    pub(super) update: bool,
    pub(super) start: bool,
    pub(super) open_ports: bool,
}

/// The courses so far, by workload.
pub(super) type Courses = BTreeMap<String, Vec<Course>>;

impl Course {
    /// Under which name it stands in the plan.
    pub(super) fn resource(&self) -> Resource {
        Resource::Instance(self.kind, self.id.clone())
    }

    /// Whether whoever depends on it with `restart: true` restarts too.
    pub(super) fn interrupts_dependents(&self) -> bool {
        matches!(self.verb, Some(Verb::Restart | Verb::Recreate | Verb::ReplaceDisk))
    }

    fn new(chosen: &Chosen<'_>, id: &InstanceId, workload: &Workload) -> Self {
        let ports = chosen.ports.of(id);
        let desired =
            desired(chosen.given, &chosen.networks, &chosen.addresses, id, workload, ports);
        Self {
            id: id.clone(),
            kind: workload.kind(),
            verb: None,
            causes: Vec::new(),
            loss: Loss::None,
            reason: AS_IT_SHOULD_BE.into(),
            todo: Todo::default(),
            forwards: chosen.ports.forwards(id),
            desired: Box::new(desired),
            blocked: Vec::new(),
        }
    }

    /// Makes it from nothing, or from what `remove` leaves.
    fn make(&mut self, verb: Verb) {
        self.verb = Some(verb);
        self.todo.create = true;
        self.run();
    }

    fn run(&mut self) {
        self.todo.start = true;
        self.todo.open_ports = !self.forwards.is_empty();
    }

    /// Stops it first, if it lives. A frozen process cannot be asked to stop.
    fn end(&mut self, existing: &ObservedInstance) {
        self.todo.stop = existing.is_alive();
        self.todo.thaw = matches!(existing.state, State::Paused { .. });
        if self.todo.stop {
            self.loss = Loss::Downtime;
        }
    }
}

/// Starts or restarts one copy as it was made, whatever the file says now.
pub(super) fn course_of_verb(
    chosen: &Chosen<'_>,
    id: &InstanceId,
    workload: &Workload,
    asked: &Asked,
) -> Course {
    let mut course = Course::new(chosen, id, workload);
    let existing = chosen.given.existing(id);
    let Some(existing) = existing.filter(|it| asked.concerns(&it.id)) else {
        if asked.concerns(id) {
            course.blocked.push(Blocked {
                resource: course.resource(),
                reason: "it has not been made yet".into(),
                help: Some(format!("`windlass up {}` makes and starts it", workload.name)),
            });
        }
        return course;
    };
    if existing.state == State::HalfMade {
        course.blocked.push(Blocked {
            resource: course.resource(),
            reason: "it was left half made".into(),
            help: Some(format!("`windlass up {}` makes it afresh", workload.name)),
        });
        return course;
    }
    if !existing.is_alive() || asked.restart.contains(id) {
        course.end(existing);
        course.verb = Some(if existing.is_alive() { Verb::Restart } else { Verb::Start });
        course.causes.extend(asked.causes(existing));
        course.run();
        look_at_ports(&mut course, existing);
    } else {
        course.reason = "running".into();
    }
    course
}

/// What `start`, `restart`, a restart policy and a boot of the host are about.
pub(super) struct Asked {
    /// Started where they are at rest.
    pub(super) start: BTreeSet<InstanceId>,
    /// Stopped first where they are not.
    pub(super) restart: BTreeSet<InstanceId>,
    /// Who asked.
    pub(super) by: By,
}

/// On whose word something is started.
pub(super) enum By {
    /// The user's, by this verb.
    User(&'static str),
    /// A restart policy's.
    Policy,
    /// Nobody's: the host has come up again.
    Boot,
    /// Nobody's: what they depend on is well again.
    Dependencies(Causes),
}

impl Asked {
    fn concerns(&self, id: &InstanceId) -> bool {
        self.start.contains(id) || self.restart.contains(id)
    }

    fn causes(&self, existing: &ObservedInstance) -> Vec<Cause> {
        let seen = |words: &str| vec![Cause::Seen(words.to_owned())];
        match &self.by {
            By::User(word) => vec![Cause::Asked((*word).into())],
            By::Dependencies(causes) => {
                causes.get(&existing.id).cloned().unwrap_or_else(|| seen(&why_it_rests(existing)))
            }
            By::Boot if existing.held => seen("ran when the host went down"),
            By::Policy | By::Boot => seen(&why_it_rests(existing)),
        }
    }
}

/// Settles the course of one copy. `before`: those of what it depends on.
pub(super) fn course(
    chosen: &Chosen<'_>,
    id: &InstanceId,
    workload: &Workload,
    before: &Courses,
) -> Course {
    let mut course = Course::new(chosen, id, workload);
    let Some(existing) = chosen.given.existing(id) else {
        course.causes.push(Cause::Missing);
        course.make(Verb::Create);
        return course;
    };
    if existing.kind != workload.kind() {
        course.blocked.push(Blocked {
            resource: course.resource(),
            reason: format!("`{id}` exists as a {}", existing.kind),
            help: Some(format!("`windlass rm -s {id}` takes it away first")),
        });
        return course;
    }
    if existing.state == State::HalfMade {
        course.causes.push(Cause::Seen(why_it_rests(existing)));
        course.todo.remove = Some(true);
        course.make(Verb::Create);
        return course;
    }
    let need = need(chosen, existing, workload, &course.desired, before);
    settle(&mut course, chosen, existing, need);
    look_at_ports(&mut course, existing);
    course
}

/// From what is needed to what is done.
fn settle(course: &mut Course, chosen: &Chosen<'_>, existing: &ObservedInstance, need: Need) {
    let completed = is_completed(chosen.given, existing);
    course.causes = need.causes;
    course.blocked = need.blocked;
    course.desired.rerun_cloud_init = need.rerun_cloud_init;
    let unasked = chosen.given.options.initiative == Initiative::Supervisor;
    match need.class {
        _ if unasked && existing.held && !existing.is_alive() => {
            course.causes.clear();
            course.blocked.clear();
            let until = rests_until(chosen.given.observed, &existing.id);
            course.reason = match until {
                Some(until) => format!("stopped until {until}"),
                None => "stopped by hand".into(),
            };
        }
        Some(ChangeClass::Recreate) => recreate(course, existing),
        Some(ChangeClass::Restart) if existing.is_alive() => {
            course.end(existing);
            course.verb = Some(Verb::Restart);
            course.todo.update = need.record;
            course.run();
        }
        _ if existing.is_alive() || (completed && !need.run_again) => {
            if need.class.is_some() {
                course.verb = Some(Verb::InPlace);
                course.todo.update = need.record;
            }
            keep_alive(course, existing);
            course.reason = kept_reason(existing, need.ignored_user_data);
        }
        // Its restart policy judges whether it runs again.
        _ if unasked && matches!(existing.state, State::Exited(_)) => {
            course.causes.clear();
            course.reason = why_it_rests(existing);
        }
        _ => {
            // At rest, and it should run.
            course.causes.insert(0, Cause::Seen(why_it_rests(existing)));
            course.verb = Some(Verb::Start);
            course.todo.update = need.record;
            course.run();
        }
    }
}

fn recreate(course: &mut Course, existing: &ObservedInstance) {
    course.end(existing);
    if course.kind == Kind::Container {
        course.todo.remove = Some(false);
        course.make(Verb::Recreate);
    } else if existing.ever_ready {
        course.todo.set_aside = true;
        course.make(Verb::ReplaceDisk);
        course.loss = Loss::Data(format!("{} would be set aside", written(existing)));
    } else {
        // Nobody has ever used it: nothing is lost and nobody is asked.
        course.todo.remove = Some(true);
        course.make(Verb::Recreate);
        course.loss = Loss::None;
    }
}

/// What one that lives (or has completed) needs besides.
fn keep_alive(course: &mut Course, existing: &ObservedInstance) {
    if matches!(existing.state, State::Paused { .. }) && !existing.held {
        course.verb = Some(Verb::InPlace);
        course.causes.push(Cause::Seen("was paused".into()));
        course.todo.thaw = true;
    }
    if existing.is_alive() && !existing.minded {
        course.verb = Some(Verb::InPlace);
        course.causes.push(Cause::Seen("lost its shim".into()));
        course.todo.adopt = true;
    }
}

fn kept_reason(existing: &ObservedInstance, ignored_user_data: bool) -> String {
    match &existing.state {
        State::Exited(_) => COMPLETED.into(),
        State::Paused { .. } => {
            format!("paused by hand (`windlass unpause {}` thaws it)", existing.id)
        }
        _ if ignored_user_data => {
            "its cloud-init changed and `on_change: ignore` leaves that for its next disk".into()
        }
        _ if matches!(existing.ready, Readiness::Failed { .. }) => {
            "running, though cloud-init reported an error".into()
        }
        _ if existing.verdict() == Some(Verdict::Unhealthy) => {
            "running, though its healthcheck fails".into()
        }
        _ => AS_IT_SHOULD_BE.into(),
    }
}

/// The forwarder has to lead to the right place, with the right ports.
fn look_at_ports(course: &mut Course, existing: &ObservedInstance) {
    let wanted: BTreeSet<Port> =
        course.forwards.iter().map(|forward| forward.port.clone()).collect();
    let leads_elsewhere = course
        .forwards
        .iter()
        .any(|forward| !existing.addresses.values().any(|had| *had == forward.to));
    let surplus = !existing.forwarded.is_subset(&wanted);
    let runs = existing.is_alive() || course.todo.start;
    let right = existing.forwarded == wanted && !leads_elsewhere;
    course.todo.close_ports = !existing.forwarded.is_empty() && (leads_elsewhere || surplus);
    course.todo.open_ports = runs && !wanted.is_empty() && (course.todo.create || !right);
    if course.verb.is_none() && (course.todo.open_ports || course.todo.close_ports) {
        course.verb = Some(Verb::InPlace);
        course.causes.push(Cause::Seen("its port forwarder is not as it should be".into()));
    }
}

/// Whether it has done its work and is not to run again: it ended well by
/// itself, and either nothing would start it again or somebody waits for its end.
fn is_completed(given: Given<'_>, existing: &ObservedInstance) -> bool {
    let State::Exited(exit) = &existing.state else { return false };
    let Some(workload) = given.stack.workloads.get(&existing.id.workload) else { return false };
    let awaited = given.stack.workloads.values().any(|other| {
        let on = other.depends_on.get(&workload.name);
        on.is_some_and(|on| on.condition == Condition::ServiceCompletedSuccessfully)
    });
    let one_shot = existing.kind == Kind::Container
        && matches!(workload.restart, Restart::No | Restart::OnFailure(_));
    exit.code == Some(0) && !existing.held && (awaited || one_shot)
}

/// A field that is not in the definition and changed nevertheless.
fn changed(field: impl Into<String>, from: &impl ToString, to: &impl ToString) -> Cause {
    let (from, to) = (Some(from.to_string()), Some(to.to_string()));
    Cause::Field(Difference { field: field.into(), from, to })
}
