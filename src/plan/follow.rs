//! What dependents do when what they depend on becomes unhealthy: the
//! `on_unhealthy:` of each edge, from what is seen and from what was answered
//! before. One spell, from unhealthy until every copy is healthy again, is
//! answered once. What the user stopped or started meanwhile is left alone.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use super::course::{Asked, By};
use super::verbs::{run, stop_for};
use super::{Action, Cause, Plan};
use crate::facts::Facts;
use crate::observed::{Answer, Observed, ObservedInstance, Readiness, Stage, State, Verdict};
use crate::stack::health::effective;
use crate::stack::{InstanceId, OnUnhealthy, Stack, Workload};

/// Why each of some instances is acted upon.
pub type Causes = BTreeMap<InstanceId, Vec<Cause>>;

/// What is to be done by now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Due {
    /// What is written down before anything is done.
    pub answers: Vec<Answer>,
    /// Who rests from now on.
    pub stop: Causes,
    /// Who has rested and runs again.
    pub start: Causes,
    /// Who restarts.
    pub restart: Causes,
}

/// What follows from how dependencies are; `None`: nothing new.
pub fn due(stack: &Stack, observed: &Observed) -> Option<Due> {
    let declared = stack.workloads.values().flat_map(|it| it.depends_on.values());
    let mut declared = declared.map(|on| on.on_unhealthy);
    if observed.answers.is_empty() && declared.all(|policy| policy == OnUnhealthy::Keep) {
        return None;
    }
    let mut look = Look::new(stack, observed);
    look.go_on();
    look.begin();
    let mut due = Due { stop: look.stops(), ..Due::default() };
    look.starts(&mut due);
    look.restarts(&mut due);
    look.restarts_after(&mut due);
    due.answers = look.answers.into_values().collect();
    let acts = !(due.stop.is_empty() && due.start.is_empty() && due.restart.is_empty());
    (acts || due.answers != observed.answers).then_some(due)
}

/// The plan for it. Stops come in a plan of their own, before anything else.
pub fn follow(stack: &Stack, observed: &Observed, facts: &Facts, due: &Due) -> Plan {
    if !due.stop.is_empty() {
        return stop_for(observed, stack, &due.stop);
    }
    let start = due.start.keys().cloned().collect();
    let restart = due.restart.keys().cloned().collect();
    let mut causes = due.restart.clone();
    causes.extend(due.start.clone());
    run(stack, observed, facts, &Asked { start, restart, by: By::Dependencies(causes) })
}

/// What is written down of a plan that the user asked for; `None`: nothing else than
/// is. `ended`: those that rest from now on by the user's will.
pub fn overruled(
    stack: Option<&Stack>,
    observed: &Observed,
    ended: impl Fn(&InstanceId) -> bool,
    plan: &Plan,
) -> Option<Vec<Answer>> {
    let mut answers = by_edge(observed.answers.iter().filter(|answer| !ended(&answer.id)));
    if let Some(stack) = stack {
        let look = Look::new(stack, observed);
        let started = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Start(desired) => Some(&desired.id),
            _ => None,
        });
        for id in started {
            for (on, _) in look.edges(id).filter(|(on, _)| look.is_ill(on)) {
                let run = observed.instances.get(id).and_then(ObservedInstance::pid);
                let answer = Answer { id: id.clone(), on: on.into(), run, stage: Stage::Overruled };
                answers.entry((id.clone(), on.to_owned())).or_insert(answer);
            }
        }
    }
    let answers: Vec<Answer> = answers.into_values().collect();
    (answers != observed.answers).then_some(answers)
}

/// For what it waits, in words, if it rests for a dependency's sake: `db is healthy`.
pub fn rests_until(observed: &Observed, id: &InstanceId) -> Option<String> {
    let instance = observed.instances.get(id)?;
    let names: Vec<&str> = observed
        .answers
        .iter()
        .filter(|answer| answer.id == *id && is_resting(instance, answer))
        .map(|answer| answer.on.as_str())
        .collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("{only} is healthy")),
        [first @ .., last] => Some(format!("{} and {last} are healthy", first.join(", "))),
    }
}

