//! The seed's files on a small vfat disk. What is in them is decided by
//! [`crate::cloud_init`].

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use crate::cloud_init::{LABEL, Seed};
use crate::state::StateError;

/// Room for the file system's own structures and for clusters that are not full.
const SPARE: usize = 1 << 20;

/// Replaces the disk at `path` by one that holds `seed`, readable by root alone.
pub(super) fn write(path: &Path, seed: &Seed) -> Result<(), StateError> {
    replace(path, seed).map_err(StateError::io("write", path))
}

fn replace(path: &Path, seed: &Seed) -> io::Result<()> {
    let image = image(seed)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file: tempfile::NamedTempFile<File> =
        tempfile::Builder::new().prefix(".seed-").tempfile_in(directory)?;
    file.write_all(&image)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.persist(path)?;
    Ok(())
}

fn image(seed: &Seed) -> io::Result<Vec<u8>> {
    let content: usize = seed.values().map(|bytes| bytes.len() + 4096).sum();
    let size = (content + SPARE).next_multiple_of(1 << 20);
    let mut disk = Cursor::new(vec![0; size]);
    let mut label = [b' '; 11];
    label[..LABEL.len()].copy_from_slice(LABEL.as_bytes());
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(label))?;
    {
        let volume = FileSystem::new(&mut disk, FsOptions::new())?;
        let root = volume.root_dir();
        let directories: BTreeSet<&Path> = seed
            .keys()
            .flat_map(|name| Path::new(name).ancestors().skip(1))
            .filter(|directory| !directory.as_os_str().is_empty())
            .collect();
        for directory in directories {
            root.create_dir(&directory.to_string_lossy())?;
        }
        for (name, bytes) in seed {
            root.create_file(name)?.write_all(bytes)?;
        }
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use fatfs::{FileSystem, FsOptions};

    use crate::cloud_init::Seed;

    #[test]
    fn what_is_written_is_read_back() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed.img");
        let long = "x".repeat(3 << 20);
        let seed = Seed::from([
            ("user-data".to_owned(), long.clone().into_bytes()),
            ("windlass/files/0".to_owned(), b"secret".to_vec()),
        ]);
        super::write(&path, &seed).expect("first");
        super::write(&path, &seed).expect("again");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("open");
        let volume = FileSystem::new(file, FsOptions::new()).expect("volume");
        assert_eq!(volume.volume_label(), "CIDATA");
        for (name, bytes) in &seed {
            let mut read = Vec::new();
            let mut file = volume.root_dir().open_file(name).expect("file");
            file.read_to_end(&mut read).expect("read");
            assert!(read == *bytes, "{name}");
        }
    }
}
