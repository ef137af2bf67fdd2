//! Who is being asked how it is: one monitor for each run that has a check,
//! and the last answer for whoever waits for one. A walk and a supervisor share
//! it, so that nobody is asked twice. It decides nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::{Watched, ask, forget, recall, record};
use crate::engine::{EngineError, ErrorKind, error::Reason};
use crate::event::{Events, What};
use crate::observed::Health;
use crate::plan::Resource;
use crate::plan::words::ordinal;
use crate::stack::{Healthcheck, InstanceId, Kind, Probe, StackName};
use crate::world::World;

/// The monitors of one stack. Clones share them; the last one ends them.
#[derive(Debug, Clone)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    monitors: Mutex<BTreeMap<InstanceId, Monitor>>,
    changes: Option<mpsc::UnboundedSender<(InstanceId, Health)>>,
}

#[derive(Debug)]
struct Monitor {
    check: Healthcheck,
    answers: watch::Receiver<Option<Answered>>,
    task: AbortHandle,
}

/// What a monitor last heard.
#[derive(Debug, Clone)]
enum Answered {
    Health(Health),
    /// It cannot be asked any more: it ended, or asking failed.
    Lost(Arc<EngineError>),
}

/// Whose health it is, and how it is asked.
#[derive(Debug, Clone)]
pub struct Patient {
    /// The engines.
    pub world: World,
    /// The stack.
    pub stack: StackName,
    /// The instance.
    pub id: InstanceId,
    /// VM or container.
    pub kind: Kind,
    /// Its check.
    pub check: Healthcheck,
    /// Where the host asks it over the network.
    pub address: Option<Ipv4Addr>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let monitors = self.monitors.get_mut().unwrap_or_else(PoisonError::into_inner);
        for monitor in monitors.values() {
            monitor.task.abort();
        }
    }
}

impl Board {
    /// A board with nobody on it. `changes` hears every answer that brings another
    /// verdict than the one before.
    pub fn new(changes: Option<mpsc::UnboundedSender<(InstanceId, Health)>>) -> Self {
        Self(Arc::new(Inner { monitors: Mutex::default(), changes }))
    }

    /// Has the present run of an instance asked from now on, until it ends.
    pub fn follow(&self, patient: &Patient) {
        drop(self.answers(patient));
    }

    /// Asks these and nobody else any longer.
    pub fn retain(&self, keep: impl Fn(&InstanceId) -> bool) {
        self.monitors().retain(|id, monitor| {
            let kept = keep(id);
            if !kept {
                monitor.task.abort();
            }
            kept
        });
    }

    /// Returns when a check has passed; fails when it has failed too often, or
    /// when it can no longer be asked.
    pub async fn until_healthy(
        &self,
        patient: &Patient,
        events: &Events,
    ) -> Result<(), EngineError> {
        let mut answers = self.answers(patient);
        let mut tries = 0;
        loop {
            let answer = answers.borrow_and_update().clone();
            match answer {
                Some(Answered::Health(health)) if health.healthy => return Ok(()),
                Some(Answered::Health(health)) => {
                    if health.failures >= patient.check.retries.max(1) {
                        return Err(unhealthy(patient, &health));
                    }
                    tries += 1;
                    events.send(patient.resource(), What::Running { doing: said(&health, tries) });
                }
                Some(Answered::Lost(error)) => return Err(lost(patient, &error)),
                None => {}
            }
            if answers.changed().await.is_err() {
                // Its monitor was told to stop.
                return Err(lost(patient, &Reason("nobody asks any more".into())));
            }
        }
    }

    fn answers(&self, patient: &Patient) -> watch::Receiver<Option<Answered>> {
        let mut monitors = self.monitors();
        if let Some(monitor) = monitors.get(&patient.id)
            && !monitor.task.is_finished()
        {
            if monitor.check == patient.check {
                return monitor.answers.clone();
            }
            monitor.task.abort();
            forget(&patient.world.directories.instance(&patient.stack, &patient.id));
        }
        let (sender, answers) = watch::channel(None);
        let task = tokio::spawn(monitor(patient.clone(), sender, self.0.changes.clone()));
        let (check, task) = (patient.check.clone(), task.abort_handle());
        let monitor = Monitor { check, answers: answers.clone(), task };
        monitors.insert(patient.id.clone(), monitor);
        answers
    }

