//! A copy of the Windlass program that cannot be written through: what a shim
//! runs from. An image whose entrypoint is `/proc/self/exe` reaches this copy
//! and not the host's file.
//!
//! The copy is a private read-only mount of the one file, which costs no
//! memory; a kernel without `open_tree` gets a sealed file in memory instead.
#![expect(unsafe_code, reason = "libc has no safe wrappers for the mount calls")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mount::OpenTreeFlags;

/// Opens the copy.
pub(super) fn read_only_copy(program: &Path) -> io::Result<OwnedFd> {
    read_only_mount(program).or_else(|_| sealed_copy(program))
}

fn read_only_mount(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, program, flags)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is an empty C string, the structure lives through the
    // call and its size is its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(tree) } else { Err(io::Error::last_os_error()) }
}

fn sealed_copy(program: &Path) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(rustix::fs::memfd_create("windlass", flags)?);
    io::copy(&mut File::open(program)?, &mut &memory)?;
    rustix::fs::fchmod(&memory, rustix::fs::Mode::from_raw_mode(0o500))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) {
    // SAFETY: called before anything of the process holds a descriptor from
    // `first` on.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Takes the descriptor with this number, which nobody else owns.
pub(super) fn take(number: i32) -> OwnedFd {
    // SAFETY: callers pass a number they were given for this purpose.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Duplicates onto a standard stream.
pub(super) fn onto(from: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: both are open descriptors of this process, the second a standard
    // stream that nobody owns.
    let result = unsafe { libc::dup2(from.as_fd().as_raw_fd(), number) };
    if result == number { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::process::Command;

    use super::{read_only_copy, sealed_copy};

    #[test]
    fn the_copy_runs_and_cannot_be_written() {
        let program = std::path::Path::new("/bin/true");
        let copies = [read_only_copy(program), sealed_copy(program)];
        for copy in copies.map(|copy| copy.expect("copy")) {
            let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
            assert!(Command::new(&path).status().expect("run").success());
            let written = File::options().write(true).open(&path);
            assert!(written.and_then(|mut file| file.write_all(b"x")).is_err());
        }
    }
}
