//! Disks as files: overlays on a base that is never written to. It makes and
//! grows them; it never deletes one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tokio::process::Command;

use super::error::QemuError;
use crate::image::DiskImage;
use crate::state::StateError;

/// Where a qcow2 header has the size that the guest sees.
const SIZE_OFFSET: u64 = 24;

/// Makes the overlay `disk` on `base`, whole or not at all.
pub(super) async fn create(disk: &Path, base: &DiskImage, size: u64) -> Result<(), QemuError> {
    let new = disk.with_extension("new");
    let options = ["create", "-q", "-f", "qcow2", "-F", base.format.as_str(), "-b"];
    let mut command = Command::new("qemu-img");
    command.args(options).arg(&base.path).arg(&new).arg(size.to_string());
    run(command).await?;
    let synced = File::open(&new).and_then(|file| file.sync_all());
    synced.map_err(StateError::io("write", &new))?;
    std::fs::rename(&new, disk).map_err(StateError::io("write", disk))?;
    let directory = disk.parent().unwrap_or_else(|| Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(StateError::io("write", directory))?;
    Ok(())
}

/// Has the qcow2 file `disk` be at least `size` bytes for its guest.
pub(super) async fn grow(disk: &Path, size: u64) -> Result<(), QemuError> {
    if virtual_size(disk)? >= size {
        return Ok(());
    }
    let mut command = Command::new("qemu-img");
    command.args(["resize", "-q", "-f", "qcow2"]).arg(disk).arg(size.to_string());
    run(command).await
}

/// Bytes that a guest sees of a qcow2 file, as its header has them.
pub(super) fn virtual_size(disk: &Path) -> Result<u64, QemuError> {
    let mut size = [0; 8];
    let read = File::open(disk).and_then(|file| file.read_exact_at(&mut size, SIZE_OFFSET));
    read.map_err(StateError::io("read", disk))?;
    Ok(u64::from_be_bytes(size))
}

async fn run(mut command: Command) -> Result<(), QemuError> {
    let output = command.kill_on_drop(true).output().await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            QemuError::NotInstalled { program: "qemu-img" }
        } else {
            StateError::io("start", "qemu-img")(error).into()
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(QemuError::Program { program: "qemu-img".to_owned(), said })
}
