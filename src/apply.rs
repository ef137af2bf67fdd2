//! Walks a plan: one step, one engine call, as parallel as the plan's edges
//! allow. It decides nothing: a step whose predecessors succeeded is performed,
//! one that needs something that failed is not.

mod narrate;
mod perform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::engine::{EngineError, ErrorKind};
use crate::event::{Events, What};
use crate::health::Board;
use crate::plan::{Action, Plan, Resource};
use crate::stack::StackName;
use crate::world::World;

/// What a walk came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many steps succeeded.
    pub done: usize,
    /// Steps that failed, in the order they did.
    pub failed: Vec<Failure>,
    /// Resources not reached, with what they needed.
    pub not_started: BTreeMap<Resource, String>,
    /// The user stopped it before the end.
    pub interrupted: bool,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failure {
    /// What it was about.
    pub resource: Resource,
    /// Why.
    pub error: EngineError,
}

impl Outcome {
    /// Whether everything was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_started.is_empty() && !self.interrupted
    }

    /// Whether somebody else took what the plan had chosen: looking and
    /// planning again will choose something else.
    pub fn lost_a_race(&self) -> bool {
        !self.failed.is_empty()
            && self.failed.iter().all(|failure| failure.error.kind == ErrorKind::Conflict)
    }
}

/// What a walk needs besides the plan.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The engines.
    pub world: World,
    /// The stack.
    pub stack: StackName,
    /// Replaces every workload's own grace period (`down -t`).
    pub grace: Option<Duration>,
    /// Who is asked how it is.
    pub health: Board,
    /// Who listens.
    pub events: Events,
    /// Becomes true when the user wants it to stop: nothing new is begun.
    pub stop: watch::Receiver<bool>,
}

/// Performs every step of the plan that can be performed.
pub async fn apply(walk: &Walk, plan: &Plan) -> Outcome {
    let mut progress = Progress::new(walk, plan);
    let mut stop = walk.stop.clone();
    progress.begin_ready_steps();
    loop {
        tokio::select! {
            finished = progress.running.join_next_with_id() => match finished {
                None => break,
                Some(Ok((_, (index, result)))) => progress.finish(index, result),
                Some(Err(error)) => progress.abandoned(error.id()),
            },
            Ok(_) = stop.wait_for(|stop| *stop), if !progress.outcome.interrupted => {
                progress.interrupt();
            }
        }
    }
    progress.close()
}

/// The state of one walk.
struct Progress<'a> {
    walk: &'a Walk,
    plan: Arc<Plan>,
    /// Per step: how many predecessors are not done.
    missing: Vec<usize>,
    /// Per step: who waits for it.
    dependents: Vec<Vec<usize>>,
    /// Per resource: how many of its steps are not done.
    left: BTreeMap<Resource, usize>,
    running: JoinSet<(usize, Result<(), EngineError>)>,
    /// Steps that only wait: these may be cut short.
    waits: BTreeMap<tokio::task::Id, (usize, AbortHandle)>,
    succeeded: BTreeSet<usize>,
    outcome: Outcome,
}

impl<'a> Progress<'a> {
    fn new(walk: &'a Walk, plan: &Plan) -> Self {
        let count = plan.steps.len();
        let mut dependents = vec![Vec::new(); count];
        let mut left = BTreeMap::new();
        for (index, step) in plan.steps.iter().enumerate() {
            *left.entry(step.resource.clone()).or_insert(0) += 1;
            for &before in &step.after {
                dependents[before].push(index);
            }
        }
        Self {
            walk,
            missing: plan.steps.iter().map(|step| step.after.len()).collect(),
            plan: Arc::new(plan.clone()),
            dependents,
            left,
            running: JoinSet::new(),
            waits: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            outcome: Outcome::default(),
        }
    }

    fn begin_ready_steps(&mut self) {
        let mut told = BTreeSet::new();
        for index in 0..self.plan.steps.len() {
            if self.missing[index] == 0 {
                self.begin(index);
                told.insert(self.plan.steps[index].resource.clone());
            } else if told.insert(self.plan.steps[index].resource.clone()) {
                self.say_what_it_waits_for(index);
            }
        }
    }

    fn begin(&mut self, index: usize) {
        let plan = Arc::clone(&self.plan);
        let walk = self.walk.clone();
        let step = &self.plan.steps[index];
        let doing = narrate::doing(&step.action);
        self.walk.events.send(step.resource.clone(), What::Running { doing });
        let is_wait = matches!(step.action, Action::Await { .. });
        let handle = self.running.spawn(async move {
            let result = perform::perform(&walk, &plan.steps[index]).await;
            (index, result)
        });
        if is_wait {
            self.waits.insert(handle.id(), (index, handle));
        }
    }

    fn say_what_it_waits_for(&self, index: usize) {
        let step = &self.plan.steps[index];
        let open = step.after.iter().rev().find(|before| !self.succeeded.contains(before));
        if let Some(&before) = open {
            let on = narrate::waited_for(&self.plan.steps[before]);
            self.walk.events.send(step.resource.clone(), What::Waiting { on });
        }
    }

    fn finish(&mut self, index: usize, result: Result<(), EngineError>) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[index];
        match result {
            Ok(()) => {
                self.succeeded.insert(index);
                self.outcome.done += 1;
                self.count_down(&step.resource, &step.action);
                for dependent in self.dependents[index].clone() {
                    self.missing[dependent] -= 1;
                    if self.missing[dependent] > 0 {
                        self.say_what_it_waits_for(dependent);
                    } else if !self.outcome.interrupted {
                        self.begin(dependent);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, resource = ?step.resource, "step failed");
                let reason = narrate::failure(&error);
                self.walk.events.send(step.resource.clone(), What::Failed { reason });
                self.outcome.failed.push(Failure { resource: step.resource.clone(), error });
            }
        }
    }

    /// Says that a resource has arrived, once its last step is done.
    fn count_down(&mut self, resource: &Resource, action: &Action) {
        let Some(left) = self.left.get_mut(resource) else { return };
        *left -= 1;
        if *left == 0 {
            let (state, detail) = narrate::done(&self.plan, resource, action);
            self.walk.events.send(resource.clone(), What::Done { state, detail });
        }
    }

    /// A wait was cut short: it counts as not reached.
    fn abandoned(&mut self, id: tokio::task::Id) {
        if let Some((index, _)) = self.waits.remove(&id) {
            tracing::debug!(index, "wait cut short");
        }
    }

    /// Begins nothing new; what runs is let finish, what only waits is cut short.
    fn interrupt(&mut self) {
        self.outcome.interrupted = true;
        for (_, handle) in self.waits.values() {
            handle.abort();
        }
    }

    /// Names what was not reached, and what each of those needed.
    fn close(mut self) -> Outcome {
        let failed: BTreeSet<&Resource> =
            self.outcome.failed.iter().map(|failure| &failure.resource).collect();
        for (index, step) in self.plan.steps.iter().enumerate() {
            if self.succeeded.contains(&index) || failed.contains(&step.resource) {
                continue;
            }
            if self.outcome.not_started.contains_key(&step.resource) {
                // Said of its first step; the others wait for that one.
                continue;
            }
            let needs = narrate::missing(&self.plan, index, &self.succeeded);
            self.walk.events.send(step.resource.clone(), What::NotStarted { needs: needs.clone() });
            self.outcome.not_started.insert(step.resource.clone(), needs);
        }
        self.outcome
    }
}
