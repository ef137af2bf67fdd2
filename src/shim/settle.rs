//! Waits for a shim that is only just starting something. Whoever wanted it may
//! have been killed meanwhile: what it comes to is seen before anything else is
//! begun in the same place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::look::look;
use super::start::LOCK_FILE;

/// How long a start may take, in milliseconds, before it is left to itself.
const PATIENCE: u16 = 10_000;

/// Returns when no shim of this directory is between its start and its status.
pub fn settle(run_directory: &Path) -> io::Result<()> {
    if is_settled(run_directory)? {
        return Ok(());
    }
    let news = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY;
    news.add_watch(run_directory, flags)?;
    while !is_settled(run_directory)? {
        let shim = shim_at_work(run_directory);
        let ended = shim.as_ref().map(|shim| PollFd::new(shim.as_fd(), PollFlags::POLLIN));
        let changed = PollFd::new(news.as_fd(), PollFlags::POLLIN);
        let mut set: Vec<PollFd<'_>> = [changed].into_iter().chain(ended).collect();
        match poll(&mut set, PollTimeout::from(PATIENCE)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while news.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
    Ok(())
}

/// Whether nobody is at work here, or what was started runs.
fn is_settled(run_directory: &Path) -> io::Result<bool> {
    if look(run_directory).is_some() {
        return Ok(true);
    }
    match File::open(run_directory.join(LOCK_FILE)) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The shim that has the lock: it writes its process into it.
fn shim_at_work(run_directory: &Path) -> Option<OwnedFd> {
    let pid = std::fs::read_to_string(run_directory.join(LOCK_FILE)).ok()?;
    pidfd_open(Pid::from_raw(pid.trim().parse().ok()?)?, PidfdFlags::empty()).ok()
}
