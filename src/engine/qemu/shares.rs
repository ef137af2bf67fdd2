//! What a VM shares with the host: which of its mounts are directories, disks,
//! memory or single files, and the virtiofsd processes that serve them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::QemuError;
use super::place::Place;
use super::{Qemu, vm_of};
use crate::cloud_init::{GuestDisk, GuestFile, GuestMount, GuestTmpfs};
use crate::plan::Desired;
use crate::shim::{self, Cgroup, Launcher, Payload, ProgramPayload, ShimSpec};
use crate::stack::workload::{SecretFile, SecretSource};
use crate::stack::{InstanceId, Mount, MountSource, StackName};
use crate::state::{Directories, StateError, names};

/// How long a virtiofsd may take to notice that its VM has gone.
const LINGER: Duration = Duration::from_secs(2);

/// Something of the host that a virtiofsd serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    /// Directory or file.
    pub(super) source: PathBuf,
    /// How the guest sees it.
    pub(super) guest: GuestMount,
}

/// A disk volume with the file behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeDisk {
    /// The qcow2 file.
    pub(super) file: PathBuf,
    /// How the guest sees it.
    pub(super) guest: GuestDisk,
}

/// Everything that is mounted in a VM.
#[derive(Debug, Clone, Default)]
pub(super) struct Mounted {
    pub(super) shares: Vec<Share>,
    pub(super) disks: Vec<VolumeDisk>,
    pub(super) tmpfs: Vec<GuestTmpfs>,
    pub(super) files: Vec<GuestFile>,
}

/// What is mounted, checked against what is there; missing directories that may
/// be made are made.
pub(super) fn mounted(desired: &Desired, directories: &Directories) -> Result<Mounted, QemuError> {
    let mut mounted = Mounted::default();
    for mount in &desired.workload.mounts {
        let source = match &mount.source {
            MountSource::Tmpfs { size, mode } => {
                let (target, mode) = (mount.target.clone(), mode.unwrap_or(0o1777));
                let (size, read_only) = (*size, mount.read_only);
                mounted.tmpfs.push(GuestTmpfs { target, size, mode, read_only });
                continue;
            }
            MountSource::Volume { name, .. } => volume(desired, directories, name).join("data"),
            MountSource::Bind { path, create } => {
                if *create && !path.exists() {
                    fs::create_dir_all(path).map_err(StateError::io("create", path))?;
                }
                path.clone()
            }
        };
        mounted.shares.push(share(source, mounted.shares.len(), mount)?);
    }
    for disk in &vm_of(desired)?.disks {
        let file = volume(desired, directories, &disk.volume).join("disk.qcow2");
        if !file.exists() {
            return Err(QemuError::MissingSource { path: file });
        }
        let resolved = desired.volumes.get(&disk.volume).unwrap_or(&disk.volume);
        let guest = GuestDisk {
            serial: names::hash(&["volume", resolved], 16),
            target: disk.target.clone(),
            read_only: disk.read_only,
        };
        mounted.disks.push(VolumeDisk { file, guest });
    }
    let workload = &desired.workload;
    for file in workload.secrets.iter().chain(&workload.configs) {
        mounted.files.push(content(file)?);
    }
    Ok(mounted)
}

fn volume(desired: &Desired, directories: &Directories, name: &str) -> PathBuf {
    directories.volume(desired.volumes.get(name).map_or(name, String::as_str))
}

fn share(source: PathBuf, number: usize, mount: &Mount) -> Result<Share, QemuError> {
    let meta =
        fs::metadata(&source).map_err(|_| QemuError::MissingSource { path: source.clone() })?;
    let name = source.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = if meta.is_dir() { None } else { name };
    let guest = GuestMount {
        tag: format!("fs{number}"),
        target: mount.target.clone(),
        read_only: mount.read_only,
        file,
        // The guest does the filling, so it has to be able to write.
        fill: matches!(mount.source, MountSource::Volume { nocopy: false, .. }) && !mount.read_only,
    };
    Ok(Share { source, guest })
}

fn content(file: &SecretFile) -> Result<GuestFile, QemuError> {
    let content = match &file.source {
        SecretSource::Content(text) => text.clone().into_bytes(),
        SecretSource::File(path) => fs::read(path).map_err(StateError::io("read", path))?,
    };
    Ok(GuestFile {
        target: file.target.clone(),
        uid: file.uid.unwrap_or(0),
        gid: file.gid.unwrap_or(0),
        mode: file.mode,
        content,
    })
}

