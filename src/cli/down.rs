//! `windlass down`: stops and removes what runs. Volumes and disks stay, unless
//! `-v` asks for them to go: then each is named with its size.

use std::time::Instant;

use super::arguments::Down;
use super::report::Attempt;
use super::{CommandError, Exit, Invocation, interrupt, project, report, session};
use crate::event::Events;
use crate::plan::Consent;
use crate::reconcile::{Goal, Manner, reconcile};

/// Takes the stack down.
pub(super) async fn run(invocation: &Invocation, arguments: &Down) -> Result<Exit, CommandError> {
    let began = Instant::now();
    let (name, stack) = project::name_and_stack(invocation)?;
    let world = project::world(invocation)?;
    if let Some(stack) = &stack {
        session::check_owner(invocation, &name, &stack.directory, arguments.adopt)?;
    }
    let _lock = session::lock(invocation, &name).await?;
    let stop = interrupt::listen(&invocation.screen)?;
    let (events, receiver) = Events::channel();
    let consent = Consent { volumes: arguments.volumes, ..Consent::default() };
    let manner = Manner { consent, grace: arguments.timeout, events, stop };
    let goal = Goal::Down {
        name: name.clone(),
        stack: stack.map(Box::new),
        volumes: arguments.volumes,
        remove_orphans: arguments.remove_orphans,
    };
    let work = async {
        let result = reconcile(&world, &goal, &manner).await;
        drop(manner);
        result
    };
    let (result, _) = tokio::join!(work, invocation.screen.follow(name.as_str(), receiver));
    let attempt = Attempt { verb: "down", stack: &name, files: &[], began, deadline: None };
    report::say(invocation, attempt, result)
}
