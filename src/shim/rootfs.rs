//! A container's root file system: an overlay in the mount namespace of the
//! process that makes the container, so that it is gone when the container is.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{ContainerPayload, Refusal};

/// Enters a mount namespace of its own and mounts the overlay at `root`.
pub(super) fn mount_layers(payload: &ContainerPayload, root: &Path) -> Result<(), Refusal> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(Refusal::system("make a mount namespace"))?;
    let none: Option<&Path> = None;
    // What the host mounts later is still seen; what is mounted here is not
    // seen by the host.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(Refusal::system("make a mount namespace"))?;
    fs::create_dir_all(root).map_err(Refusal::system("make the root directory"))?;

    let open = |path: &Path| {
        File::open(path).map_err(Refusal::system(format!("open the layer `{}`", path.display())))
    };
    // Descriptors in place of paths: an option string is a page long, and a
    // path may hold a comma or a colon.
    let lower: Vec<File> = payload.lower.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let (upper, work) = (open(&payload.upper)?, open(&payload.work)?);
    let path = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let layers: Vec<String> = lower.iter().map(path).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", layers.join(":"), path(&upper), path(&work));
    // No devices: those that a container has are in its own `/dev`.
    mount(Some("overlay"), root, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))
        .map_err(Refusal::system("mount the layers"))
}
