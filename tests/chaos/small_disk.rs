//! A small disk of the test's own, with the state directory on it, that can be
//! filled for a moment. Whoever is killed leaves it mounted: the next run clears it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// What it has until everything is in place, in MiB.
const ROOMY: u64 = 8 * 1024;

/// A file of this name fills it.
pub(crate) const BALLAST: &str = "ballast";

/// A mounted file system; gone when dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounted at `at`, which is made.
    pub(crate) fn mount(at: &Path) -> Self {
        clear_after_the_killed(at);
        fs::create_dir_all(at).expect("a directory");
        let options = std::ffi::CString::new(format!("size={ROOMY}m,mode=0700")).expect("text");
        mount("windlass-chaos", at, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
            .expect("mounted");
        Self { at: at.to_owned() }
    }

    /// Leaves only so many MiB free.
    pub(crate) fn squeeze(&self, free: u64) {
        let taken = self.total() - self.free();
        let size = (taken >> 20) + free;
        let options = std::ffi::CString::new(format!("size={size}m,mode=0700")).expect("text");
        mount_remount(&self.at, MountFlags::empty(), options.as_c_str()).expect("remounted");
    }

    /// Takes all that is free.
    pub(crate) fn fill(&self) {
        let file = fs::File::create(self.at.join(BALLAST)).expect("a file");
        for piece in [1 << 20, 1 << 12] {
            let mut length = file.metadata().expect("its length").len();
            let flags = rustix::fs::FallocateFlags::empty();
            while rustix::fs::fallocate(&file, flags, length, piece).is_ok() {
                length += piece;
            }
        }
    }

    /// Gives it back.
    pub(crate) fn release(&self) {
        drop(fs::remove_file(self.at.join(BALLAST)));
    }

    fn total(&self) -> u64 {
        let seen = rustix::fs::statvfs(&self.at).expect("a file system");
        seen.f_blocks * seen.f_frsize
    }

    fn free(&self) -> u64 {
        let seen = rustix::fs::statvfs(&self.at).expect("a file system");
        seen.f_bfree * seen.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        detach(&self.at);
        if let Some(root) = self.at.parent() {
            drop(fs::remove_dir_all(root));
        }
    }
}

fn detach(at: &Path) {
    let _ = unmount(at, UnmountFlags::DETACH);
}

/// Those whose test was killed and whose stack was taken down since: their
/// directory has no owner any more.
fn clear_after_the_killed(own: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.starts_with("windlass-chaos ")) {
        let Some(at) = line.split(' ').nth(1).map(Path::new) else { continue };
        let Some(root) = at.parent().filter(|_| at != own) else { continue };
        if !root.join("owner").exists() {
            detach(at);
            drop(fs::remove_dir_all(root));
        }
    }
}
