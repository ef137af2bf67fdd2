//! The part `exec`: one more process in a running container, connected to the
//! caller's standard streams or to a terminal of its own. The entering process
//! stays outside the container's process numbers, waits, and hands signals on.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setsid, setuid};
use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::cgroup::Hierarchies;
use super::confine::{Confinement, become_program, confine};
use super::inside::Inside;
use super::terminal::Terminal;
use super::{Refusal, fork, process, reexec};

/// Docker's codes for a program that is not there, or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

/// What to run, and in which container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The container's first process.
    pub pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`.
    pub start_time: u64,
    /// The container's cgroup.
    pub cgroup: Option<String>,
    /// Program and arguments; empty: the user's login shell.
    pub argv: Vec<String>,
    /// Every variable but `HOME`, as `NAME=value`.
    pub environment: Vec<String>,
    /// `user[:group]`; empty: root.
    pub user: String,
    /// Where it starts.
    pub working_directory: String,
    /// Give it a terminal.
    pub tty: bool,
    /// What it may do.
    pub confinement: Confinement,
}

/// The part `exec`: its one argument is the number of the descriptor that an
/// [`Entry`] is read from.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let number = arguments.first().and_then(|number| number.to_str()?.parse().ok());
    let Some(number) = number else { return ExitCode::from(2) };
    let entry = serde_json::from_reader(File::from(reexec::take(number)));
    reexec::close_from(3);
    let result = match entry {
        Ok(entry) => enter(&entry),
        Err(error) => Err(Refusal::system("read what to run")(error)),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            // The caller's own stream: that is where a user looks.
            let _ = writeln!(io::stderr(), "error: {refusal}");
            match refusal {
                Refusal::NotFound { .. } => ExitCode::from(NOT_FOUND),
                _ => ExitCode::from(NOT_RUNNABLE),
            }
        }
    }
}

fn enter(entry: &Entry) -> Result<u8, Refusal> {
    let watched = process::watch(entry.pid, entry.start_time);
    let container = watched
        .map_err(Refusal::system("find the container"))?
        .ok_or(Refusal::NoSuchProcess { pid: entry.pid })?;
    let root = format!("/proc/{}/root", entry.pid);
    let inside = Inside::open_root(Path::new(&root));
    let inside = inside.map_err(Refusal::system("open the container's root"))?;
    let account = account::find(&entry.user, &inside)?;
    if let Some(cgroup) = &entry.cgroup {
        let entered = Hierarchies::find().and_then(|all| all.enter(cgroup, 0));
        entered.map_err(Refusal::system("enter the container's cgroup"))?;
    }
    join(&container)?;
    let terminal = entry.tty.then(Terminal::open).transpose();
    let terminal = terminal.map_err(Refusal::system("make a terminal"))?;
    let signals = listen().map_err(Refusal::system("listen for signals"))?;
    let inner = terminal.as_ref().map(Terminal::inner);
    let (pid, _) = fork::child(|_| Err(become_entry(entry, &account, inner)))?;
    let raw = terminal.map(Terminal::take_over).transpose();
    let raw = raw.map_err(Refusal::system("take over the terminal"))?;
    wait(pid, &signals, raw).map_err(Refusal::system("wait for the command"))
}

fn join(container: &OwnedFd) -> Result<(), Refusal> {
    let spaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    setns(container, spaces).map_err(Refusal::system("enter the container"))
}

/// In the child, which is a process of the container already.
fn become_entry(entry: &Entry, account: &Account, terminal: Option<&OwnedFd>) -> Refusal {
    if let Err(refusal) = take_identity(entry, account, terminal) {
        return refusal;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    if entry.argv.is_empty() {
        let shell = if account.shell.is_empty() { "/bin/sh" } else { &account.shell };
        return become_program(&[shell.to_owned()], &path);
    }
    become_program(&entry.argv, &path)
}

fn take_identity(
    entry: &Entry,
    account: &Account,
    terminal: Option<&OwnedFd>,
) -> Result<(), Refusal> {
    if let Some(terminal) = terminal {
        setsid().map_err(Refusal::system("make a session"))?;
        rustix::process::ioctl_tiocsctty(terminal)
            .map_err(Refusal::system("make the terminal its own"))?;
        for number in 0..3 {
            reexec::onto(terminal, number).map_err(Refusal::system("connect the terminal"))?;
        }
    }
    // Before the user changes, who may not be allowed to enter it on the way.
    let entered = std::env::set_current_dir(&entry.working_directory);
    entered.map_err(|error| Refusal::WorkingDirectory {
        path: entry.working_directory.clone(),
        reason: error.to_string(),
    })?;
    become_user(account).map_err(Refusal::system("become the user"))?;
    confine(&entry.confinement, account.user == 0)?;
    fork::die_with_parent();
    fork::set_environment(&entry.environment, &account.home);
    Ok(())
}

/// Keeps the capabilities, which [`confine`] needs and takes away.
fn become_user(account: &Account) -> nix::Result<()> {
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    let failed = |error: rustix::io::Errno| nix::errno::Errno::from_raw(error.raw_os_error());
    rustix::thread::set_keep_capabilities(true).map_err(failed)?;
    setgroups(&groups)?;
    setgid(Gid::from_raw(account.group))?;
    setuid(Uid::from_raw(account.user))?;
    let mut sets = rustix::thread::capabilities(None).map_err(failed)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets).map_err(failed)?;
    rustix::thread::set_keep_capabilities(false).map_err(failed)
}

fn listen() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    let handed_on = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
    set.extend(handed_on.into_iter().chain([Signal::SIGCHLD, Signal::SIGWINCH]));
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Waits for the command, relaying a terminal where there is one.
fn wait(pid: Pid, signals: &SignalFd, mut terminal: Option<Terminal>) -> nix::Result<u8> {
    loop {
        let mut set = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if let Some(terminal) = &terminal {
            set.extend(terminal.poll_set());
        }
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let ready: Vec<bool> = set.iter().map(|entry| entry.any().unwrap_or(false)).collect();
        drop(set);
        if let Some(terminal) = &mut terminal {
            terminal.relay(&ready[1..]);
        }
        while let Some(signal) = signals.read_signal()? {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            match Signal::try_from(number)? {
                Signal::SIGCHLD => {
                    if let Some(code) = reap(pid)? {
                        if let Some(terminal) = &mut terminal {
                            terminal.drain();
                        }
                        return Ok(code);
                    }
                }
                Signal::SIGWINCH => {
                    if let Some(terminal) = &terminal {
                        terminal.resize();
                    }
                }
                // It ended meanwhile: its end arrives as the next signal.
                other => drop(kill(pid, other).ok()),
            }
        }
    }
}

fn reap(pid: Pid) -> nix::Result<Option<u8>> {
    let code = match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => return Ok(None),
    };
    Ok(Some(u8::try_from(code).unwrap_or(u8::MAX)))
}
