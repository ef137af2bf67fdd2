//! Keeps a disk from being filled: an archive of a few kilobytes can unpack to
//! terabytes. It measures; whoever writes asks it.

use std::path::{Path, PathBuf};

use super::ImageError;

/// How often the file system is asked.
const STRIDE: u64 = 32 << 20;

/// What stays free on any disk, unless it is small.
const RESERVE: u64 = 256 << 20;

/// The room on one file system.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    unasked: u64,
}

impl Room {
    /// The room where `path` lies.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), unasked: STRIDE }
    }

    /// Refuses before `bytes` more would fill the disk.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), ImageError> {
        self.unasked += bytes;
        if self.unasked < STRIDE {
            return Ok(());
        }
        self.unasked = 0;
        self.check(0)
    }

    /// Refuses where `bytes` do not fit.
    pub(super) fn check(&self, bytes: u64) -> Result<(), ImageError> {
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|error| ImageError::io("measure", &self.path)(error.into()))?;
        let free = stat.f_bavail * stat.f_frsize;
        let reserve = RESERVE.min(stat.f_blocks * stat.f_frsize / 50);
        if free < reserve.saturating_add(bytes) {
            let free = free.saturating_sub(bytes);
            return Err(ImageError::NoRoom { path: self.path.clone(), free });
        }
        Ok(())
    }
}
