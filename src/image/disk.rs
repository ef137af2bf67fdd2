//! Disk images as files: what they are, and whether they may be trusted to
//! stand alone. A foreign image that names another file would have QEMU read
//! that file, whoever's it is: such images are refused before any program
//! opens them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::ImageError;
use super::program::{CP, QEMU_IMG};
use super::stored::DiskFormat;

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiskInfo {
    /// Its form.
    pub(super) format: DiskFormat,
    /// Bytes that a guest sees.
    pub(super) virtual_size: u64,
    /// Bytes on the host.
    pub(super) bytes: u64,
}

/// A qcow2 header's first fields.
const QCOW2: [u8; 4] = *b"QFI\xfb";

/// The incompatible feature "data lies in another file".
const EXTERNAL_DATA: u64 = 1 << 2;

/// Other formats' first bytes, with their names.
const OTHERS: [(&[u8], &str); 4] = [
    (b"KDMV", "VMDK"),
    (b"vhdxfile", "VHDX"),
    (b"conectix", "VHD"),
    (b"<<< Oracle VM VirtualBox", "VDI"),
];

/// What the file at `path` is, where it can be a VM's disk.
pub(super) fn inspect(path: &Path) -> Result<DiskInfo, ImageError> {
    let failed = |source| ImageError::io("read", path)(source);
    let unusable = |reason: &str| ImageError::Unusable {
        name: path.display().to_string(),
        reason: reason.to_owned(),
    };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unusable("it is not a file"));
    }
    let mut head = Vec::new();
    (&mut file).take(4096).read_to_end(&mut head).map_err(failed)?;
    let bytes = metadata.blocks() * 512;
    if head.starts_with(&QCOW2) {
        let virtual_size = qcow2_size(&head).map_err(unusable)?;
        check(path)?;
        return Ok(DiskInfo { format: DiskFormat::Qcow2, virtual_size, bytes });
    }
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        let reason = format!("it is {name}; `qemu-img convert -O qcow2` makes one that is");
        return Err(unusable(&reason));
    }
    if !looks_like_a_disk(&head) {
        return Err(unusable("it is neither qcow2 nor a disk with partitions or a file system"));
    }
    let virtual_size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok(DiskInfo { format: DiskFormat::Raw, virtual_size, bytes })
}

fn qcow2_size(head: &[u8]) -> Result<u64, &'static str> {
    let word = |at: usize| head.get(at..at + 8)?.try_into().map(u64::from_be_bytes).ok();
    let version = head.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let (Some(version), Some(backing), Some(size)) = (version, word(8), word(24)) else {
        return Err("it is truncated");
    };
    let features = if version >= 3 { word(72).ok_or("it is truncated")? } else { 0 };
    if !(2..=3).contains(&version) {
        return Err("its version of qcow2 is unknown");
    }
    if backing != 0 {
        return Err("it refers to a backing file, which would be read on this host");
    }
    if features & EXTERNAL_DATA != 0 {
        return Err("it refers to a data file, which would be read on this host");
    }
    Ok(size)
}

/// Partition tables and file systems that start where they should.
fn looks_like_a_disk(head: &[u8]) -> bool {
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..offset + magic.len()).is_some_and(|found| found == magic)
    };
    let (boot_sector, partition_table) = (at(510, &[0x55, 0xaa]), at(512, b"EFI PART"));
    boot_sector || partition_table || at(1080, &[0x53, 0xef]) || at(0, b"XFSB")
}

/// Has QEMU look over the tables of a qcow2 image: one that was cut short does
/// not pass. Leaked clusters (code 3) only waste room.
fn check(path: &Path) -> Result<(), ImageError> {
    let text = path.to_string_lossy();
    match QEMU_IMG.output(&["check", "-q", "-f", "qcow2", &text]) {
        Err(ImageError::Program { said, .. }) if !said.contains("leaked") => {
            let said = said.lines().next().unwrap_or_default().to_owned();
            Err(ImageError::Unusable {
                name: text.into_owned(),
                reason: format!("it is damaged: {said}"),
            })
        }
        Err(error @ ImageError::ProgramMissing { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// Copies a file, sharing its blocks where the file system can, keeping holes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    let (source, target) = (from.to_string_lossy(), to.to_string_lossy());
    CP.output(&["--reflink=auto", "--sparse=always", "--", &source, &target])?;
    Ok(())
}

/// Has the file `from`, which nobody ever changes, also at `to`.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => copy(from, to),
    }
}

/// Has the tree `from`, which nobody ever changes, also at `to`.
pub(super) fn link_or_copy_tree(from: &Path, to: &Path) -> Result<(), ImageError> {
    let (source, target) = (from.to_string_lossy(), to.to_string_lossy());
    let on_one_disk = match (fs::metadata(from), to.parent().map(fs::metadata)) {
        (Ok(from), Some(Ok(to))) => from.dev() == to.dev(),
        _ => false,
    };
    let how = if on_one_disk { "--link" } else { "--reflink=auto" };
    CP.output(&["--archive", how, "--no-target-directory", "--", &source, &target])?;
    Ok(())
}

/// Bytes on the host of everything below `directory`, a hard-linked file once.
pub(super) fn bytes_below(directory: &Path) -> Result<u64, ImageError> {
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for path in super::layout::entries(&directory)? {
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(ImageError::io("read", &path))?,
            };
            if metadata.nlink() < 2 || metadata.is_dir() || seen.insert(metadata.ino()) {
                bytes += metadata.blocks() * 512;
            }
            if metadata.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, backing: u64, features: u64) -> Vec<u8> {
        let mut head = vec![0; 104];
        head[..4].copy_from_slice(&QCOW2);
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[8..16].copy_from_slice(&backing.to_be_bytes());
        head[24..32].copy_from_slice(&4096_u64.to_be_bytes());
        head[72..80].copy_from_slice(&features.to_be_bytes());
        head
    }

    #[test]
    fn a_qcow2_that_names_another_file_is_refused() {
        assert_eq!(qcow2_size(&header(3, 0, 0)), Ok(4096));
        assert!(qcow2_size(&header(3, 104, 0)).unwrap_err().contains("backing file"));
        assert!(qcow2_size(&header(3, 0, EXTERNAL_DATA)).unwrap_err().contains("data file"));
        assert!(qcow2_size(&header(2, 104, 0)).is_err());
        assert_eq!(qcow2_size(&header(3, 0, 0)[..60]), Err("it is truncated"));
    }

    #[test]
    fn a_web_page_is_no_disk() {
        let mut disk = vec![0; 4096];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(looks_like_a_disk(&disk));
        assert!(!looks_like_a_disk(b"<!doctype html><title>404</title>"));
    }
}
