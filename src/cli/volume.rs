//! `volume rm`: removes volumes by name, with what is in them. Naming one is
//! the consent; one whose stack is up is refused.

use super::arguments::{Volume, VolumeCommand};
use super::ui::words;
use super::{CommandError, Exit, Invocation, instances, project};
use crate::diagnostic::did_you_mean;
use crate::engine::Volumes;
use crate::volume::{Store, StoredVolume};

pub(super) async fn run(invocation: &Invocation, arguments: &Volume) -> Result<Exit, CommandError> {
    let VolumeCommand::Rm { names } = &arguments.command;
    let store = Store::new(&invocation.directories);
    let volumes = store.list()?;
    // All names are looked at before the first is removed.
    let mut meant = Vec::new();
    for name in names {
        let volume = find(invocation, &volumes, name)?;
        refuse_if_in_use(invocation, volume)?;
        meant.push(volume);
    }
    for volume in meant {
        store.remove(&volume.record.stack, &volume.resolved).await?;
        let freed = words::bytes(volume.bytes);
        invocation.screen.say(&format!("removed volume {} ({freed})", volume.resolved));
    }
    Ok(Exit::Done)
}

/// By the name on disk, or by the file's name within this project's stack.
fn find<'a>(
    invocation: &Invocation,
    volumes: &'a [StoredVolume],
    name: &str,
) -> Result<&'a StoredVolume, CommandError> {
    if let Some(volume) = volumes.iter().find(|volume| volume.resolved == *name) {
        return Ok(volume);
    }
    if let Ok(stack) = project::name(invocation) {
        let full = format!("{stack}_{name}");
        let is_meant = |volume: &&StoredVolume| {
            volume.resolved == full || (volume.record.stack == stack && volume.record.name == *name)
        };
        if let Some(volume) = volumes.iter().find(is_meant) {
            return Ok(volume);
        }
    }
    let known = volumes.iter().map(|volume| volume.resolved.as_str());
    Err(CommandError::Usage {
        reason: format!("no volume `{name}`"),
        help: did_you_mean(name, known).or(Some("`windlass volumes` lists them".to_owned())),
    })
}

/// A disk that was set aside is nobody's; any other may be open in a workload.
fn refuse_if_in_use(invocation: &Invocation, volume: &StoredVolume) -> Result<(), CommandError> {
    if volume.resolved.contains(".old-") {
        return Ok(());
    }
    let stack = &volume.record.stack;
    let mut records = instances::chosen(invocation, stack, &[])?.into_iter();
    match records.find(|record| instances::is_alive(invocation, record)) {
        None => Ok(()),
        Some(record) => Err(CommandError::Refused {
            reason: format!(
                "volume `{}` belongs to stack `{stack}`, and {} {} is running",
                volume.resolved, record.kind, record.id
            ),
            help: Some(format!("`windlass -p {stack} down` first")),
        }),
    }
}
