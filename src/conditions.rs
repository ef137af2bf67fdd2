//! How an instance is, in conditions: each with a reason in the user's words and
//! the time since when it is so. A function of what is observed; times are those
//! that the host tells, or that a supervisor noted.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use crate::observed::{Exit, Health, Observed, ObservedInstance, Readiness, State, Verdict};
use crate::plan::follow::rests_until;
use crate::plan::words::why_it_rests;
use crate::stack::{InstanceId, Kind, Probe};

/// One thing that holds of an instance, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which one.
    pub name: Name,
    /// Whether it holds.
    pub status: Status,
    /// Why, as a lower-case fragment.
    pub reason: String,
    /// Seconds since the epoch when the status last changed; `None`: nobody knows.
    pub since: Option<i64>,
}

/// The conditions; all but the last are those of `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Its process runs.
    Started,
    /// VM: the guest said that cloud-init has finished; container: started.
    Ready,
    /// Its healthcheck has passed; ready, where it has none.
    Healthy,
    /// It has ended with exit code 0.
    Completed,
    /// It is as the last `up` made it.
    AsDeclared,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// What a supervisor found when it last looked for drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Which instance.
    pub id: InstanceId,
    /// What is not as it was made, in words; none: nothing.
    pub drifted: Vec<String>,
    /// Seconds since the epoch when it was first found so.
    pub since: i64,
}

/// The conditions of one instance. `declared`: what the present supervisor found, if
/// there is one and it has looked.
pub fn of(
    observed: &Observed,
    instance: &ObservedInstance,
    declared: Option<&Declared>,
) -> Vec<Condition> {
    let ready = ready(observed, instance);
    let healthy = healthy(observed, instance, &ready);
    vec![
        started(observed, instance),
        ready,
        healthy,
        completed(observed, instance),
        as_declared(declared),
    ]
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
            Self::AsDeclared => "as_declared",
        })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        })
    }
}

fn condition(name: Name, holds: bool, reason: impl Into<String>, since: i64) -> Condition {
    let status = if holds { Status::True } else { Status::False };
    Condition { name, status, reason: reason.into(), since: Some(since) }
}

fn started(observed: &Observed, instance: &ObservedInstance) -> Condition {
    let alive = instance.is_alive();
    let reason = if alive { why_it_rests(instance) } else { at_rest(observed, instance) };
    condition(Name::Started, alive, reason, instance.since)
}

/// Why it does not run, and what it waits for.
fn at_rest(observed: &Observed, instance: &ObservedInstance) -> String {
    let why = why_it_rests(instance);
    match (rests_until(observed, &instance.id), instance.restarts.gave_up) {
        (Some(until), _) => format!("rests until {until} (on_unhealthy: stop)"),
        (None, _) if instance.held => why,
        (None, Some(limit)) => format!("{why}; not started again: its limit of {limit} is reached"),
        (None, None) if instance.restarts.due.is_some() => format!("{why}; is started again"),
        (None, None) => why,
    }
}

fn ready(observed: &Observed, instance: &ObservedInstance) -> Condition {
    let name = Name::Ready;
    if !instance.is_alive() {
        return condition(name, false, at_rest(observed, instance), instance.since);
    }
    let since = instance.ready_since.unwrap_or(instance.since);
    match (&instance.ready, instance.kind) {
        (Readiness::Failed { errors }, _) => {
            let said = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            condition(name, false, format!("its cloud-init failed{said}"), since)
        }
        (Readiness::Waiting, _) => {
            condition(name, false, "the guest has not said yet that it is ready", instance.since)
        }
        (Readiness::Ready, Kind::Vm) => {
            condition(name, true, "the guest said that it is ready", since)
        }
        (Readiness::Ready, Kind::Container) => condition(name, true, "it runs", since),
    }
}

fn healthy(observed: &Observed, instance: &ObservedInstance, ready: &Condition) -> Condition {
    let name = Name::Healthy;
    match &instance.health {
        _ if !instance.is_alive() => {
            condition(name, false, at_rest(observed, instance), instance.since)
        }
        Some(health) => of_health(health),
        None if is_asked(instance) => {
            condition(name, false, "its healthcheck has not been asked yet", instance.since)
        }
        None => {
            let reason = format!("it has no healthcheck: {}", ready.reason);
            Condition { name, reason, ..ready.clone() }
        }
    }
}

fn of_health(health: &Health) -> Condition {
    let said = health.output.trim().lines().last().unwrap_or("it said nothing");
    let (holds, reason) = match health.verdict {
        Verdict::Healthy => (true, "its healthcheck passes".to_owned()),
        Verdict::Starting => (false, format!("its healthcheck has not passed yet: {said}")),
        Verdict::Unhealthy => {
            let times = health.failures;
            (false, format!("its healthcheck failed {times} times in a row: {said}"))
        }
    };
    condition(Name::Healthy, holds, reason, health.since)
}

/// Whether it has a healthcheck, by what it was made from.
fn is_asked(instance: &ObservedInstance) -> bool {
    let of_image = instance.image_check.as_ref();
    match instance.definition.get("healthcheck.test") {
        Some(test) if test == Probe::Disabled.to_string() => false,
        Some(test) if test != Probe::Image.to_string() => true,
        _ => of_image.is_some_and(|check| check.test != Probe::Disabled),
    }
}

fn completed(observed: &Observed, instance: &ObservedInstance) -> Condition {
    let name = Name::Completed;
    match &instance.state {
        State::Exited(Exit { code: Some(0), out_of_memory: false, at }) if !instance.held => {
            condition(name, true, "ended with exit code 0", *at)
        }
        _ if instance.is_alive() => condition(name, false, "it runs", instance.since),
        _ => condition(name, false, at_rest(observed, instance), instance.since),
    }
}

fn as_declared(declared: Option<&Declared>) -> Condition {
    let name = Name::AsDeclared;
    match declared {
        None => {
            let reason = "nobody has looked for drift".to_owned();
            Condition { name, status: Status::Unknown, reason, since: None }
        }
        Some(found) if found.drifted.is_empty() => {
            condition(name, true, "is as the last `up` made it", found.since)
        }
        Some(found) => condition(name, false, found.drifted.join("; "), found.since),
    }
}

#[cfg(test)]
mod tests;
