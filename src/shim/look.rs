//! Looks at a shim and its process from outside, cheaply.

use std::io;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cgroup::Hierarchies;
use super::start::LOCK_FILE;
use super::{ExitRecord, ShimError, Status, VERSION, process};
use crate::observed::Exit;
use crate::readable::readable;
use crate::state::atomic;

/// Name of the status within the run directory.
pub const STATUS_FILE: &str = "status.json";

/// How long a shim may take to write down how its process ended.
const LAST_WORDS: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A process that runs, a shim that minds it, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// As the shim wrote it.
    pub status: Status,
    /// Whether the shim is alive.
    pub shim: bool,
    /// Whether the process is alive.
    pub process: bool,
    /// Whether its cgroup is frozen.
    pub paused: bool,
}

/// Who of shim and process is alive; `None`: neither. Costs a small file and
/// two reads in `/proc`.
pub fn look(run_directory: &Path) -> Option<Alive> {
    let status = recorded(run_directory)?;
    if status.boot_id != process::boot_id() {
        return None;
    }
    let shim = process::start_time(status.shim_pid) == Some(status.shim_start_time);
    let alive = process::start_time(status.pid) == Some(status.start_time);
    if !shim && !alive {
        return None;
    }
    let paused = status
        .cgroup
        .as_ref()
        .is_some_and(|path| Hierarchies::find().is_ok_and(|hierarchies| hierarchies.frozen(path)));
    Some(Alive { status, shim, process: alive, paused })
}

/// The same; where the process has just died, its shim is given the moment that
/// it needs to write down how.
pub fn look_again_at_its_end(run_directory: &Path) -> Option<Alive> {
    let alive = look(run_directory)?;
    if alive.process {
        return Some(alive);
    }
    let shim = process::watch(alive.status.shim_pid, alive.status.shim_start_time).ok().flatten();
    if let Some(shim) = shim {
        let mut ended = [PollFd::new(&shim, PollFlags::IN)];
        // However the wait ends, what is there is looked at.
        let _ = poll(&mut ended, Some(&LAST_WORDS));
    }
    look(run_directory)
}

/// The status that was last written, whoever may be alive.
pub fn recorded(run_directory: &Path) -> Option<Status> {
    // Not data: a damaged one is as good as none.
    atomic::read_versioned(&run_directory.join(STATUS_FILE), VERSION).ok().flatten()
}

/// Waits until the process has ended; how it ended. Where nobody saw the end
/// (its shim was killed before it), the exit code is unknown.
pub async fn ended(run_directory: &Path, exit_file: &Path) -> Result<Exit, ShimError> {
    if let Some(status) = recorded(run_directory) {
        // The shim ends after its record is written; without one, the process.
        watch(status.shim_pid, status.shim_start_time, &status.boot_id).await?;
        watch(status.pid, status.start_time, &status.boot_id).await?;
        let record = exit_record(exit_file)?;
        let same = |record: &ExitRecord| {
            record.pid == status.pid
                && record.start_time == status.start_time
                && record.boot_id == status.boot_id
        };
        let unseen = Exit { code: None, out_of_memory: false, at: process::now() };
        return Ok(record.filter(same).map_or(unseen, |record| record.exit));
    }
    match exit_record(exit_file)? {
        Some(record) => Ok(record.exit),
        None => Err(ShimError::Gone { run_directory: run_directory.to_owned() }),
    }
}

/// Blocks until no shim is at work in this directory: one goes on for a moment
/// after it has said how its process ended.
pub fn wait_until_unminded(run_directory: &Path) -> io::Result<()> {
    match std::fs::File::open(run_directory.join(LOCK_FILE)) {
        Ok(file) => file.lock(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// How the last run ended, if anybody saw it.
pub fn exit_record(exit_file: &Path) -> Result<Option<ExitRecord>, ShimError> {
    Ok(atomic::read_versioned(exit_file, VERSION)?)
}

async fn watch(pid: i32, start_time: u64, boot_id: &str) -> Result<(), ShimError> {
    if boot_id != process::boot_id() {
        return Ok(());
    }
    let failed = |error: io::Error| ShimError::io("watch", format!("/proc/{pid}"))(error);
    let Some(descriptor) = process::watch(pid, start_time).map_err(failed)? else {
        return Ok(());
    };
    let descriptor = readable(descriptor).map_err(failed)?;
    drop(descriptor.readable().await.map_err(failed)?);
    Ok(())
}
