//! Puts files into every copy of a workload and runs what follows inside.

use crate::engine::{EngineError, ExecCommand, Streams};
use crate::stack::develop::Hook;
use crate::stack::{InstanceId, Stack, Workload};
use crate::world::World;

use super::agenda::Delivery;

/// Why a delivery did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The files did not get in; they are kept for the next time.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What followed failed; the files are in.
    #[error("`{command}` failed inside {id} with code {code}{said}")]
    Hook {
        /// What was run.
        command: String,
        /// In which copy.
        id: InstanceId,
        /// Its exit code.
        code: i32,
        /// Its last words, on lines of their own.
        said: String,
    },
    /// Its engine cannot do that.
    #[error("files cannot be put into a {kind}")]
    Unable {
        /// Which kind of workload.
        kind: crate::stack::Kind,
    },
}

/// Delivers to every copy. A workload that the stack does not have any more
/// takes nothing.
pub(super) async fn deliver(
    world: &World,
    stack: &Stack,
    name: &str,
    delivery: &Delivery,
) -> Result<(), Undelivered> {
    let Some(workload) = stack.workloads.get(name) else { return Ok(()) };
    let kind = workload.kind();
    let engine = world.workloads(kind);
    let files = engine.files().ok_or(Undelivered::Unable { kind })?;
    for id in workload.ids() {
        files.mirror(&stack.name, &id, &delivery.files).await?;
    }
    for hook in &delivery.hooks {
        for id in workload.ids() {
            run(world, stack, workload, &id, hook).await?;
        }
    }
    Ok(())
}

async fn run(
    world: &World,
    stack: &Stack,
    workload: &Workload,
    id: &InstanceId,
    hook: &Hook,
) -> Result<(), Undelivered> {
    let kind = workload.kind();
    let exec = world.workloads(kind).exec().ok_or(Undelivered::Unable { kind })?;
    let command = ExecCommand {
        argv: hook.command.clone(),
        environment: hook.environment.clone(),
        user: hook.user.clone(),
        working_dir: hook.working_dir.clone(),
        tty: false,
        streams: Streams::Capture,
    };
    let output = exec.exec(&stack.name, id, &command).await?;
    if output.code == 0 {
        return Ok(());
    }
    let said = output.output.trim_end();
    let said = if said.is_empty() { String::new() } else { format!("\n{said}") };
    let (command, id) = (hook.command.join(" "), id.clone());
    Err(Undelivered::Hook { command, id, code: output.code, said })
}
