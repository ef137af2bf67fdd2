//! `rm`: removes workloads that are stopped. A container's writable layer goes;
//! a VM's disk stays.

use super::arguments::Rm;
use super::ui::ask::Answer;
use super::verb::{self, Asked};
use super::{CommandError, Exit, Invocation, instances, project};
use crate::reconcile::Verb;

pub(super) async fn run(invocation: &Invocation, arguments: &Rm) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let mut chosen = instances::chosen(invocation, &stack, &arguments.names)?;
    if arguments.names.is_empty() && !arguments.stop {
        chosen.retain(|record| !instances::is_alive(invocation, record));
    }
    let names: Vec<String> = chosen.iter().map(|record| record.id.to_string()).collect();
    if names.is_empty() {
        invocation.screen.say("nothing to remove: no workload is stopped");
        return Ok(Exit::Done);
    }
    if !arguments.force {
        agree(invocation, &names)?;
    }
    let verb = Verb::Remove { stop_first: arguments.stop };
    verb::run(invocation, Asked { word: "rm", verb, names: &names, grace: None }).await
}

fn agree(invocation: &Invocation, names: &[String]) -> Result<(), CommandError> {
    let question = format!("remove {}?", names.join(", "));
    let asked = invocation.screen.confirm(&question);
    match asked.map_err(|source| CommandError::Setup { what: "a question", source })? {
        Answer::Yes => Ok(()),
        Answer::No => Err(CommandError::Refused { reason: "not confirmed".into(), help: None }),
        Answer::Nobody => Err(CommandError::Refused {
            reason: format!("nobody is here to confirm the removal of {}", names.join(", ")),
            help: Some("`windlass rm -f` does not ask".into()),
        }),
    }
}
