//! What can go wrong in an engine, in a form that callers can act on without
//! reading text.

use std::fmt;
use std::io;

use crate::shim::ShimError;
use crate::state::StateError;

use serde::{Deserialize, Serialize};

/// An engine's call that failed: who, doing what, to what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {resource}")]
pub struct EngineError {
    /// `embedded`, `qemu`, `network`, `image`, `volume`, `fake`.
    pub engine: &'static str,
    /// A verb phrase: `start`, `create the bridge of`.
    pub operation: &'static str,
    /// What it was about: `container web`, `network back`.
    pub resource: String,
    /// What callers act on.
    pub kind: ErrorKind,
    /// What to do about it.
    pub help: Option<String>,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What callers act on: retries and exit codes read this, nothing parses text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The file asked for something that cannot be.
    Invalid,
    /// What it was about does not exist.
    NotFound,
    /// Somebody else has what was chosen (a subnet, a port): plan again.
    Conflict,
    /// The engine, a program or a registry cannot be reached.
    Unavailable,
    /// A deadline passed.
    TimedOut,
    /// The guest or the process says that it failed.
    Failed,
    /// No room on the disk.
    DiskFull,
    /// Not ours, or not allowed.
    Refused,
    /// The engine cannot do this at all.
    Unsupported,
    /// Anything the kernel or a program said.
    System,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<&io::Error> for ErrorKind {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull,
            _ => Self::System,
        }
    }
}

impl From<&StateError> for ErrorKind {
    fn from(error: &StateError) -> Self {
        match error {
            StateError::Io { source, .. } => source.into(),
            _ => Self::System,
        }
    }
}

impl From<&ShimError> for ErrorKind {
    fn from(error: &ShimError) -> Self {
        match error {
            ShimError::Io { source, .. } => source.into(),
            ShimError::State(error) => error.into(),
            _ => Self::System,
        }
    }
}

/// A cause in our own words, where no other error lies beneath.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Reason(pub String);

impl EngineError {
    /// An error with everything but help.
    pub fn new(
        engine: &'static str,
        operation: &'static str,
        resource: impl Into<String>,
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let resource = resource.into();
        Self { engine, operation, resource, kind, help: None, source: source.into() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
