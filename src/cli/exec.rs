//! `exec`: runs a command inside a workload; its exit code is ours.

use std::io::{self, IsTerminal};

use super::arguments::Exec;
use super::{CommandError, Exit, Invocation, instances, project};
use crate::engine::{ExecCommand, Streams};
use crate::state::InstanceRecord;

pub(super) async fn run(invocation: &Invocation, arguments: &Exec) -> Result<Exit, CommandError> {
    let record = instances::running(invocation, &arguments.name)?;
    let environment = arguments.environment.iter().filter_map(|(name, value)| {
        let value = value.clone().or_else(|| std::env::var(name).ok())?;
        Some((name.clone(), value))
    });
    let command = ExecCommand {
        argv: arguments.command.clone(),
        environment: environment.collect(),
        user: arguments.user.clone(),
        working_dir: arguments.workdir.clone(),
        tty: !arguments.no_tty && at_a_terminal(),
        streams: Streams::Inherit,
    };
    inside(invocation, &record, &command).await
}

/// Whether a person sits on both ends.
pub(super) fn at_a_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Runs it; the exit code is the command's own.
pub(super) async fn inside(
    invocation: &Invocation,
    record: &InstanceRecord,
    command: &ExecCommand,
) -> Result<Exit, CommandError> {
    let world = project::world(invocation)?;
    let Some(engine) = world.workloads(record.kind).exec() else {
        return Err(CommandError::Usage {
            reason: format!("nothing can be run inside {} {}", record.kind, record.id),
            help: None,
        });
    };
    let output = engine.exec(&record.stack, &record.id, command).await?;
    Ok(Exit::Of(u8::try_from(output.code).unwrap_or(u8::MAX)))
}
