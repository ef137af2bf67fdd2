//! Starts shims, from the caller's side: blocking, usable from any thread.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::MemfdFlags;
use serde::Serialize;

use super::{Refusal, ShimError, ShimSpec, Status, VERSION, reexec};
use crate::state::atomic;

/// Name of the spec within the run directory.
pub const SPEC_FILE: &str = "shim.json";

/// What the shim of this run directory was told.
pub fn read_spec(run_directory: &Path) -> Result<ShimSpec, ShimError> {
    let spec = atomic::read_versioned(&run_directory.join(SPEC_FILE), VERSION)?;
    spec.ok_or_else(|| ShimError::Gone { run_directory: run_directory.to_owned() })
}

/// What a shim says to whoever launched it.
pub(super) type Report = Result<Status, Refusal>;

/// Starts parts of Windlass from a read-only copy of its program.
#[derive(Debug)]
pub struct Launcher {
    program: OwnedFd,
}

impl Launcher {
    /// `program` is the windlass binary: `/proc/self/exe`, unless the caller is
    /// some other program.
    pub fn new(program: &Path) -> Result<Self, ShimError> {
        let program = reexec::read_only_copy(program).map_err(ShimError::io("open", program))?;
        Ok(Self { program })
    }

    /// A command that runs `windlass internal PART`.
    pub fn command(&self, part: &str) -> Command {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.arg0("windlass").args(["internal", part]);
        command
    }

    /// The same with something to read, on a descriptor whose number is the
    /// argument. Nobody else sees it: not in a list of processes, not on disk.
    #[expect(unsafe_code, reason = "a descriptor is handed to one child alone")]
    pub fn command_with<T: Serialize>(
        &self,
        part: &str,
        given: &T,
    ) -> Result<(Command, OwnedFd), ShimError> {
        let failed = || ShimError::io("hand over", part);
        let memory = rustix::fs::memfd_create(part, MemfdFlags::CLOEXEC);
        let mut memory = File::from(memory.map_err(|error| failed()(error.into()))?);
        let bytes = serde_json::to_vec(given).map_err(ShimError::Reply)?;
        memory.write_all(&bytes).and_then(|()| memory.rewind()).map_err(failed())?;
        let memory = OwnedFd::from(memory);
        let number = memory.as_raw_fd();
        let mut command = self.command(part);
        command.arg(number.to_string());
        // SAFETY: one system call, on a descriptor that the caller keeps open.
        unsafe {
            command.pre_exec(move || match libc::fcntl(number, libc::F_SETFD, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Ok((command, memory))
    }

    /// Starts a shim; returns when its process runs and has said that it is
    /// ready, or with the reason why it does not run.
    pub fn launch(&self, spec: &ShimSpec) -> Result<Status, ShimError> {
        let directory = &spec.run_directory;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(ShimError::io("create", directory))?;
        atomic::write_cache(&directory.join(SPEC_FILE), spec)?;

        let mut child = self
            .command("shim")
            .arg(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ShimError::io("start the shim of", directory))?;
        let mut report = Vec::new();
        let read = child.stdout.take().map(|mut pipe| pipe.read_to_end(&mut report));
        // The shim has left this child behind at once: it is only reaped here.
        drop(child.wait());
        if let Some(Err(error)) = read {
            return Err(ShimError::io("hear the shim of", directory)(error));
        }
        if report.is_empty() {
            return Err(ShimError::Silent { label: spec.label.clone() });
        }
        let report: Report = serde_json::from_slice(&report).map_err(ShimError::Reply)?;
        Ok(report?)
    }
}
