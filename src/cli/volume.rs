//! `volume rm`: removes volumes and root disks of VMs by name, with what is in them. Naming one is
//! the consent; one whose stack is up is refused.

use super::arguments::{Volume, VolumeCommand};
use super::ui::words;
use super::{CommandError, Exit, Invocation, instances, project};
use crate::diagnostic::did_you_mean;
use crate::engine::Volumes;
use crate::stack::Kind;
use crate::state::InstanceRecord;
use crate::volume::{Store, StoredVolume};

/// What a name means.
enum Meant<'a> {
    /// A volume, or a disk that was set aside.
    Volume(&'a StoredVolume),
    /// The root disk of a VM.
    RootDisk(Box<InstanceRecord>),
}

pub(super) async fn run(invocation: &Invocation, arguments: &Volume) -> Result<Exit, CommandError> {
    let VolumeCommand::Rm { names } = &arguments.command;
    let store = Store::new(&invocation.directories);
    let volumes = store.list()?;
    // All names are looked at before the first is removed.
    let meant = names
        .iter()
        .map(|name| find(invocation, &volumes, name))
        .collect::<Result<Vec<_>, CommandError>>()?;
    for one in meant {
        match one {
            Meant::Volume(volume) => {
                store.remove(&volume.record.stack, &volume.resolved).await?;
                let freed = words::bytes(volume.bytes);
                invocation.screen.say(&format!("removed volume {} ({freed})", volume.resolved));
            }
            Meant::RootDisk(record) => {
                let world = project::world(invocation)?;
                world.vms.remove(&record.stack, &record.id, true).await?;
                invocation.screen.say(&format!("removed the disk of vm {}", record.id));
            }
        }
    }
    Ok(Exit::Done)
}

/// By the name on disk; within this project's stack also by the file's name of
/// a volume and by the name of a VM, whose root disk is meant.
fn find<'a>(
    invocation: &Invocation,
    volumes: &'a [StoredVolume],
    name: &str,
) -> Result<Meant<'a>, CommandError> {
    if let Some(volume) = volumes.iter().find(|volume| volume.resolved == *name) {
        return refuse_if_in_use(invocation, volume).map(|()| Meant::Volume(volume));
    }
    if let Ok(stack) = project::name(invocation) {
        let full = format!("{stack}_{name}");
        let is_meant = |volume: &&StoredVolume| {
            volume.resolved == full || (volume.record.stack == stack && volume.record.name == *name)
        };
        if let Some(volume) = volumes.iter().find(is_meant) {
            return refuse_if_in_use(invocation, volume).map(|()| Meant::Volume(volume));
        }
        let is_vm =
            |record: &InstanceRecord| record.kind == Kind::Vm && record.id.to_string() == *name;
        let mut records = instances::chosen(invocation, &stack, &[])?.into_iter();
        if let Some(record) = records.find(is_vm) {
            if instances::is_alive(invocation, &record) {
                return Err(CommandError::Refused {
                    reason: format!("vm `{name}` is running"),
                    help: Some(format!("`windlass stop {name}` first")),
                });
            }
            return Ok(Meant::RootDisk(Box::new(record)));
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
