//! Disks as files: overlays on a base that is never written to. It makes and
//! grows them; it never deletes one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tokio::process::Command;

use super::error::QemuError;
use crate::image::DiskImage;

/// Makes the overlay `disk` on `base`, whole or not at all.
pub(super) async fn create(disk: &Path, base: &DiskImage, size: u64) -> Result<(), QemuError> {
    let new = disk.with_extension("new");
    let options = ["create", "-q", "-f", "qcow2", "-F", base.format.as_str(), "-b"];
    let mut command = Command::new("qemu-img");
    command.args(options).arg(&base.path).arg(&new).arg(size.to_string());
    run(command).await?;
    let synced = File::open(&new).and_then(|file| file.sync_all());
    synced.map_err(QemuError::io("write", &new))?;
    std::fs::rename(&new, disk).map_err(QemuError::io("write", disk))?;
    let directory = disk.parent().unwrap_or_else(|| Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(QemuError::io("write", directory))
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
    let mut header = [0; 32];
    let read = File::open(disk).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(QemuError::io("read", disk))?;
    let [.., a, b, c, d, e, f, g, h] = header;
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

async fn run(mut command: Command) -> Result<(), QemuError> {
    let output = command.kill_on_drop(true).output().await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            QemuError::NotInstalled { program: "qemu-img" }
        } else {
            QemuError::io("start", "qemu-img")(error)
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(QemuError::Program { program: "qemu-img".to_owned(), said })
}
