//! The finishing touches on a root file system that mmdebstrap made: what must
//! differ between machines goes, what only this kind of machine needs comes.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::image::ImageError;

/// What cloud-init must know about an image of ours: the seed is its only
/// source, there are no locales to generate, the mirror is the right one.
const CLOUD_INIT: &str = "\
datasource_list: [NoCloud, None]
locale: false
ssh_genkeytypes: [ed25519]
apt:
  preserve_sources_list: true
";

/// Makes a VM's root file system nobody's in particular.
pub(super) fn of_vm(root: &Path) -> Result<(), ImageError> {
    impersonal(root)?;
    for path in entries_with_prefix(&root.join("etc/ssh"), "ssh_host_")? {
        remove(&path)?;
    }
    let resolver = root.join("etc/resolv.conf");
    remove(&resolver)?;
    symlink("../run/systemd/resolve/stub-resolv.conf", &resolver)
        .map_err(ImageError::io("write", &resolver))?;
    write(&root.join("etc/cloud/cloud.cfg.d/90-windlass.cfg"), CLOUD_INIT)
}

/// The same for a container's; the engine lays its own files over these.
pub(super) fn of_container(root: &Path) -> Result<(), ImageError> {
    impersonal(root)?;
    write(&root.join("etc/hostname"), "")?;
    write(&root.join("etc/resolv.conf"), "")
}

/// Takes away what mmdebstrap copied from the host.
fn impersonal(root: &Path) -> Result<(), ImageError> {
    remove(&root.join("etc/hostname"))?;
    write(&root.join("etc/machine-id"), "")
}

/// The system's name for itself.
pub(super) fn name(root: &Path) -> Option<String> {
    let release = fs::read_to_string(root.join("usr/lib/os-release")).ok()?;
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The newest file in `/boot` that starts with `prefix`.
pub(super) fn newest_in_boot(root: &Path, prefix: &str) -> Result<std::path::PathBuf, ImageError> {
    let mut found = entries_with_prefix(&root.join("boot"), prefix)?;
    found.sort();
    found.pop().ok_or_else(|| ImageError::Unusable {
        name: root.display().to_string(),
        reason: format!("there is no `{prefix}…` in /boot"),
    })
}

fn entries_with_prefix(
    directory: &Path,
    prefix: &str,
) -> Result<Vec<std::path::PathBuf>, ImageError> {
    let mut paths = crate::image::layout::entries(directory)?;
    paths.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    Ok(paths)
}

fn write(path: &Path, text: &str) -> Result<(), ImageError> {
    remove(path)?;
    fs::write(path, text).map_err(ImageError::io("write", path))
}

fn remove(path: &Path) -> Result<(), ImageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ImageError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
