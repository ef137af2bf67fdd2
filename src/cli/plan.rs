//! `windlass plan`: what `up` would do, and why. Changes nothing.

use super::arguments::{Plan, PlanFormat};
use super::{CommandError, Exit, Invocation, project, report, session, up};
use crate::plan::Consent;
use crate::plan::display::{Screen, is_nothing};
use crate::reconcile::{Goal, look_and_plan};

/// Shows the plan.
pub(super) async fn run(invocation: &Invocation, arguments: &Plan) -> Result<Exit, CommandError> {
    let stack = project::load(invocation)?;
    up::check_names(&stack, &arguments.selection.names)?;
    let world = project::world(invocation)?;
    let adopt = arguments.selection.adopt;
    session::check_owner(invocation, &stack.name, &stack.directory, adopt)?;
    let options = up::options(&stack, &arguments.selection);
    let (name, files) = (stack.name.clone(), stack.files.clone());
    let goal = Goal::Up(Box::new(stack), options);
    let plan = look_and_plan(&world, &goal).await?;
    let screen = &invocation.screen;
    match arguments.format {
        PlanFormat::Json => screen.json(&plan)?,
        PlanFormat::Text => {
            let file = report::file_name(&files);
            let ascii = !screen.stdout.unicode;
            let words = Screen { stack: name.as_str(), file: &file, ascii };
            screen.raw(words.plan(&plan).as_bytes())?;
            if plan.blocked.is_empty() && !is_nothing(&plan) {
                screen.say(&match Consent::default().check(&plan) {
                    Ok(()) => "\nRun `windlass up` to apply.".to_owned(),
                    Err(refused) => {
                        format!("\nNot without consent: {refused}\n  help: {}", refused.help)
                    }
                });
            }
        }
    }
    Ok(match (is_nothing(&plan), plan.blocked.is_empty(), arguments.exit_code) {
        (_, false, _) => Exit::Failed,
        (false, true, true) => Exit::SomethingToDo,
        _ => Exit::Done,
    })
}
