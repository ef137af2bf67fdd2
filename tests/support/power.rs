//! The host loses its power: every process of a home is gone at once, and with
//! them what only a running host has. What was written stays.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::scenario::{Scenario, lines_of, processes_naming};

/// All that a reboot would take.
pub(crate) fn cut(stack: &Scenario) {
    let home = stack.home().to_string_lossy().into_owned();
    // Containers do not name it; each dies with the shim that does.
    let workloads = stack.ps().into_iter().filter_map(|row| row["Pid"].as_i64());
    let workloads: Vec<OwnedFd> = workloads.filter_map(open).collect();
    // It would put right what goes before it.
    stack.kill_supervisor();
    loop {
        let named = processes_naming(&home).into_iter().map(|line| pid_of(&line));
        let named: Vec<OwnedFd> = named.filter_map(open).collect();
        if named.is_empty() {
            break;
        }
        named.iter().for_each(kill);
    }
    workloads.iter().for_each(kill);
    for mount in lines_of("/proc/self/mounts", &home).iter().rev() {
        host("umount", &["-l", mount.split(' ').nth(1).expect("a mount point")]);
    }
    for link in stack.links() {
        // The other end of a pair goes with the first.
        drop(Command::new("ip").args(["link", "delete", &link]).output());
    }
    for table in stack.tables() {
        let words: Vec<&str> = table.split(' ').collect();
        host("nft", &[&["delete"], words.as_slice()].concat());
    }
    for group in stack.cgroups() {
        remove_group(&group);
    }
    fs::remove_dir_all(stack.home().join("run")).expect("removed");
    assert_eq!(stack.leftovers(), [""; 0], "a host that was off has none of it");
}

fn open(pid: i64) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

/// Kills a process, which may be gone by now, and returns when it is.
fn kill(process: &OwnedFd) {
    let killed = pidfd_send_signal(process, Signal::KILL);
    assert!(matches!(killed, Ok(()) | Err(rustix::io::Errno::SRCH)), "{killed:?}");
    poll(&mut [PollFd::new(process, PollFlags::IN)], None).expect("it ends");
}

fn pid_of(line: &str) -> i64 {
    line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process")
}

fn remove_group(group: &Path) {
    let below: Vec<PathBuf> =
        fs::read_dir(group).expect("a group").flatten().map(|entry| entry.path()).collect();
    for group in below.iter().filter(|path| path.is_dir()) {
        remove_group(group);
    }
    fs::remove_dir(group).expect("an empty group");
}

fn host(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}
