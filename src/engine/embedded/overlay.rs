//! Whether the kernel can do overlayfs: where it is a module, the kernel loads it
//! when it is first named, and until then its list of file systems lacks it.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};

/// Whether it can, now or as soon as it is asked to.
pub fn is_there() -> bool {
    // To name it has the kernel load it; nothing is mounted.
    is_listed()
        || match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(_) => true,
            Err(Errno::PERM) => has_module(),
            Err(_) => false,
        }
}

fn is_listed() -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.lines().any(|line| line.split_whitespace().last() == Some("overlay"))
}

/// For who may not name it: whether there is a module to be loaded.
fn has_module() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let modules = Path::new("/lib/modules").join(&*release).join("modules.dep");
    let known = fs::read_to_string(modules).unwrap_or_default();
    known.lines().any(|line| line.contains("/overlay.ko"))
}
