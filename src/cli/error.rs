//! How a command ends: the one table of exit codes, and every error a command
//! can end with, with what to do about it. It prints nothing: [`super::ui`] does.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::gitops::GitOpsError;
use crate::autostart::systemd::SystemdError;
use crate::diagnostic::nearest;
use crate::engine::{EngineError, ErrorKind};
use crate::image::ImageError;
use crate::reconcile::ReconcileError;
use crate::spec;
use crate::stack::StackName;
use crate::state::StateError;
use crate::supervisor::client::ClientError;
use crate::supervisor::spawn::SpawnError;
use crate::volume::VolumeError;
use crate::watch::WatchError;
use crate::world::HostError;

/// The table of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it was tried and failed.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: the stack file is wrong.
    StackFile,
    /// 4: an engine is unavailable, or there is no root.
    Unavailable,
    /// 5: refused: consent is needed, or it is not ours.
    Refused,
    /// 10: `plan --exit-code` has something to do.
    SomethingToDo,
    /// 130: interrupted.
    Interrupted,
    /// The code of the command that `exec` or `shell` ran.
    Of(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::StackFile => 3,
            Self::Unavailable => 4,
            Self::Refused => 5,
            Self::SomethingToDo => 10,
            Self::Interrupted => 130,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a command can end with instead of an [`Exit`].
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command line is understood and makes no sense.
    #[error("{reason}")]
    Usage {
        /// Why, as a lower-case fragment.
        reason: String,
        /// What to write instead.
        help: Option<String>,
    },
    /// It needs root and has none.
    #[error("`windlass {command}` needs root")]
    NeedsRoot {
        /// The command's name.
        command: String,
        /// The line to run instead.
        line: String,
    },
    /// Consent is needed, or it is not ours.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What would do it.
        help: Option<String>,
    },
    /// A name that no workload has.
    #[error("no workload `{name}` in stack `{stack}`")]
    NoSuchWorkload {
        /// The name as written.
        name: String,
        /// The stack.
        stack: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// It is there and does not run.
    #[error("{what} is not running ({state})")]
    NotRunning {
        /// `vm db`.
        what: String,
        /// Its state, in words.
        state: String,
    },
    /// There is no stack file.
    #[error(transparent)]
    NoStackFile(#[from] spec::NotFound),
    /// The stack file is wrong.
    #[error("{summary}")]
    StackFile {
        /// `windlass.yaml: 3 errors, nothing was changed`
        summary: String,
        /// Everything that is wrong, with the files to show it in.
        failed: Box<spec::Failed>,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// An engine's call failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The image store could not do it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A volume could not be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A reconcile could not be done.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The stack's supervisor could not be spoken to, or ended too early.
    #[error("{source}")]
    Supervisor {
        /// What went wrong.
        source: ClientError,
        /// The stack it minds.
        stack: StackName,
    },
    /// There is no supervisor.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Files cannot be followed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// systemd has not done as asked.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// A stack that follows a repository.
    #[error(transparent)]
    GitOps(#[from] GitOpsError),
    /// The engines of this host could not be put together.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Everything there is to say has been said.
    #[error("said before")]
    Told(Exit),
    /// State on disk could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file could not be read or written.
    #[error("cannot {operation} `{path}`", path = path.display())]
    File {
        /// `read`, `write`.
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The runtime or a signal handler could not be set up.
    #[error("cannot set up {what}")]
    Setup {
        /// What.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl CommandError {
    /// What is wrong with the files of `source`.
    pub(super) fn stack_file(failed: spec::Failed, source: &spec::Source) -> Self {
        let file = source
            .files
            .first()
            .map_or_else(|| "the stack file".to_owned(), |file| failed.sources.shown_path(file));
        let summary = failed.diagnostics.summary(&file);
        Self::StackFile { summary, failed: Box::new(failed) }
    }

    /// Which line of the table it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::NoSuchWorkload { .. } => Exit::Usage,
            Self::NoStackFile(_) | Self::StackFile { .. } => Exit::StackFile,
            Self::NeedsRoot { .. } | Self::Host(_) => Exit::Unavailable,
            Self::Refused { .. } | Self::State(StateError::Newer { .. }) => Exit::Refused,
            Self::Interrupted => Exit::Interrupted,
            Self::Engine(error) => exit_of(error.kind),
            Self::Image(error) => exit_of(error.kind()),
            Self::Volume(error) => exit_of(error.kind()),
            Self::Reconcile(error) => match error {
                ReconcileError::State(StateError::Newer { .. }) | ReconcileError::Refused(..) => {
                    Exit::Refused
                }
                ReconcileError::Look(error) | ReconcileError::Facts(error) => exit_of(error.kind),
                ReconcileError::State(_) | ReconcileError::Blocked(_) => Exit::Failed,
            },
            Self::GitOps(error) => error.exit(),
            Self::Told(exit) => *exit,
            // Whoever read our output has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::NotRunning { .. }
            | Self::Supervisor { .. }
            | Self::Spawn(_)
            | Self::Watch(_)
            | Self::Systemd(_)
            | Self::State(_)
            | Self::File { .. }
            | Self::Setup { .. }
            | Self::Output(_) => Exit::Failed,
        }
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Usage { help, .. } | Self::Refused { help, .. } => help.clone(),
            Self::NeedsRoot { line, .. } => Some(format!("run `{line}`")),
            Self::NoSuchWorkload { known, .. } if known.is_empty() => {
                Some("`windlass up` makes what the stack file declares".to_owned())
            }
            Self::NoSuchWorkload { name, known, .. } => {
                let known_names = || known.iter().map(String::as_str);
                let meant = nearest(name, known_names()).map(|name| format!("`{name}`?"));
                let all = format!("there are {}", known.join(", "));
                Some(meant.map_or(all.clone(), |meant| format!("did you mean {meant} {all}")))
            }
            Self::Supervisor { stack, source } => source.help().or_else(|| {
                Some(format!(
                    "`windlass -p {stack} ps` shows how far it came; the same command finishes the job"
                ))
            }),
            Self::Spawn(error) => error.help(),
            Self::NoStackFile(missing) => Some(missing.help()),
            Self::NotRunning { .. } => Some("`windlass up` starts it".to_owned()),
            Self::State(error) | Self::Reconcile(ReconcileError::State(error)) => error.help(),
            Self::Image(error) => error.help(),
            Self::Watch(error) => error.help(),
            Self::GitOps(error) => error.help(),
            Self::Engine(error)
            | Self::Reconcile(ReconcileError::Look(error) | ReconcileError::Facts(error)) => {
                error.help.clone()
            }
            _ => None,
        }
    }

    /// Whether there is nothing to say.
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Told(_) => true,
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }
}

/// Which line of the table an engine's error is.
pub fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Unavailable => Exit::Unavailable,
        ErrorKind::Refused => Exit::Refused,
        ErrorKind::Invalid => Exit::StackFile,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::chain;
    use crate::engine::error::Reason;

    fn engine(kind: ErrorKind) -> CommandError {
        EngineError::new("fake", "start", "container web", kind, Reason("no room".into())).into()
    }

    #[test]
    fn kinds_of_engine_errors_have_their_line_in_the_table() {
        assert_eq!(engine(ErrorKind::Unavailable).exit().code(), 4);
        assert_eq!(engine(ErrorKind::Refused).exit().code(), 5);
        assert_eq!(engine(ErrorKind::Invalid).exit().code(), 3);
        assert_eq!(engine(ErrorKind::DiskFull).exit().code(), 1);
    }

    #[test]
    fn each_cause_is_said_once() {
        let inner = io::Error::other(Reason("no room".into()));
        let error = CommandError::File { operation: "write", path: "/x".into(), source: inner };
        assert_eq!(chain(&error), ["cannot write `/x`", "no room"]);
        assert_eq!(chain(&engine(ErrorKind::System)), ["cannot start container web", "no room"]);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error = CommandError::Output(io::ErrorKind::BrokenPipe.into());
        assert!(error.is_silent());
        assert_eq!(error.exit(), Exit::Done);
    }
}
