//! Directories for what is not whole yet.
//!
//! A scratch directory is locked by whoever works in it and removed with it.
//! What a killed process left is told by its lock being free, and swept by
//! the next one. Nothing here knows what an image is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::ImageError;
use crate::state::file_lock;

/// A directory that goes away with this value.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    lock_path: PathBuf,
    /// Held open, and so locked, until the directory is gone.
    _lock: File,
}

impl Scratch {
    /// Makes one below `parent`.
    pub(super) fn new(parent: &Path) -> Result<Self, ImageError> {
        fs::create_dir_all(parent).map_err(ImageError::io("create", parent))?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        let lock_path = parent.join(format!("{name}.lock"));
        let path = parent.join(name);
        // The lock comes first: a directory without one would belong to nobody.
        let lock = file_lock::exclusive(&lock_path).map_err(ImageError::io("lock", &lock_path))?;
        fs::create_dir(&path).map_err(ImageError::io("create", &path))?;
        Ok(Self { path, lock_path, _lock: lock })
    }

    /// Where to work.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_all(&self.path);
        drop(fs::remove_file(&self.lock_path));
    }
}

/// Removes what killed processes left below `parent`; what is locked stays.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let lock_path = entry.path();
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&lock_path) else { continue };
        if lock.try_lock().is_ok() {
            remove_all(&lock_path.with_extension(""));
            drop(fs::remove_file(&lock_path));
        }
    }
}

/// Removes a tree; what cannot be removed now is swept later.
fn remove_all(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a scratch directory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_what_nobody_holds_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let held = Scratch::new(parent.path()).unwrap();
        let left = parent.path().join("left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "half").unwrap();
        fs::write(parent.path().join("left.lock"), "").unwrap();

        sweep(parent.path());

        assert!(held.path().is_dir());
        assert!(!left.exists());
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
