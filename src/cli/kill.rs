//! `kill`: sends a signal to what runs. It takes no lock: it is for when
//! something else hangs.

use futures_util::future::join_all;

use super::arguments::Kill;
use super::{CommandError, Exit, Invocation, instances, project};

pub(super) async fn run(invocation: &Invocation, arguments: &Kill) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let mut chosen = instances::chosen(invocation, &stack, &arguments.names)?;
    if let Some(record) = chosen.iter().find(|record| !instances::is_alive(invocation, record))
        && !arguments.names.is_empty()
    {
        return Err(instances::not_running(record));
    }
    chosen.retain(|record| instances::is_alive(invocation, record));
    let world = project::world(invocation)?;
    let kills = chosen
        .iter()
        .map(|record| world.workloads(record.kind).kill(&stack, &record.id, arguments.signal));
    for (record, result) in chosen.iter().zip(join_all(kills).await) {
        result?;
        let (kind, id) = (record.kind, &record.id);
        invocation.screen.say(&format!("{kind} {id}: sent signal {}", arguments.signal));
    }
    Ok(Exit::Done)
}
