//! What a walk says of its steps, in words. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::error::Error;

use crate::engine::EngineError;
use crate::plan::{Action, Desired, Plan, Resource, Step};
use crate::stack::{Condition, Kind, Protocol};

/// While a step runs.
pub(super) fn doing(action: &Action) -> String {
    match action {
        Action::FetchImage { .. } => "fetching".into(),
        Action::CreateNetwork(_) | Action::CreateVolume(_) | Action::Create(_) => "creating".into(),
        Action::ServeNames(..) => "serving names".into(),
        Action::ApplyFirewall(_) => "applying".into(),
        Action::RemoveNetwork(_)
        | Action::RemoveFirewall
        | Action::RemoveVolume(_)
        | Action::Remove { .. } => "removing".into(),
        Action::Update(_) => "updating".into(),
        Action::Start(_) => "starting".into(),
        Action::Stop(..) => "stopping".into(),
        Action::Unpause(..) => "unpausing".into(),
        Action::SetDiskAside(_) => "setting its disk aside".into(),
        Action::Adopt(..) => "adopting".into(),
        Action::OpenPorts(..) => "publishing ports".into(),
        Action::ClosePorts(_) => "closing ports".into(),
        Action::Await { condition, .. } => format!("waiting {}", to_be(*condition)),
    }
}

/// What another step waits for when it waits for this one.
pub(super) fn waited_for(step: &Step) -> String {
    let name = name(&step.resource);
    match &step.action {
        Action::Await { condition, .. } => format!("waiting for {name} {}", to_be(*condition)),
        _ => format!("waiting for {name}"),
    }
}

fn to_be(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "to start",
        Condition::ServiceReady => "to be ready",
        Condition::ServiceHealthy => "to be healthy",
        Condition::ServiceCompletedSuccessfully => "to complete",
    }
}

/// When the last step of a resource is done: its state, and what a reader
/// wants to know next.
pub(super) fn done(plan: &Plan, resource: &Resource, last: &Action) -> (String, String) {
    let state = match last {
        Action::FetchImage { .. } => "fetched",
        Action::CreateNetwork(_) | Action::CreateVolume(_) | Action::Create(_) => "created",
        Action::ServeNames(..) | Action::Update(_) => "updated",
        Action::ApplyFirewall(_) => "applied",
        Action::RemoveNetwork(_)
        | Action::RemoveFirewall
        | Action::RemoveVolume(_)
        | Action::Remove { .. } => "removed",
        Action::Start(_) | Action::OpenPorts(..) => "started",
        Action::Stop(..) | Action::ClosePorts(_) => "stopped",
        Action::Unpause(..) => "running",
        Action::SetDiskAside(_) => "set aside",
        Action::Adopt(..) => "adopted",
        Action::Await { condition, check, .. } => match condition {
            Condition::ServiceStarted => "started",
            // The plan knew of no check: only its image may have had one.
            Condition::ServiceHealthy if check.is_none() => "started",
            Condition::ServiceReady => "ready",
            Condition::ServiceHealthy => "healthy",
            Condition::ServiceCompletedSuccessfully => "completed",
        },
    };
    (of_all_steps(plan, resource, state), detail(plan, resource))
}

/// A network that was made and then given names was created, not updated; an
/// instance whose ports were opened last was started.
fn of_all_steps(plan: &Plan, resource: &Resource, state: &str) -> String {
    let of_resource = || plan.steps.iter().filter(|step| step.resource == *resource);
    let created = of_resource().any(|step| matches!(step.action, Action::CreateNetwork(_)));
    if state == "updated" && created { "created".into() } else { state.to_owned() }
}

fn detail(plan: &Plan, resource: &Resource) -> String {
    for step in plan.steps.iter().filter(|step| step.resource == *resource) {
        match &step.action {
            Action::CreateNetwork(network) => return network.subnet.to_string(),
            Action::Start(desired) => return detail_of_instance(desired),
            _ => {}
        }
    }
    String::new()
}

fn detail_of_instance(desired: &Desired) -> String {
    let mut words: Vec<String> =
        desired.addresses.first().map(|address| address.ipv4.to_string()).into_iter().collect();
    let tcp = desired.workload.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    for port in tcp.filter_map(|port| port.published) {
        words.push(match desired.workload.kind() {
            Kind::Container => format!("http://localhost:{port}"),
            Kind::Vm => format!("localhost:{port}"),
        });
    }
    words.join("  ")
}

/// Why a step was not reached: the nearest thing it needed and did not get.
pub(super) fn missing(plan: &Plan, index: usize, succeeded: &BTreeSet<usize>) -> String {
    let own = &plan.steps[index].resource;
    let mut open = vec![index];
    while let Some(index) = open.pop() {
        let lacking = plan.steps[index].after.iter().filter(|before| !succeeded.contains(before));
        for &before in lacking {
            let resource = &plan.steps[before].resource;
            if resource != own {
                return name(resource);
            }
            open.push(before);
        }
    }
    "a step that was interrupted".into()
}

/// The name of a resource as a reader calls it.
pub(super) fn name(resource: &Resource) -> String {
    match resource {
        Resource::Network(name) => format!("network {name}"),
        Resource::Firewall => "the firewall".into(),
        Resource::Volume(name) => format!("volume {name}"),
        Resource::Image(source) => format!("image {source}"),
        Resource::Instance(_, id) => id.to_string(),
    }
}

/// An error's root in one line: what the resource's own line shows.
pub(super) fn failure(error: &EngineError) -> String {
    let mut cause: &dyn Error = &*error.source;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    text.lines().next().unwrap_or("failed").to_owned()
}
