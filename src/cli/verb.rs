//! What `start`, `stop`, `restart` and `rm` have in common: which instances,
//! the lock, a small plan carried out, and how it ended.

use std::time::{Duration, Instant};

use super::report::{self, Attempt};
use super::{CommandError, Exit, Invocation, instances, interrupt, project, session};
use crate::event::Events;
use crate::plan::Consent;
use crate::reconcile::{Goal, Manner, Verb, reconcile};
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
    let world = project::world(invocation)?;
    let _lock = session::lock(invocation, &stack.name).await?;
    let stop = interrupt::listen(&invocation.screen)?;
    let (events, receiver) = Events::channel();
    let manner = Manner { consent: Consent::default(), grace: asked.grace, events, stop };
    let goal = Goal::Verb { stack: Box::new(stack.clone()), verb: asked.verb, ids };
    let work = async {
        let result = reconcile(&world, &goal, &manner).await;
        // The screen ends when nobody can send any more.
        drop(manner);
        result
    };
    let (result, _) = tokio::join!(work, invocation.screen.follow(stack.name.as_str(), receiver));
    let attempt = Attempt {
        verb: asked.word,
        stack: &stack.name,
        files: &stack.files,
        began,
        deadline: None,
    };
    report::say(invocation, attempt, result)
}