    fn monitors(&self) -> std::sync::MutexGuard<'_, BTreeMap<InstanceId, Monitor>> {
        // Nothing is left half written by whoever panicked.
        self.0.monitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patient {
    fn resource(&self) -> Resource {
        Resource::Instance(self.kind, self.id.clone())
    }
}

/// Asks one run until it ends.
async fn monitor(
    patient: Patient,
    answers: watch::Sender<Option<Answered>>,
    changes: Option<mpsc::UnboundedSender<(InstanceId, Health)>>,
) {
    let engine = patient.world.workloads(patient.kind);
    let ended = tokio::select! {
        biased;
        code = engine.exited(&patient.stack, &patient.id) => code.map_or_else(
            |error| error,
            |code| failure(&patient, Reason(format!("it ended with exit code {code}"))),
        ),
        error = ask_on(&patient, &answers, changes.as_ref()) => error,
    };
    answers.send_replace(Some(Answered::Lost(Arc::new(ended))));
}

/// Asks in the check's rhythm; returns when it cannot.
async fn ask_on(
    patient: &Patient,
    answers: &watch::Sender<Option<Answered>>,
    changes: Option<&mpsc::UnboundedSender<(InstanceId, Health)>>,
) -> EngineError {
    let engine = patient.world.workloads(patient.kind);
    let (silent, _) = Events::channel();
    if let Err(error) = engine.ready(&patient.stack, &patient.id, &silent).await {
        return error;
    }
    let Some(exec) = engine.exec() else {
        return failure(patient, Reason("its engine cannot run commands inside".into()));
    };
    let (id, kind, check) = (&patient.id, patient.kind, &patient.check);
    let directory = patient.world.directories.instance(&patient.stack, id);
    let (stack, address) = (&patient.stack, patient.address);
    let watched = Watched { stack, id, kind, check, exec, address, directory: &directory };
    let grace_ends = Instant::now() + check.start_period;
    let mut last = recall(&directory);
    loop {
        let health = match ask(&watched).await {
            Ok(answer) => {
                let in_grace = Instant::now() < grace_ends;
                let now = jiff::Timestamp::now().as_second();
                answer.after(last.as_ref(), in_grace, check.retries, now)
            }
            Err(error) => return error,
        };
        if let Err(error) = record(&watched, &health) {
            return error;
        }
        let differs = last.as_ref().map(|last| last.verdict) != Some(health.verdict);
        if let Some(changes) = changes.filter(|_| differs) {
            // A listener that has gone wants nothing any more.
            drop(changes.send((id.clone(), health.clone())));
        }
        let starting = !health.healthy && Instant::now() < grace_ends;
        last = Some(health.clone());
        answers.send_replace(Some(Answered::Health(health)));
        let pause = if starting { check.start_interval } else { check.interval };
        sleep_until(Instant::now() + pause).await;
    }
}

fn said(health: &Health, tries: u32) -> String {
    let said = health.output.lines().last().unwrap_or("no output").trim();
    format!("waiting to be healthy ({said}, {} try)", ordinal(tries))
}

fn unhealthy(patient: &Patient, health: &Health) -> EngineError {
    let said = health.output.trim();
    let said = if said.is_empty() { "it said nothing" } else { said };
    let times = health.failures;
    let reason = Reason(format!("its healthcheck failed {times} times in a row: {said}"));
    EngineError::new("health", "bring up", patient.name(), ErrorKind::Failed, reason)
        .with_help(way_out(patient))
}

/// How to see why a check fails.
fn way_out(patient: &Patient) -> String {
    let Patient { id, check, address, .. } = patient;
    let logs = format!("`windlass logs {id}` shows what it says");
    match (&check.test, address) {
        (Probe::Http { port, path, .. }, Some(address)) => {
            format!("{logs}; `curl -i http://{address}:{port}{path}` asks as the check does")
        }
        (Probe::Tcp { port }, _) => {
            format!("{logs}; it must listen on port {port} of its address, not of 127.0.0.1 alone")
        }
        _ => format!("{logs}; `windlass exec {id} …` runs the check by hand"),
    }
}

/// As its monitor heard it; the same for everybody who waits.
fn lost(patient: &Patient, error: &dyn std::error::Error) -> EngineError {
    let reason = Reason(crate::diagnostic::chain(error).join(": "));
    EngineError::new("health", "wait for", patient.name(), ErrorKind::Failed, reason)
        .with_help(format!("`windlass logs {}` shows what it said", patient.id))
}

fn failure(patient: &Patient, reason: Reason) -> EngineError {
    EngineError::new("health", "check", patient.name(), ErrorKind::Failed, reason)
}

impl Patient {
    fn name(&self) -> String {
        format!("{} {}", self.kind, self.id)
    }
}
