//! What can go wrong in the embedded engine, and which kind each of it is.

use std::path::PathBuf;

use crate::engine::{EngineError, ErrorKind};
use crate::image::ImageError;
use crate::shim::{Refusal, ShimError};
use crate::state::StateError;

/// A cause within the embedded engine.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The shim, or the process it should start.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// State on disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// The image store.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is no such container.
    #[error("it does not exist")]
    NotFound,
    /// The image was not fetched.
    #[error("the image `{image}` is not here")]
    NoImage {
        /// As the file has it.
        image: String,
    },
    /// It was never finished.
    #[error("its making was cut short")]
    HalfMade,
    /// It does not run.
    #[error("it does not run")]
    NotRunning,
    /// The workload is no container.
    #[error("it is not a container")]
    NotAContainer,
    /// Neither file nor image says what to run.
    #[error("neither the file nor the image says what to run")]
    NoCommand,
    /// A capability that does not exist.
    #[error("there is no capability `{name}`")]
    UnknownCapability {
        /// As the file has it.
        name: String,
    },
    /// A signal that does not exist.
    #[error("there is no signal `{name}`")]
    UnknownSignal {
        /// As the file has it.
        name: String,
    },
    /// What shall be mounted is not there.
    #[error("`{path}` does not exist", path = path.display())]
    MissingSource {
        /// The path on the host.
        path: PathBuf,
    },
    /// A file inside could not be made what it is on the host.
    #[error("cannot {operation} `{path}`")]
    Inside {
        /// `write`, `remove`.
        operation: &'static str,
        /// The path inside.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A task of the engine itself broke.
    #[error("the engine's task ended early")]
    Task(#[from] tokio::task::JoinError),
    /// It did not end although it was killed.
    #[error("it did not end although it was killed")]
    Unkillable,
}

impl EmbeddedError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NoImage { .. } | Self::Image(ImageError::NotHere { .. }) => {
                ErrorKind::NotFound
            }
            Self::NoCommand
            | Self::NotAContainer
            | Self::UnknownCapability { .. }
            | Self::UnknownSignal { .. }
            | Self::MissingSource { .. } => ErrorKind::Invalid,
            Self::Inside { .. } | Self::HalfMade | Self::NotRunning | Self::Unkillable => {
                ErrorKind::Failed
            }
            Self::Shim(ShimError::Refused(refusal)) => match refusal {
                Refusal::System { .. } | Refusal::AlreadyMinded => ErrorKind::System,
                Refusal::SelfExecutable { .. } => ErrorKind::Refused,
                Refusal::NotReady { .. } | Refusal::NoSuchProcess { .. } => ErrorKind::Failed,
                _ => ErrorKind::Invalid,
            },
            Self::State(error) => error.into(),
            Self::Shim(error) => error.into(),
            _ => ErrorKind::System,
        }
    }

    /// What to do about it, where we know.
    fn help(&self) -> Option<String> {
        match self {
            Self::State(error) => error.help(),
            Self::NoCommand => Some("give it a `command:`".into()),
            Self::MissingSource { .. } => Some(
                "make it, or write the mount in the short form, which makes a directory".into(),
            ),
            Self::Shim(ShimError::Refused(Refusal::NotFound { .. })) => {
                Some("look at `command:` and `entrypoint:`, and at what the image holds".into())
            }
            Self::Shim(ShimError::Refused(Refusal::UnknownUser { .. })) => {
                Some("a number needs no entry in the image".into())
            }
            _ => None,
        }
    }

    /// The engine's error for a call.
    pub(super) fn during(self, operation: &'static str, resource: String) -> EngineError {
        let (kind, help) = (self.kind(), self.help());
        let error = EngineError::new("embedded", operation, resource, kind, self);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}
