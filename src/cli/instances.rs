//! Which instances the names on a command line mean: one copy by its own name,
//! all copies by their workload's, everything by none. Read from the records on
//! disk, so that what has ended is found as well.

use super::{CommandError, Invocation, project};
use crate::shim;
use crate::stack::StackName;
use crate::state::InstanceRecord;

/// The records of the instances that `names` mean, in the order of their names.
pub(super) fn chosen(
    invocation: &Invocation,
    stack: &StackName,
    names: &[String],
) -> Result<Vec<InstanceRecord>, CommandError> {
    let all = InstanceRecord::of_stack(&invocation.directories, stack)?;
    InstanceRecord::named(all, names).map_err(|unknown| CommandError::NoSuchWorkload {
        name: unknown.name,
        stack: stack.to_string(),
        known: unknown.known,
    })
}

/// The records of every stack, none of them a stand-in: what they use may not go.
pub(super) fn everywhere(invocation: &Invocation) -> Result<Vec<InstanceRecord>, CommandError> {
    let mut records = Vec::new();
    for stack in invocation.directories.stacks()? {
        records.extend(InstanceRecord::whole_of_stack(&invocation.directories, &stack)?);
    }
    Ok(records)
}

/// The one running instance that `name` means; of several copies, the first.
pub(super) fn running(invocation: &Invocation, name: &str) -> Result<InstanceRecord, CommandError> {
    let stack = project::name(invocation)?;
    let meant = chosen(invocation, &stack, &[name.to_owned()])?;
    let first = meant.iter().find(|record| is_alive(invocation, record)).or(meant.first());
    match first {
        Some(record) if is_alive(invocation, record) => Ok(record.clone()),
        Some(record) => Err(not_running(record)),
        None => Err(CommandError::NoSuchWorkload {
            name: name.to_owned(),
            stack: stack.to_string(),
            known: Vec::new(),
        }),
    }
}

/// It is there and does not run.
pub(super) fn not_running(record: &InstanceRecord) -> CommandError {
    let state = match (record.complete, record.held, record.ever_ready) {
        (false, ..) => "its making was cut short",
        (_, true, _) => "stopped by hand",
        (_, _, false) => "it has never been ready",
        _ => "it has ended",
    };
    CommandError::NotRunning {
        what: format!("{} {}", record.kind, record.id),
        state: state.to_owned(),
    }
}

/// Whether its process runs.
pub(super) fn is_alive(invocation: &Invocation, record: &InstanceRecord) -> bool {
    let run = invocation.directories.instance_run(&record.stack, &record.id);
    shim::look(&run).is_some_and(|alive| alive.process)
}
