//! `windlass diff`: what is no longer as the last `up` made it, field by field.
//! It compares with what was brought up, not with an edited file: that is `plan`.

use super::arguments::PlanFormat;
use super::{CommandError, Exit, Invocation, project};
use crate::plan::display::{Screen, is_nothing};
use crate::reconcile::{Goal, look_and_plan};
use crate::supervisor::drift;
use crate::supervisor::intent::Intent;

/// Shows it.
pub(super) async fn run(
    invocation: &Invocation,
    format: PlanFormat,
    exit_code: bool,
) -> Result<Exit, CommandError> {
    let name = project::name(invocation)?;
    let screen = &invocation.screen;
    let Some(intent) = Intent::read(&invocation.directories.stack(&name))? else {
        screen.say(&format!("{name}: nothing was brought up"));
        return Ok(Exit::Done);
    };
    let world = project::world(invocation)?;
    let goal = Goal::Up(Box::new(intent.stack), drift::options());
    let plan = look_and_plan(&world, &goal).await?;
    match format {
        PlanFormat::Json => screen.json(&plan)?,
        PlanFormat::Text => {
            let ascii = !screen.stdout.unicode;
            let words = Screen { stack: name.as_str(), file: "what was brought up", ascii };
            screen.raw(words.drift(&plan).as_bytes())?;
            if !is_nothing(&plan) {
                screen.say("\nRun `windlass up` to put it right.");
            }
        }
    }
    Ok(if exit_code && !is_nothing(&plan) { Exit::SomethingToDo } else { Exit::Done })
}
