//! The processes that belong to networks: launched under a shim, found alive,
//! ended. They hold no state that an end could harm.

use std::io;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::shim::{
    self, Launcher, Payload, ProgramPayload, ShimError, ShimSpec, Status, look, process,
};

/// How long a killed process may take to be gone, in milliseconds.
const PATIENCE: u16 = 5000;

/// One of our own parts, to be run.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// The word after `windlass internal`.
    pub(super) name: &'static str,
    /// For messages: `name server of shop/back`.
    pub(super) label: String,
    /// Where everything of it lies.
    pub(super) directory: &'a Path,
    /// Its file, which is its argument.
    pub(super) file: PathBuf,
}

/// Launches it, in place of one that may be there; returns when it works, or
/// with its own word why it does not.
pub(super) fn launch(launcher: &Launcher, part: &Part<'_>) -> Result<Status, ShimError> {
    // A command that was killed may have left a start behind that is under way.
    shim::settle(part.directory).map_err(ShimError::io("wait for", part.directory))?;
    // Also where its process was killed a moment ago: its shim may not have
    // left yet.
    end(part.directory).map_err(ShimError::io("end what runs in", part.directory))?;
    let argv = ["windlass".into(), "internal".into(), part.name.into()];
    let file = part.file.display().to_string();
    launcher.launch(&ShimSpec {
        version: shim::VERSION,
        label: part.label.clone(),
        run_directory: part.directory.to_owned(),
        log_directory: None,
        exit_file: part.directory.join("exit.json"),
        cgroup: None,
        interfaces: Vec::new(),
        payload: Payload::Program(ProgramPayload {
            argv: argv.into_iter().chain([file]).collect(),
            environment: std::collections::BTreeMap::new(),
            working_directory: "/".into(),
            user: None,
            follow: None,
            says_ready: true,
            dies_with_shim: false,
        }),
    })
}

/// Whether its process is alive, with or without a shim.
pub(super) fn is_alive(directory: &Path) -> bool {
    shim::look(directory).is_some_and(|alive| alive.process)
}

/// Ends it and its shim; returns when both are gone.
pub(super) fn end(directory: &Path) -> io::Result<()> {
    let Some(status) = look::recorded(directory) else { return Ok(()) };
    if status.boot_id != process::boot_id() {
        return Ok(());
    }
    // Watched before the kill: a shim ends once it has seen its process end.
    let minding = process::watch(status.shim_pid, status.shim_start_time)?;
    if let Some(running) = process::watch(status.pid, status.start_time)? {
        kill_and_wait(&running)?;
    }
    match minding {
        Some(shim) if !wait(&shim)? => kill_and_wait(&shim),
        _ => Ok(()),
    }
}

fn kill_and_wait(process: &impl AsFd) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    wait(process)?.then_some(()).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
}

/// Whether the process ended while we waited.
fn wait(process: &impl AsFd) -> io::Result<bool> {
    let mut ends = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut ends, PollTimeout::from(PATIENCE)) {
            Ok(ready) => return Ok(ready > 0),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
