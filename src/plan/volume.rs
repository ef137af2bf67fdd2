//! Volumes: made when missing, grown when the file says so, never shrunk and
//! never removed by an `up`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use super::given::Given;
use super::{Blocked, Cause, Resource};
use crate::stack::definition::{Difference, bytes};
use crate::stack::{MountSource, Role, Volume, VolumeKind, Workload};

/// What is done about one volume.
pub(super) enum Fate<'a> {
    /// It is there.
    Keep(&'a Volume),
    /// It is made.
    Create(&'a Volume),
    /// Its block device grows; nobody may have it open.
    Grow(&'a Volume, Cause),
    /// It cannot be had.
    Blocked(Blocked),
}

/// The names of the volumes that a workload uses, as the file has them.
pub(super) fn used_by(workload: &Workload) -> BTreeSet<&str> {
    let mounts = workload.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let disks = match &workload.role {
        Role::Vm(vm) => vm.disks.as_slice(),
        Role::Container(_) => &[],
    };
    mounts.chain(disks.iter().map(|disk| disk.volume.as_str())).collect()
}

/// The fate of every volume that somebody in `scope` uses.
pub(super) fn fates<'a>(given: Given<'a>, scope: &BTreeSet<&str>) -> Vec<Fate<'a>> {
    let used: BTreeSet<&str> = scope
        .iter()
        .filter_map(|name| given.stack.workloads.get(*name))
        .flat_map(used_by)
        .collect();
    let volumes = given.stack.volumes.values();
    volumes.filter(|it| used.contains(it.name.as_str())).map(|it| fate(given, it)).collect()
}

fn fate<'a>(given: Given<'a>, volume: &'a Volume) -> Fate<'a> {
    let blocked = |reason: String, help: &str| {
        Fate::Blocked(Blocked {
            resource: Resource::Volume(volume.resolved.clone()),
            reason,
            help: Some(help.to_owned()),
        })
    };
    let Some(existing) = given.observed.volumes.get(&volume.resolved) else {
        return if volume.external {
            blocked(
                "it is external and does not exist".into(),
                "make it first, or leave `external:` out",
            )
        } else {
            Fate::Create(volume)
        };
    };
    match (existing.kind, volume.kind) {
        _ if volume.external => Fate::Keep(volume),
        (VolumeKind::Disk { size: from }, VolumeKind::Disk { size: to }) if to < from => blocked(
            format!("it has {} and cannot shrink to {}", bytes(from), bytes(to)),
            "leave its `size:` as it was, or use a volume of another name",
        ),
        (VolumeKind::Disk { size: from }, VolumeKind::Disk { size: to }) if to > from => {
            let difference =
                Difference { field: "size".into(), from: Some(bytes(from)), to: Some(bytes(to)) };
            Fate::Grow(volume, Cause::Field(difference))
        }
        (VolumeKind::Disk { .. }, VolumeKind::Directory) => blocked(
            "it is a block device, and the file asks for a directory".into(),
            "use a volume of another name: what is in this one would be lost",
        ),
        (VolumeKind::Directory, VolumeKind::Disk { .. }) => blocked(
            "it is a directory, and the file asks for a block device".into(),
            "use a volume of another name: what is in this one would be lost",
        ),
        _ => Fate::Keep(volume),
    }
}