/// Starts a virtiofsd for each share, all at once; returns when every socket is there.
pub(super) async fn serve(
    engine: &Qemu,
    desired: &Desired,
    shares: &[Share],
) -> Result<(), QemuError> {
    let mut starting = tokio::task::JoinSet::new();
    for (number, share) in shares.iter().enumerate() {
        let spec = daemon(engine, desired, number, share);
        let launcher: Arc<Launcher> = Arc::clone(&engine.launcher);
        starting.spawn_blocking(move || launcher.launch(&spec));
    }
    while let Some(started) = starting.join_next().await {
        started??;
    }
    Ok(())
}

fn daemon(engine: &Qemu, desired: &Desired, number: usize, share: &Share) -> ShimSpec {
    let place = engine.place(&desired.stack, &desired.id);
    let access = if share.guest.read_only { "ro" } else { "rw" };
    let argv = [
        "windlass",
        "internal",
        "virtiofsd",
        &Place::share_socket(number),
        access,
        &share.source.to_string_lossy(),
    ];
    ShimSpec {
        label: format!("mount {} of vm {}/{}", share.guest.target, desired.stack, desired.id),
        exit_file: place.share(number).join("exit.json"),
        payload: Payload::Program(ProgramPayload {
            argv: argv.map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
            working_directory: place.run.clone(),
            user: None,
            follow: None,
            says_ready: true,
            dies_with_shim: false,
        }),
        ..minded(engine, &desired.stack, &desired.id, &place, number)
    }
}

/// What all shims of virtiofsd processes have in common.
fn minded(
    engine: &Qemu,
    stack: &StackName,
    id: &InstanceId,
    place: &Place,
    number: usize,
) -> ShimSpec {
    let path = format!("{}.fs{number}", names::cgroup(&engine.home_id, stack, id));
    ShimSpec {
        version: shim::VERSION,
        label: format!("mount {number} of vm {stack}/{id}"),
        run_directory: place.share(number),
        log_directory: None,
        exit_file: place.share(number).join("exit.json"),
        cgroup: Some(Cgroup { path, ..Cgroup::default() }),
        interfaces: Vec::new(),
        payload: Payload::Adopted { pid: 0, start_time: 0, follow: None },
    }
}

/// The shim for a virtiofsd that lost its own; `None`: it needs none.
pub(super) fn adopted(
    engine: &Qemu,
    stack: &StackName,
    id: &InstanceId,
    number: usize,
) -> Option<ShimSpec> {
    let place = engine.place(stack, id);
    let alive = shim::look(&place.share(number)).filter(|alive| alive.process && !alive.shim)?;
    let (pid, start_time) = (alive.status.pid, alive.status.start_time);
    let payload = Payload::Adopted { pid, start_time, follow: None };
    Some(ShimSpec { payload, ..minded(engine, stack, id, &place, number) })
}

/// The targets whose virtiofsd has died: the guest's reads and writes there hang.
pub(super) fn dead(place: &Place, targets: &[String]) -> Vec<String> {
    let is_dead =
        |number: &usize| !shim::look(&place.share(*number)).is_some_and(|alive| alive.process);
    (0..targets.len()).filter(is_dead).map(|number| targets[number].clone()).collect()
}

/// Ends what is left of a VM's virtiofsd processes: they end by themselves when
/// their VM hangs up, and are killed if they do not.
pub(super) async fn end(place: &Place, patience: bool) -> Result<(), QemuError> {
    for number in 0_usize.. {
        let directory = place.share(number);
        if !directory.exists() {
            break;
        }
        end_one(&directory, if patience { LINGER } else { Duration::ZERO }).await?;
    }
    Ok(())
}

async fn end_one(directory: &Path, patience: Duration) -> Result<(), QemuError> {
    let Some(alive) = shim::look(directory) else { return Ok(()) };
    let exit_file = directory.join("exit.json");
    if tokio::time::timeout(patience, shim::ended(directory, &exit_file)).await.is_ok() {
        return Ok(());
    }
    super::stop::kill_process(&alive.status)?;
    shim::ended(directory, &exit_file).await?;
    Ok(())
}
