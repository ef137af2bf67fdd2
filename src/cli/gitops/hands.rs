//! What the loop has done for it: revisions judged, stacks brought up, words said.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::watch;

use crate::cli::carry_out::{Job, carry_out};
use crate::cli::ui::words::{count, elapsed, label};
use crate::cli::{CommandError, Invocation, project, up};
use crate::diagnostic::chain;
use crate::gitops::decide::{Line, Outcome, Trouble, Verdict};
use crate::gitops::gates::gates;
use crate::gitops::judge::{self, Question};
use crate::gitops::record::Intention;
use crate::gitops::run::Hands;
use crate::gitops::{Settings, Store};
use crate::observed::State;
use crate::plan::{Action, Plan, words};
use crate::readable::readable;
use crate::reconcile::report::Walked;
use crate::reconcile::{Goal, ReconcileError, Report};
use crate::stack::Stack;
use crate::stack::vm::Accel;

/// What was started must run so long before it is taken to be well: most of what
/// ends by itself does so at once.
const STEADY: Duration = Duration::from_secs(3);

/// The loop's hands on this host.
pub(super) struct HandsOfHost<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    pub(super) accel: Accel,
    /// Becomes true when the loop is to end.
    pub(super) stop: watch::Receiver<bool>,
}

#[async_trait(?Send)]
impl Hands for HandsOfHost<'_> {
    async fn judge(&self, rewrites: Option<String>) -> Verdict {
        let directories = &self.invocation.directories;
        let question = Question::new(self.settings, directories, self.store, self.accel, rewrites);
        question
            .ask()
            .await
            .unwrap_or_else(|error| Verdict::Blocked(Trouble { chain: chain(&error), help: None }))
    }

    async fn up(&self, intention: &Intention) -> Outcome {
        let stack = match judge::read(self.settings, &self.store.tree()) {
            Ok(read) => read.stack,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        match self.bring_up(&stack, intention).await {
            Ok(outcome) => outcome,
            Err(CommandError::Interrupted) => Outcome::Stopped,
            Err(error) => Outcome::Failed(chain(&error).join(": ")),
        }
    }

    fn say(&self, line: &Line) {
        let screen = &self.invocation.screen;
        match line {
            Line::Said(text) => screen.say(text),
            Line::Warned(text) => screen.warn(text),
            Line::Shown(text) => screen.say(text.trim_end()),
            Line::Failed(Trouble { chain, help }) => screen.failure(chain, help.as_deref()),
        }
    }
}

impl HandsOfHost<'_> {
    async fn bring_up(
        &self,
        stack: &Stack,
        intention: &Intention,
    ) -> Result<Outcome, CommandError> {
        let began = Instant::now();
        let deadline = self.settings.policy.health_deadline;
        let policy = &self.settings.policy;
        let job = Job {
            goal: Goal::Up(Box::new(stack.clone()), judge::options(policy)),
            consent: intention.approved.consent(),
            grace: None,
            stop: up::stop_at(self.stop.clone(), Some(deadline)),
            needs_minding: true,
        };
        let report = carry_out(self.invocation, job).await?;
        if *self.stop.borrow() && !report.is_complete() {
            return Ok(Outcome::Stopped);
        }
        Ok(match report {
            Report::Blocked(plan) => Outcome::Failed(judge::in_the_way(&plan).line()),
            Report::Refused(plan, _) => {
                let rewrites = intention.approved.rewrites.as_deref();
                Outcome::Refused(gates(&plan, policy.max_removals, rewrites))
            }
            Report::Failed(trouble) => Outcome::Failed(trouble.chain.join(": ")),
            Report::Done(plan, walked) => match unwell(&walked, began.elapsed(), deadline) {
                Some(reason) => Outcome::Failed(reason),
                None => self.is_steady(stack, &plan).await?,
            },
        })
    }

    /// Whether what was started goes on running.
    async fn is_steady(&self, stack: &Stack, plan: &Plan) -> Result<Outcome, CommandError> {
        let starts = |action: &Action| matches!(action, Action::Start(_));
        if !plan.steps.iter().any(|step| starts(&step.action)) {
            return Ok(Outcome::Healthy);
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(STEADY) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(Outcome::Stopped),
        }
        let world = project::world(self.invocation)?;
        let observed = world.observe(&stack.name).await.map_err(ReconcileError::Look)?;
        let complaints: Vec<String> = stack
            .instances()
            .filter_map(|(id, _)| observed.instances.get(&id))
            .filter_map(|instance| {
                let what = format!("{} {}", instance.kind, instance.id);
                match &instance.state {
                    _ if instance.held => None,
                    // Whether it has just ended or just been started says less.
                    _ if instance.restarts.count > 0 => {
                        let times = count(instance.restarts.count as usize, "time", "times");
                        Some(format!("{what} keeps ending: it was started again {times}"))
                    }
                    State::Exited(exit) if exit.code == Some(0) => None,
                    State::Exited(_) => Some(format!("{what} {}", words::why_it_rests(instance))),
                    _ => None,
                }
            })
            .collect();
        if complaints.is_empty() {
            return Ok(Outcome::Healthy);
        }
        Ok(Outcome::Failed(complaints.join("; ")))
    }
}

/// Why a walk was not complete, in words.
fn unwell(walked: &Walked, took: Duration, deadline: Duration) -> Option<String> {
    let failed = walked.failed.iter().map(|(resource, trouble)| {
        let what = label(resource);
        let said = trouble.chain.join(": ");
        if said.contains(&what) { said } else { format!("{what}: {said}") }
    });
    let failed: Vec<String> = failed.collect();
    if !failed.is_empty() {
        return Some(failed.join("; "));
    }
    let waiting: Vec<String> =
        walked.not_started.iter().map(|(resource, _)| label(resource)).collect();
    if !walked.interrupted && waiting.is_empty() {
        return None;
    }
    let limit = elapsed(if took < deadline { took } else { deadline });
    Some(match &waiting[..] {
        [] => format!("not everything was healthy within {limit}"),
        waiting => format!("not healthy within {limit}: {}", waiting.join(", ")),
    })
}

/// Returns when the loop's process has ended; never, where it is not known.
pub(super) async fn ended(pid: Option<u32>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return std::future::pending().await };
    // One that cannot be opened has gone.
    let Ok(process) = pidfd_open(pid, PidfdFlags::NONBLOCK) else { return };
    if let Ok(process) = readable(process) {
        drop(process.readable().await);
    }
}
