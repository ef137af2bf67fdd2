//! What can go wrong with a shim: on the caller's side ([`ShimError`]), and
//! before its process runs, told through a pipe ([`Refusal`]).

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::state::StateError;

/// What a caller of a shim may meet.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The shim said why its process does not run.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file or socket could not be used.
    #[error("cannot {operation} `{path}`", path = path.display())]
    Io {
        /// `read`, `open`, `connect to` …
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// State on disk could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The shim was killed before its process ran.
    #[error("the shim of {label} ended before its process ran")]
    Silent {
        /// Whose shim.
        label: String,
    },
    /// Neither a shim nor a process is there.
    #[error("nothing runs in `{run_directory}`", run_directory = run_directory.display())]
    Gone {
        /// Where it was looked for.
        run_directory: PathBuf,
    },
    /// The shim does not do what it was asked for.
    #[error("the shim does not do that: {reason}")]
    Denied {
        /// In its own words.
        reason: String,
    },
    /// What came over the socket is no reply.
    #[error("the shim's reply cannot be understood")]
    Reply(#[source] serde_json::Error),
}

impl ShimError {
    /// Wraps what the kernel said about `path`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

/// Why a process was not started. Travels from the shim to its caller as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The program does not exist where it was looked for.
    #[error("`{program}` is not {place}")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// `in the image`, `on this host`.
        place: String,
    },
    /// The program may not be executed.
    #[error("`{program}` may not be executed: permission denied")]
    NotExecutable {
        /// As it was asked for.
        program: String,
    },
    /// The program is a file that the kernel cannot run.
    #[error("`{program}` is not a program this machine can run")]
    NotAProgram {
        /// As it was asked for.
        program: String,
    },
    /// The program would be Windlass itself.
    #[error("`{program}` leads to /proc/self/exe, which would run the host's own program")]
    SelfExecutable {
        /// As it was asked for.
        program: String,
    },
    /// The image's files do not know the user or the group.
    #[error("the {what} `{name}` is not in the image")]
    UnknownUser {
        /// `user` or `group`.
        what: String,
        /// As it was asked for.
        name: String,
    },
    /// The working directory cannot be entered.
    #[error("the working directory `{path}` cannot be entered: {reason}")]
    WorkingDirectory {
        /// As it was asked for.
        path: String,
        /// What the kernel said.
        reason: String,
    },
    /// The program itself says that it does not work.
    #[error("{reason}")]
    NotReady {
        /// In its own words.
        reason: String,
    },
    /// Another shim minds this run directory.
    #[error("another shim is at work here")]
    AlreadyMinded,
    /// The process to adopt is not there any more.
    #[error("process {pid} has ended")]
    NoSuchProcess {
        /// Its number.
        pid: i32,
    },
    /// The kernel refused a step on the way.
    #[error("cannot {operation}: {reason}")]
    System {
        /// `mount the layers`, `make the interface wl-…`
        operation: String,
        /// What the kernel said.
        reason: String,
    },
}

impl Refusal {
    /// A step that the kernel refused.
    pub(crate) fn system<E: std::fmt::Display>(
        operation: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let operation = operation.into();
        move |reason| Self::System { operation, reason: reason.to_string() }
    }

    /// What `execve` said about `program`, in our words.
    pub(crate) fn of_exec(program: &str, place: &str, error: &io::Error) -> Self {
        let program = program.to_owned();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                Self::NotFound { program, place: place.to_owned() }
            }
            Some(libc::EACCES | libc::EPERM) => Self::NotExecutable { program },
            Some(libc::ENOEXEC) => Self::NotAProgram { program },
            _ => Self::System {
                operation: format!("execute `{program}`"),
                reason: error.to_string(),
            },
        }
    }
}
