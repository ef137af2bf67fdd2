//! One line of `ps`: an instance in the words of the screen, and with the field
//! names of `docker compose ps` in JSON. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::Serialize;

use crate::cli::ui::words::age;
use crate::conditions::{Condition, Name, Status};
use crate::observed::{
    Exit, Health, Observed, ObservedInstance, Readiness, Restarts, State, Verdict,
};
use crate::plan::follow::rests_until;
use crate::plan::words::ordinal;
use crate::stack::{Kind, Port, StackName};

/// One instance.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: Kind,
    service: String,
    project: String,
    pub(super) image: String,
    /// Compose's words: `created running paused exited`.
    state: &'static str,
    /// Compose's words: `starting healthy unhealthy`, or nothing.
    health: &'static str,
    exit_code: i32,
    address: String,
    publishers: Vec<Publisher>,
    /// Process on the host.
    pid: Option<i32>,
    /// Seconds since the epoch when the present state began.
    since: i64,
    /// Why a VM is emulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) emulated: Option<String>,
    conditions: Vec<Shown>,
    #[serde(skip)]
    found: Found,
}

/// A condition, with the field names of the rest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase", remote = "Condition")]
struct ConditionFields {
    name: Name,
    status: Status,
    reason: String,
    since: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
struct Shown(#[serde(with = "ConditionFields")] Condition);

/// What the words are made from.
#[derive(Debug, Clone)]
struct Found {
    state: State,
    ready: Readiness,
    health: Option<Health>,
    held: bool,
    restarts: Restarts,
    /// For what it rests: `db is healthy`.
    until: Option<String>,
}

/// A published port, as Compose writes it.
#[derive(Debug, Clone, Serialize)]
struct Publisher {
    #[serde(rename = "URL")]
    url: String,
    #[serde(rename = "TargetPort")]
    target_port: u16,
    #[serde(rename = "PublishedPort")]
    published_port: u16,
    #[serde(rename = "Protocol")]
    protocol: String,
}

impl Row {
    pub(super) fn new(
        stack: &StackName,
        observed: &Observed,
        instance: &ObservedInstance,
        conditions: Vec<Condition>,
    ) -> Self {
        let addresses: Vec<String> = instance.addresses.values().map(ToString::to_string).collect();
        let pid = instance.pid();
        Self {
            name: instance.id.to_string(),
            kind: instance.kind,
            service: instance.id.workload.clone(),
            project: stack.to_string(),
            image: instance.image.to_string(),
            state: composes_state(instance),
            health: composes_health(instance),
            exit_code: exit_code(&instance.state),
            address: if pid.is_some() { addresses.join(", ") } else { String::new() },
            publishers: instance.forwarded.iter().map(Publisher::new).collect(),
            pid,
            since: instance.since,
            emulated: instance.emulated.clone(),
            conditions: conditions.into_iter().map(Shown).collect(),
            found: Found {
                state: instance.state.clone(),
                ready: instance.ready.clone(),
                health: instance.health.clone(),
                held: instance.held,
                restarts: instance.restarts,
                until: rests_until(observed, &instance.id),
            },
        }
    }

    /// How it is, condition by condition.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().map(|Shown(condition)| condition)
    }

    /// Without `-a`, what the user stopped by hand is not shown; a one-shot that has
    /// completed, whatever failed and what rests for a dependency's sake is: all are part
    /// of what happened.
    pub(super) fn is_worth_showing(&self) -> bool {
        self.pid.is_some() || !self.found.held || self.found.until.is_some()
    }

    /// Whether `name` means this one: its own name, or its workload's.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.service == name
    }

    pub(super) fn state_in_words(&self, now: i64) -> String {
        match &self.found.state {
            State::HalfMade => "half made".into(),
            State::Created => "created".into(),
            State::Running { .. } => self.running(now),
            State::Paused { .. } => "paused".into(),
            State::Degraded { reason, .. } => format!("degraded: {reason}"),
            State::Exited(exit) => self.ended(exit, now),
        }
    }

    fn ended(&self, exit: &Exit, now: i64) -> String {
        let ended = ended(exit, self.found.held);
        let restarts = &self.found.restarts;
        if let Some(until) = &self.found.until {
            return format!("{ended} until {until}");
        }
        match (self.found.held, restarts.due, restarts.gave_up) {
            (false, Some(due), _) => {
                let pause = age((due - now).max(0));
                format!("{ended}, starts again in {pause} ({} time)", ordinal(restarts.count))
            }
            (false, None, Some(limit)) => format!("{ended}, gave up after {limit} restarts"),
            _ => ended,
        }
    }

    fn running(&self, now: i64) -> String {
        let ready = match (&self.found.ready, self.kind) {
            (Readiness::Failed { .. }, _) => "cloud-init failed",
            (Readiness::Waiting, Kind::Vm) => "booting",
            (Readiness::Ready, Kind::Vm) => "ready",
            (_, Kind::Container) => "running",
        };
        let words = self.with_health(ready, now);
        match self.found.restarts.count {
            0 => words,
            count => format!("{words}, restarted {count}×"),
        }
    }

    fn with_health(&self, ready: &str, now: i64) -> String {
        match &self.found.health {
            None => ready.into(),
            Some(health) => {
                let word = verdict(health);
                let ago = age(now - health.at);
                match self.kind {
                    Kind::Vm => format!("{ready}, {word} ({ago} ago)"),
                    Kind::Container => format!("{word} ({ago} ago)"),
                }
            }
        }
    }

    pub(super) fn address_in_words(&self) -> String {
        if self.address.is_empty() { "–".into() } else { self.address.clone() }
    }

    pub(super) fn ports_in_words(&self) -> String {
        if self.publishers.is_empty() {
            return "–".into();
        }
        let words = self.publishers.iter().map(|port| {
            let protocol = if port.protocol == "tcp" { "" } else { "/udp" };
            format!("{}:{}→{}{protocol}", port.url, port.published_port, port.target_port)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn age(&self, now: i64) -> String {
        age(now - self.since)
    }
}

fn composes_state(instance: &ObservedInstance) -> &'static str {
    match &instance.state {
        State::Exited(_) if instance.restarts.due.is_some() && !instance.held => "restarting",
        State::HalfMade | State::Created => "created",
        State::Running { .. } | State::Degraded { .. } => "running",
        State::Paused { .. } => "paused",
        State::Exited(_) => "exited",
    }
}

fn composes_health(instance: &ObservedInstance) -> &'static str {
    match &instance.health {
        Some(health) if instance.is_alive() => verdict(health),
        _ => "",
    }
}

fn verdict(health: &Health) -> &'static str {
    match health.verdict {
        Verdict::Starting => "starting",
        Verdict::Healthy => "healthy",
        Verdict::Unhealthy => "unhealthy",
    }
}

fn exit_code(state: &State) -> i32 {
    match state {
        State::Exited(exit) => exit.code.unwrap_or(-1),
        _ => 0,
    }
}

fn ended(exit: &Exit, held: bool) -> String {
    let code = exit.code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
    match (held, exit.out_of_memory, exit.code) {
        (true, ..) => format!("stopped ({code})"),
        (false, true, _) => format!("out of memory ({code})"),
        (false, false, Some(0)) => "completed (0)".into(),
        (false, false, _) => format!("exited ({code})"),
    }
}

impl Publisher {
    fn new(port: &Port) -> Self {
        Self {
            url: port.host_ip.map_or_else(|| "0.0.0.0".into(), |ip| ip.to_string()),
            target_port: port.target,
            published_port: port.published.unwrap_or(0),
            protocol: port.protocol.to_string(),
        }
    }
}
