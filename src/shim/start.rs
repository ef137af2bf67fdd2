//! A shim's way from its first instruction to a running process: out of the
//! caller's session, descriptors and cgroup, then the payload, then a word to
//! whoever launched it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;

use super::cgroup::{Hierarchies, SHIMS};
use super::follow::Follow;
use super::launch::{Report, SPEC_FILE};
use super::look::STATUS_FILE;
use super::minder::Minder;
use super::{Payload, Refusal, ShimSpec, Status, VERSION};
use super::{container, fork, process, program, protocol, reexec};
use crate::state::atomic;
use crate::state::log::Stream;

/// Held as long as a shim minds this run directory.
pub(super) const LOCK_FILE: &str = "shim.lock";

/// A process that was started, with what is connected to it.
#[derive(Debug, Default)]
pub(super) struct Started {
    pub(super) pid: i32,
    /// What it writes.
    pub(super) outputs: Vec<(OwnedFd, Stream)>,
    /// What it reads.
    pub(super) input: Option<OwnedFd>,
    /// Input and output are one terminal.
    pub(super) terminal: bool,
    /// Where it says that it is ready.
    pub(super) ready: Option<OwnedFd>,
    /// It was running before.
    pub(super) adopted: Option<OwnedFd>,
}

/// The part `shim`: minds what `shim.json` in the given run directory says.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [run_directory] = arguments else {
        return ExitCode::from(2);
    };
    let Ok(report) = detach() else { return ExitCode::FAILURE };
    match begin(Path::new(run_directory)) {
        Ok(minder) => minder.mind(Reporter(report)),
        Err(refusal) => {
            Reporter(report).say(&Err(refusal));
            ExitCode::FAILURE
        }
    }
}

/// Where the launcher waits for a word.
#[derive(Debug)]
pub(super) struct Reporter(File);

impl Reporter {
    /// Says it; a launcher that has gone meanwhile is no error.
    pub(super) fn say(mut self, report: &Report) {
        drop(serde_json::to_writer(&mut self.0, report));
        drop(self.0.flush());
    }
}

/// Leaves the caller: its session, its descriptors, its standard streams. The
/// pipe to it, which came as standard output, is all that stays.
fn detach() -> std::io::Result<File> {
    reexec::close_from(3);
    let report = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        reexec::onto(&null, number)?;
    }
    fork::leave_caller()?;
    fork::adopt_orphans();
    fork::rename("windlass-shim");
    Ok(report.into())
}

/// Starts or adopts the process.
fn begin(run_directory: &Path) -> Result<Minder, Refusal> {
    let lock = lock(run_directory)?;
    let spec: ShimSpec = atomic::read_versioned(&run_directory.join(SPEC_FILE), VERSION)
        .map_err(Refusal::system("read the spec"))?
        .ok_or_else(|| Refusal::system("read the spec")("it is not there"))?;
    drop(std::fs::remove_file(run_directory.join(STATUS_FILE)));
    let hierarchies = Hierarchies::find().map_err(Refusal::system("look at cgroups"))?;
    let moved = hierarchies.join(SHIMS);
    moved.map_err(Refusal::system("leave the caller's cgroup"))?;

    let door = protocol::listen(run_directory).map_err(Refusal::system("open the socket"))?;
    let follow = match &spec.payload {
        Payload::Program(program) => program.follow.as_deref(),
        Payload::Adopted { follow, .. } => follow.as_deref(),
        Payload::Container(_) => None,
    };
    let follow = follow
        .map(|path| Follow::start(path, run_directory))
        .transpose()
        .map_err(Refusal::system("follow the output"))?;
    let made = make_cgroup(&spec, &hierarchies);
    let started = made.and_then(|()| start(&spec, &hierarchies));
    let started = started.inspect_err(|_| {
        if let Some(cgroup) = &spec.cgroup {
            drop(hierarchies.remove(&cgroup.path));
        }
    })?;
    let status = status(&spec, started.pid);
    Minder::new(spec, status, started, door, follow, hierarchies, lock)
}

fn lock(run_directory: &Path) -> Result<File, Refusal> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(run_directory.join(LOCK_FILE))
        .map_err(Refusal::system("open the lock"))?;
    match file.try_lock() {
        Ok(()) => {
            // For whoever waits to see what this start comes to. One write of one
            // width: a reader sees the shim before or this one, never half of it.
            let signature = format!("{:>10}\n", std::process::id());
            let signed = file.write_all_at(signature.as_bytes(), 0);
            signed.map_err(Refusal::system("sign the lock"))?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(Refusal::AlreadyMinded),
        Err(std::fs::TryLockError::Error(error)) => Err(Refusal::system("lock")(error)),
    }
}

fn make_cgroup(spec: &ShimSpec, hierarchies: &Hierarchies) -> Result<(), Refusal> {
    let Some(cgroup) = &spec.cgroup else { return Ok(()) };
    if matches!(spec.payload, Payload::Adopted { .. }) {
        return Ok(());
    }
    let made = hierarchies.make(&cgroup.path).and_then(|()| hierarchies.limit(cgroup));
    made.map_err(Refusal::system("make the cgroup"))
}

fn start(spec: &ShimSpec, hierarchies: &Hierarchies) -> Result<Started, Refusal> {
    match &spec.payload {
        Payload::Program(payload) => {
            program::start(payload, hierarchies, spec.cgroup.as_ref(), &spec.interfaces)
        }
        Payload::Container(payload) => container::start(payload, spec, hierarchies),
        Payload::Adopted { pid, start_time, .. } => {
            let watched = process::watch(*pid, *start_time)
                .map_err(Refusal::system("watch the process"))?
                .ok_or(Refusal::NoSuchProcess { pid: *pid })?;
            Ok(Started { pid: *pid, adopted: Some(watched), ..Started::default() })
        }
    }
}

fn status(spec: &ShimSpec, pid: i32) -> Status {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    Status {
        version: VERSION,
        shim_pid: own,
        shim_start_time: process::start_time(own).unwrap_or_default(),
        pid,
        start_time: process::start_time_of_child(pid).unwrap_or_default(),
        boot_id: process::boot_id(),
        started: process::now(),
        cgroup: spec.cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
    }
}
