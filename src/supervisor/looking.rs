//! How a supervisor sees: what exists, who has ended, who is well, what is no
//! longer as it was made. That something cannot be seen for once ends nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::drift::{self, Findings};
use super::intent::Intent;
use super::{EXAMINE_EVERY, LOOK_AGAIN, Supervisor, declared, minding};
use crate::conditions::Declared;
use crate::diagnostic::chain;
use crate::event::{Event, What};
use crate::health::Patient;
use crate::observed::{Observed, State};
use crate::plan::{Change, Resource, display, words};
use crate::reconcile::{Goal, decide};
use crate::stack::health::effective;
use crate::stack::{InstanceId, Restart};

impl Supervisor {
    /// Looks at everything, and has whatever runs watched. Whether it could be seen.
    pub(super) async fn look(&mut self) -> bool {
        match self.world.observe(&self.name).await {
            Ok(observed) => {
                self.mind(observed);
                true
            }
            Err(error) => {
                // What runs is not the worse for it; it is looked again soon.
                tracing::warn!(error = %chain(&error).join(": "), "cannot see what exists");
                self.examine_at = self.examine_at.min(self.began.elapsed() + LOOK_AGAIN);
                false
            }
        }
    }

    /// Takes in what was seen.
    pub(super) fn mind(&mut self, observed: Observed) {
        self.observed = observed;
        let now = self.began.elapsed();
        let policy = policies(self.intent.as_ref());
        let news = self.revival.look(&self.observed, policy, now);
        for id in &news.noted {
            self.write_down(id, now);
        }
        for id in &news.ended {
            self.say_how_it_ended(id, now);
        }
        self.exits.follow(&self.world, &self.name, &self.observed, &self.outbox);
        self.ask_who_runs();
    }

    /// Looks whether everything is still as it was made, says what is not, and
    /// has put right what is to be put right.
    pub(super) async fn examine(&mut self) {
        self.examine_at = self.began.elapsed() + EXAMINE_EVERY;
        if !self.look().await {
            return;
        }
        let Some(intent) = &self.intent else { return };
        let goal = Goal::Up(Box::new(intent.stack.clone()), drift::options());
        let plan = match decide(&self.world, &goal, &self.observed).await {
            Ok(plan) => plan,
            Err(error) => {
                // Looked for again in a while; what runs is not the worse for it.
                tracing::warn!(error = %chain(&error).join(": "), "cannot look for drift");
                return;
            }
        };
        let Findings { changes, correction } = drift::find(&plan, &intent.stack);
        let now = jiff::Timestamp::now().as_second();
        let declared = declared::after_look(&self.declared, &intent.stack, &changes, now);
        let goal = correction.map(|options| Goal::Up(Box::new(intent.stack.clone()), options));
        self.note_what_is_as_declared(declared);
        self.say_what_drifted(&changes);
        self.drift = changes;
        if let Some(goal) = goal {
            self.want(goal);
        }
    }

    /// Takes note of who is as it was made, and since when.
    fn note_what_is_as_declared(&mut self, found: BTreeMap<InstanceId, Declared>) {
        if found == self.declared {
            return;
        }
        if let Err(error) = declared::write(&self.world.directories.stack(&self.name), &found) {
            // Lost, it only costs the times.
            tracing::warn!(error = %chain(&error).join(": "), "cannot note what is as declared");
        }
        self.declared = found;
    }

    /// What is not as it was made and was not said before.
    fn say_what_drifted(&self, changes: &[Change]) {
        for change in changes.iter().filter(|change| !self.drift.contains(change)) {
            let causes = change.causes.iter().filter_map(display::cause).collect();
            let what = What::Drifted { causes };
            drop(self.news.send(Event { resource: change.resource.clone(), what }));
        }
    }

    /// Writes down how often one was started again, and when it will be.
    fn write_down(&self, id: &InstanceId, now: Duration) {
        let Some((restarts, due)) = self.revival.note(id) else { return };
        let pause = due.map(|due| due.saturating_sub(now));
        let directory = self.world.directories.instance(&self.name, id);
        if let Err(error) = minding::write_down(&directory, restarts, pause) {
            // A cache: lost, it costs the counts of a next supervisor.
            tracing::warn!(error = %chain(&error).join(": "), "cannot write restarts down");
        }
    }

    /// Says that one has ended, and what follows.
    fn say_how_it_ended(&self, id: &InstanceId, now: Duration) {
        let Some((restarts, due)) = self.revival.note(id) else { return };
        let Some(instance) = self.observed.instances.get(id) else { return };
        let resource = Resource::Instance(instance.kind, id.clone());
        let say = |what| drop(self.news.send(Event { resource: resource.clone(), what }));
        say(What::Ended { how: words::why_it_rests(instance) });
        if let Some(pause) = due.map(|due| due.saturating_sub(now)) {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            say(What::Again { pause_ms, count: restarts.count });
        }
        if let Some(limit) = restarts.gave_up {
            say(What::GaveUp { limit });
        }
    }

    /// Has everybody who runs and has a check asked how they are.
    fn ask_who_runs(&self) {
        let Some(intent) = &self.intent else { return };
        let alive = |id: &InstanceId| {
            self.observed.instances.get(id).is_some_and(|instance| {
                matches!(instance.state, State::Running { .. } | State::Degraded { .. })
            })
        };
        self.health.retain(|id| alive(id) || self.work.is_some());
        for (id, workload) in intent.stack.instances().filter(|(id, _)| alive(id)) {
            let Some(instance) = self.observed.instances.get(&id) else { continue };
            let check = effective(workload.healthcheck.as_ref(), instance.image_check.as_ref());
            let Some(check) = check else { continue };
            self.health.follow(&Patient {
                world: self.world.clone(),
                stack: self.name.clone(),
                id,
                kind: instance.kind,
                check,
                address: instance.addresses.values().next().copied(),
            });
        }
    }
}

/// Each instance's restart policy, as its workload is meant.
pub(super) fn policies(intent: Option<&Intent>) -> impl Fn(&InstanceId) -> Restart {
    move |id| {
        let workload = intent.and_then(|intent| intent.stack.workloads.get(&id.workload));
        workload.map(|workload| workload.restart).unwrap_or_default()
    }
}