fn is_resting(instance: &ObservedInstance, answer: &Answer) -> bool {
    let ours = matches!(answer.stage, Stage::Stopped | Stage::Starting | Stage::Restarting);
    ours && instance.held && !instance.is_alive()
}

type ByEdge = BTreeMap<(InstanceId, String), Answer>;

fn by_edge<'a>(answers: impl Iterator<Item = &'a Answer>) -> ByEdge {
    answers.map(|answer| ((answer.id.clone(), answer.on.clone()), answer.clone())).collect()
}

/// What is seen, and the answers as they come to be.
struct Look<'a> {
    stack: &'a Stack,
    observed: &'a Observed,
    answers: ByEdge,
    /// Those that are about to rest.
    stopping: BTreeSet<InstanceId>,
}

/// How an instance is, seen from the run that an answer is about.
enum Run {
    /// That very run.
    Same,
    /// A later one.
    Later,
    /// It was stopped.
    Rests,
    /// It ended by itself.
    Ended,
}

impl<'a> Look<'a> {
    fn new(stack: &'a Stack, observed: &'a Observed) -> Self {
        let answers = by_edge(observed.answers.iter());
        Self { stack, observed, answers, stopping: BTreeSet::new() }
    }

    /// What an instance depends on with a policy, and the policy.
    fn edges(&self, id: &InstanceId) -> impl Iterator<Item = (&'a str, OnUnhealthy)> + use<'a> {
        let workload = self.stack.workloads.get(&id.workload);
        let workload = workload.filter(|workload| id.number <= workload.replicas);
        let edges = workload.into_iter().flat_map(|workload| &workload.depends_on);
        edges
            .map(|(on, dependency)| (on.as_str(), dependency.on_unhealthy))
            .filter(|(_, policy)| *policy != OnUnhealthy::Keep)
    }

    /// Whether what an answer is about is still in the file.
    fn is_declared(&self, answer: &Answer) -> bool {
        let workload = self.stack.workloads.get(&answer.id.workload);
        let workload = workload.filter(|workload| answer.id.number <= workload.replicas);
        let on = workload.and_then(|workload| workload.depends_on.get(&answer.on));
        on.is_some_and(|on| on.restart || on.on_unhealthy != OnUnhealthy::Keep)
    }

    fn copies(&self, name: &str) -> impl Iterator<Item = Option<&'a ObservedInstance>> + use<'a> {
        let workload = self.stack.workloads.get(name);
        let observed = self.observed;
        workload.into_iter().flat_map(Workload::ids).map(move |id| observed.instances.get(&id))
    }

    /// Whether a copy is unhealthy.
    fn is_unhealthy(&self, name: &str) -> bool {
        self.copies(name).flatten().any(|it| it.verdict() == Some(Verdict::Unhealthy))
    }

    /// Whether a copy is unhealthy, or rests because of another that is.
    fn is_ill(&self, name: &str) -> bool {
        let rests = |it: &ObservedInstance| {
            self.stopping.contains(&it.id)
                || self.of(&it.id).any(|answer| {
                    matches!(answer.stage, Stage::Stopped | Stage::Starting)
                        && is_resting(it, answer)
                })
        };
        self.is_unhealthy(name) || self.copies(name).flatten().any(rests)
    }

    /// Whether every copy runs and is healthy; ready, where nobody asks it.
    fn is_well(&self, name: &str) -> bool {
        let written = self.stack.workloads.get(name).and_then(|it| it.healthcheck.as_ref());
        let mut copies = self.copies(name).peekable();
        copies.peek().is_some()
            && copies.all(|copy| {
                copy.is_some_and(|it| {
                    let runs = matches!(it.state, State::Running { .. })
                        && !self.stopping.contains(&it.id);
                    let asked = effective(written, it.image_check.as_ref()).is_some();
                    let well = if asked {
                        it.verdict() == Some(Verdict::Healthy)
                    } else {
                        it.ready == Readiness::Ready
                    };
                    runs && well
                })
            })
    }

    fn of(&self, id: &InstanceId) -> impl Iterator<Item = &Answer> {
        self.answers.range((id.clone(), String::new())..).map(|(_, it)| it).take_while({
            let id = id.clone();
            move |answer| answer.id == id
        })
    }

    fn stage(&mut self, id: &InstanceId, on: &str, stage: Stage) {
        if let Some(answer) = self.answers.get_mut(&(id.clone(), on.to_owned())) {
            answer.stage = stage;
        }
    }

    /// What has become of earlier answers: those that are done with go.
    fn go_on(&mut self) {
        for (key, answer) in self.answers.clone() {
            let stage = self.observed.instances.get(&answer.id).and_then(|it| {
                self.is_declared(&answer).then_some(())?;
                self.next(&answer, run_of(it, &answer))
            });
            match stage {
                Some(stage) => self.stage(&answer.id, &answer.on, stage),
                None => drop(self.answers.remove(&key)),
            }
        }
    }

    /// The stage that an answer has come to; `None`: it is done with.
    fn next(&self, answer: &Answer, run: Run) -> Option<Stage> {
        let (ill, well) = (self.is_ill(&answer.on), self.is_well(&answer.on));
        let stage = answer.stage;
        match (stage, run) {
            (Stage::Starting, Run::Same | Run::Later | Run::Ended)
            | (Stage::Restarting, Run::Later) => None,
            (Stage::Starting, Run::Rests) if ill => Some(Stage::Stopped),
            (Stage::Restarting, Run::Same) if ill => Some(Stage::Owed),
            (Stage::Stopped, Run::Later) if !well => Some(Stage::Overruled),
            // These are still to be acted upon.
            (Stage::Stopped | Stage::Starting | Stage::Restarting, Run::Rests)
            | (Stage::Owed | Stage::Restarting, Run::Same) => Some(stage),
            _ => (!well).then_some(stage),
        }
    }

    /// New spells. Who is about to rest may have dependents of its own.
    fn begin(&mut self) {
        loop {
            let before = self.answers.len();
            // By hand: paused.
            for it in self.observed.instances.values().filter(|it| it.is_alive() && !it.held) {
                for (on, policy) in self.edges(&it.id) {
                    let key = (it.id.clone(), on.to_owned());
                    if self.answers.contains_key(&key) || !self.is_ill(on) {
                        continue;
                    }
                    let stage = match policy {
                        OnUnhealthy::Stop => Stage::Stopped,
                        OnUnhealthy::Restart | OnUnhealthy::Keep => Stage::Owed,
                    };
                    if stage == Stage::Stopped {
                        self.stopping.insert(it.id.clone());
                    }
                    let (id, on, run) = (it.id.clone(), on.to_owned(), it.pid());
                    self.answers.insert(key, Answer { id, on, run, stage });
                }
            }
            if self.answers.len() == before {
                return;
            }
        }
    }

    fn stops(&self) -> Causes {
        let mut stops = Causes::new();
        for answer in self.answers.values().filter(|it| it.stage == Stage::Stopped) {
            let instance = self.observed.instances.get(&answer.id);
            if instance.is_some_and(|it| matches!(run_of(it, answer), Run::Same)) {
                let what = if self.is_unhealthy(&answer.on) { "became unhealthy" } else { "rests" };
                stops.entry(answer.id.clone()).or_default().push(self.because(answer, what));
            }
        }
        stops
    }

    /// Whoever rests for others' sake, once all of them are well.
    fn starts(&mut self, due: &mut Due) {
        for it in self.observed.instances.values() {
            let answers: Vec<Answer> =
                self.of(&it.id).filter(|answer| is_resting(it, answer)).cloned().collect();
            if answers.is_empty() || self.must_rest(&it.id) {
                continue;
            }
            if answers.iter().all(|answer| self.is_well(&answer.on)) {
                let causes = answers.iter().map(|it| self.because(it, "is healthy again"));
                due.start.insert(it.id.clone(), causes.collect());
                for answer in answers.iter().filter(|answer| answer.stage == Stage::Stopped) {
                    self.stage(&it.id, &answer.on, Stage::Starting);
                }
            }
        }
    }

    /// Whoever owes a restart, once all that it owes it to are well.
    fn restarts(&mut self, due: &mut Due) {
        for it in self.observed.instances.values() {
            let owes = |answer: &&Answer| {
                matches!(answer.stage, Stage::Owed | Stage::Restarting)
                    && matches!(run_of(it, answer), Run::Same)
            };
            let answers: Vec<Answer> = self.of(&it.id).filter(owes).cloned().collect();
            if answers.is_empty() || self.stopping.contains(&it.id) || self.must_rest(&it.id) {
                continue;
            }
            if answers.iter().all(|answer| self.is_well(&answer.on)) {
                let causes = answers.iter().map(|it| self.because(it, "is healthy again"));
                due.restart.insert(it.id.clone(), causes.collect());
                for answer in &answers {
                    self.stage(&it.id, &answer.on, Stage::Restarting);
                }
            }
        }
    }

    /// Whoever restarts after those, however indirectly (`restart: true`).
    fn restarts_after(&mut self, due: &mut Due) {
        loop {
            let before = due.restart.len();
            for it in self.observed.instances.values().filter(|it| it.is_alive()) {
                let known = due.restart.contains_key(&it.id) || self.stopping.contains(&it.id);
                let Some(on) = self.restarted(&it.id, due).filter(|_| !known) else { continue };
                let (id, run, stage) = (it.id.clone(), it.pid(), Stage::Restarting);
                let answer = Answer { id: it.id.clone(), on: on.clone(), run, stage };
                let cause = self.because(&answer, "is restarted");
                self.answers.insert((id.clone(), on), answer);
                due.restart.insert(id, vec![cause]);
            }
            if due.restart.len() == before {
                return;
            }
        }
    }

    /// Something that restarts now and that it restarts after.
    fn restarted(&self, id: &InstanceId, due: &Due) -> Option<String> {
        let workload = self.stack.workloads.get(&id.workload)?;
        let follows = workload.depends_on.iter().filter(|(_, on)| on.restart);
        let names = due.restart.keys().map(|id| id.workload.as_str());
        let names: BTreeSet<&str> = names.collect();
        follows.map(|(on, _)| on).find(|on| names.contains(on.as_str())).cloned()
    }

    /// Why, in words: `db became unhealthy (on_unhealthy: stop)`.
    fn because(&self, answer: &Answer, what: &str) -> Cause {
        let workload = self.stack.workloads.get(&answer.id.workload);
        let dependency = workload.and_then(|it| it.depends_on.get(&answer.on));
        match dependency.map(|it| it.on_unhealthy).unwrap_or_default() {
            OnUnhealthy::Keep => {
                Cause::DependsOn { on: answer.on.clone(), what: "is restarted".into() }
            }
            policy => Cause::Seen(format!("{} {what} (on_unhealthy: {policy})", answer.on)),
        }
    }

    /// Whether something that it rests for is unhealthy, whatever was answered.
    fn must_rest(&self, id: &InstanceId) -> bool {
        self.edges(id).any(|(on, policy)| policy == OnUnhealthy::Stop && self.is_ill(on))
    }
}

fn run_of(instance: &ObservedInstance, answer: &Answer) -> Run {
    match instance.pid() {
        Some(pid) if answer.run == Some(pid) => Run::Same,
        Some(_) => Run::Later,
        None if instance.held => Run::Rests,
        None => Run::Ended,
    }
}

#[cfg(test)]
mod tests;
