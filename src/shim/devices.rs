//! The host's devices, for containers that are allowed everything: as under
//! Docker, what is in `/dev` when they start. It only looks.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::{Value, json};

/// What every container has of its own, or what belongs to a terminal.
const OWN: [&str; 13] = [
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue",
    "fd", "core",
];

/// The devices in `directory`, as an OCI runtime is told of them; inside they
/// have the same paths.
pub(super) fn of_host(directory: &Path) -> io::Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if OWN.iter().any(|own| entry.file_name() == *own) {
            continue;
        }
        // A device may go at any time, and a link leads to what has its own place.
        let Ok(meta) = entry.metadata() else { continue };
        let kind = meta.file_type();
        if kind.is_dir() {
            found.extend(of_host(&entry.path())?);
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push(json!({
                "path": entry.path(),
                "type": if kind.is_block_device() { "b" } else { "c" },
                "major": rustix::fs::major(meta.rdev()),
                "minor": rustix::fs::minor(meta.rdev()),
                "fileMode": meta.mode() & 0o7777,
                "uid": meta.uid(),
                "gid": meta.gid(),
            }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_and_what_is_a_containers_own_stays_out() {
        let found = of_host(Path::new("/dev")).expect("the host's devices");
        for device in &found {
            let path = device["path"].as_str().expect("a path");
            let kind = fs::symlink_metadata(path).expect("it is there").file_type();
            assert!(kind.is_char_device() || kind.is_block_device(), "{path}");
            assert!(!path.starts_with("/dev/pts/") && path != "/dev/null", "{path}");
        }
        let home = tempfile::tempdir().expect("directory");
        fs::write(home.path().join("file"), "").expect("file");
        std::os::unix::fs::symlink("/dev/null", home.path().join("link")).expect("link");
        assert!(of_host(home.path()).expect("looked").is_empty());
    }
}
