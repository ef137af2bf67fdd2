//! What `start`, `stop`, `restart` and `rm` have in common: which instances,
//! the lock, a small plan carried out, and how it ended.

use std::time::{Duration, Instant};

use super::carry_out::{Job, carry_out};
use super::report::{self, Attempt};
use super::{CommandError, Exit, Invocation, instances, interrupt, project, session};
use crate::plan::Consent;
use crate::reconcile::{Goal, Verb};
use crate::stack::InstanceId;

/// One of these verbs, as it was asked for.
pub(super) struct Asked<'a> {
    /// The verb, for messages.
    pub(super) word: &'static str,
    /// What is done.
    pub(super) verb: Verb,
    /// To which workloads or copies; all when none is named.
    pub(super) names: &'a [String],
    /// Replaces every workload's own grace period.
    pub(super) grace: Option<Duration>,
}

/// Carries it out.
pub(super) async fn run(invocation: &Invocation, asked: Asked<'_>) -> Result<Exit, CommandError> {
    let began = Instant::now();
    let stack = project::load(invocation)?;
    session::check_owner(invocation, &stack.name, &stack.directory, false)?;
    let chosen = instances::chosen(invocation, &stack.name, asked.names)?;
    let ids: std::collections::BTreeSet<InstanceId> =
        chosen.into_iter().map(|record| record.id).collect();
    let stop = interrupt::listen(&invocation.screen)?;
    let (name, files) = (stack.name.clone(), stack.files.clone());
    let job = Job {
        goal: Goal::Verb { stack: Box::new(stack), verb: asked.verb, ids },
        consent: Consent::default(),
        grace: asked.grace,
        stop,
        needs_minding: matches!(asked.verb, Verb::Start | Verb::Restart),
    };
    let report = carry_out(invocation, job).await?;
    let attempt = Attempt { verb: asked.word, stack: &name, files: &files, began, deadline: None };
    Ok(report::say(invocation, attempt, &report))
}
