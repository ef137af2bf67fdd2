//! What a command that changes a stack has in its hand: the stack's lock, and
//! the certainty that the stack is this project's.

use std::path::Path;

use super::{CommandError, Invocation};
use crate::stack::StackName;
use crate::state::lock::{self, Attempt, StackLock};
use crate::state::project::{self, Owner};

/// Takes the stack's lock; says who holds it while it waits.
pub(super) async fn lock(
    invocation: &Invocation,
    stack: &StackName,
) -> Result<StackLock, CommandError> {
    let directory = invocation.directories.stack(stack);
    match lock::attempt(&directory)? {
        Attempt::Held(lock) => Ok(lock),
        Attempt::Busy(waiting, holder) => {
            let who = holder.map_or_else(
                || "another command".to_owned(),
                |holder| format!("`{}` (pid {})", holder.command, holder.pid),
            );
            invocation.screen.note(&format!("waiting for {who}, which is at work on {stack}"));
            let waited = tokio::task::spawn_blocking(move || waiting.wait()).await;
            waited.map_err(|_| CommandError::Interrupted)?.map_err(CommandError::from)
        }
    }
}

/// Refuses to act on a stack that was made from another directory, unless the
/// user takes it over.
pub(super) fn check_owner(
    invocation: &Invocation,
    stack: &StackName,
    here: &Path,
    adopt: bool,
) -> Result<(), CommandError> {
    match project::owner(&invocation.directories, stack, here)? {
        Owner::Us(None) => Ok(()),
        Owner::Us(Some(damage)) => {
            invocation.screen.note(&format!("{damage}; it is a cache and is made again"));
            Ok(())
        }
        Owner::Other(_) if adopt => Ok(()),
        Owner::Other(elsewhere) => Err(CommandError::Refused {
            reason: elsewhere.to_string(),
            help: Some("`--adopt` takes it over; `-p NAME` gives this one another name".to_owned()),
        }),
    }
}
