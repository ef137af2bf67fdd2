//! What the kernel and the file systems say.

use std::fs;
use std::path::Path;

use rustix::fs::{statfs, statvfs};

use super::Finding;
use crate::engine::embedded::overlay;
use crate::state::Directories;

/// The oldest kernel that has what the shim asks for (`pidfd_open`, `clone3`,
/// `close_range`, overlay in a mount namespace of one's own).
const LEAST_KERNEL: (u32, u32) = (5, 11);

/// Below this an image of a VM does not fit.
const LITTLE_ROOM: u64 = 4 << 30;

const CGROUP2_MAGIC: i64 = 0x6367_7270;

pub(super) fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let text = format!("{major}.{minor}");
    if (major, minor) < LEAST_KERNEL {
        let (least_major, least_minor) = LEAST_KERNEL;
        return Finding::broken(
            "kernel",
            format!("{text} is older than {least_major}.{least_minor}"),
            "boot a newer kernel: `sudo apt-get install linux-image-amd64`, then reboot",
        );
    }
    Finding::well("kernel", text)
}

pub(super) fn cgroup() -> Finding {
    let is_v2 = |path: &str| statfs(path).is_ok_and(|found| found.f_type == CGROUP2_MAGIC);
    if is_v2("/sys/fs/cgroup") {
        Finding::well("cgroup", "v2")
    } else if is_v2("/sys/fs/cgroup/unified") {
        Finding::well("cgroup", "v1 and v2 (hybrid)")
    } else if Path::new("/sys/fs/cgroup/memory").is_dir() {
        Finding::well("cgroup", "v1")
    } else {
        Finding::broken(
            "cgroup",
            "none mounted at /sys/fs/cgroup",
            "sudo mount -t cgroup2 none /sys/fs/cgroup",
        )
    }
}

pub(super) fn overlayfs() -> Finding {
    if overlay::is_there() {
        Finding::well("overlayfs", "known to the kernel")
    } else {
        Finding::broken("overlayfs", "not known to the kernel", "sudo modprobe overlay")
    }
}

pub(super) fn tun() -> Finding {
    if Path::new("/dev/net/tun").exists() {
        Finding::well("tun", "/dev/net/tun")
    } else {
        Finding::broken("tun", "no /dev/net/tun: VMs have no network", "sudo modprobe tun")
    }
}

pub(super) fn embedded_engine() -> Finding {
    let subject = "embedded engine";
    if !nix::unistd::geteuid().is_root() {
        return Finding::broken(subject, "no root", "sudo windlass doctor");
    }
    let mut found = vec!["root"];
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        found.push("seccomp");
    }
    let user_namespaces = fs::read_to_string("/proc/sys/user/max_user_namespaces");
    if user_namespaces.is_ok_and(|text| text.trim() != "0") {
        found.push("user namespaces");
    }
    Finding::well(subject, found.join(", "))
}

pub(super) fn docker_engine() -> Finding {
    let socket = "/var/run/docker.sock";
    if Path::new(socket).exists() {
        Finding::well("docker engine", format!("a daemon at {socket} (not needed)"))
    } else {
        Finding::absent("docker engine", format!("no daemon at {socket} (not needed)"))
    }
}

pub(super) fn room(directories: &Directories) -> Finding {
    let images = directories.images();
    // The store is made by the first `up`; until then its parent has the room.
    let existing = images.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(found) = statvfs(existing) else {
        return Finding::attention(
            "room",
            format!("`{}` cannot be asked for its free space", existing.display()),
            "check that its file system is mounted: `df -h`",
        );
    };
    let free = found.f_bavail * found.f_frsize;
    let text = format!("{} GiB free in the image store", free >> 30);
    if free < LITTLE_ROOM {
        let help = "`windlass prune` removes unused images; `windlass df` shows what takes room";
        return Finding::attention("room", text, help);
    }
    Finding::well("room", text)
}
