//! `windlass down`: stops and removes what runs. Volumes and disks stay, unless
//! `-v` asks for them to go: then each is named with its size.

use std::time::Instant;

use super::arguments::Down;
use super::carry_out::{Job, carry_out};
use super::report::Attempt;
use super::{CommandError, Exit, Invocation, gitops, interrupt, project, report, session};
use crate::plan::Consent;
use crate::reconcile::Goal;
use crate::shim::cgroup::Hierarchies;
use crate::supervisor::remains;

/// Takes the stack down.
pub(super) async fn run(invocation: &Invocation, arguments: &Down) -> Result<Exit, CommandError> {
    let began = Instant::now();
    let (name, stack) = project::name_and_stack(invocation)?;
    gitops::refuse_by_hand(invocation, &name)?;
    if let Some(stack) = &stack {
        session::check_owner(invocation, &name, &stack.directory, arguments.adopt)?;
    }
    let stop = interrupt::listen(&invocation.screen)?;
    let goal = Goal::Down {
        name: name.clone(),
        stack: stack.map(Box::new),
        volumes: arguments.volumes,
        remove_orphans: arguments.remove_orphans,
    };
    let consent = Consent { volumes: arguments.volumes, ..Consent::default() };
    let job = Job { goal, consent, grace: arguments.timeout, stop, needs_minding: false };
    let report = carry_out(invocation, job).await?;
    if report.is_complete() {
        // The supervisor's own shim has gone by now.
        if let Ok(hierarchies) = Hierarchies::find() {
            hierarchies.tidy();
        }
        if arguments.volumes {
            remains::remove(&invocation.directories, &name)?;
        }
    }
    let attempt = Attempt { verb: "down", stack: &name, files: &[], began, deadline: None };
    Ok(report::say(invocation, attempt, &report))
}
