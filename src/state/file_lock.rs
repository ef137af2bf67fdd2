//! A lock that is a file (`flock`): the kernel lets go of it with its holder. A
//! holder may remove the file; whoever waited for it meanwhile then holds a lock
//! on nothing, and takes the new one instead.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The exclusive lock at `path`, waited for; its directory is made if need be.
///
/// # Errors
/// Where the file can be neither opened nor locked.
pub(crate) fn exclusive(path: &Path) -> io::Result<File> {
    locked(path, File::lock)
}

/// The shared lock at `path`, waited for; its directory is made if need be.
///
/// # Errors
/// As [`exclusive`].
pub(crate) fn shared(path: &Path) -> io::Result<File> {
    locked(path, File::lock_shared)
}

/// The exclusive lock at `path`, or `None` where somebody holds it.
///
/// # Errors
/// As [`exclusive`].
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(is_at(&file, path)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The file at `path`, open for a lock.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether the file that is open is the one that lies there.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => {
            let here = file.metadata()?;
            Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn locked(path: &Path, lock: impl Fn(&File) -> io::Result<()>) -> io::Result<File> {
    loop {
        let file = open(path)?;
        lock(&file)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a.lock");
        let first = exclusive(&path).unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        fs::remove_file(&path).unwrap();
        let second = exclusive(&path).unwrap();
        assert!(is_at(&second, &path).unwrap());
        assert!(!is_at(&first, &path).unwrap());
    }
}
