//! What can go wrong with a VM, and what callers are told about it.

use std::path::PathBuf;

use super::qmp::QmpError;
use crate::cloud_init::Failure;
use crate::cloud_init::check::Complaint;
use crate::engine::{EngineError, ErrorKind};
use crate::guest::GuestError;
use crate::image::ImageError;
use crate::shim::ShimError;
use crate::stack::InstanceId;
use crate::state::StateError;

/// How to get QEMU, in one line.
pub(super) const INSTALL: &str = "install QEMU: `apt-get install qemu-system-x86 qemu-utils` \
    (`scripts/setup` also sorts out a qemu-utils from backports)";

/// What can go wrong with a VM.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// No QEMU on this host.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// The program that was looked for.
        program: &'static str,
    },
    /// KVM was asked for.
    #[error("KVM does not work here: {reason}")]
    NoKvm {
        /// What the probe found.
        reason: String,
    },
    /// A program ended with an error.
    #[error("{program} failed: {said}")]
    Program {
        /// Which one.
        program: String,
        /// Its last words.
        said: String,
    },
    /// QEMU ended before it could be spoken to.
    #[error("QEMU ended at once: {said}")]
    EndedAtOnce {
        /// Its last words.
        said: String,
    },
    /// It ended while its guest was waited for.
    #[error("the VM ended before it was ready{console}")]
    EndedEarly {
        /// The console's last lines, on lines of their own.
        console: String,
    },
    /// The guest did not say in time that it is ready.
    #[error("it did not become ready within {limit}{console}")]
    NeverReady {
        /// The limit, as the user would write it.
        limit: String,
        /// The console's last lines, on lines of their own.
        console: String,
    },
    /// The guest says that cloud-init failed.
    #[error(transparent)]
    CloudInit(#[from] Failure),
    /// There is no such VM.
    #[error("it does not exist")]
    Missing,
    /// It was never finished.
    #[error("its making was cut short")]
    HalfMade,
    /// The image was not fetched.
    #[error("its image `{image}` is not in the store")]
    NoImage {
        /// As the file names it.
        image: String,
    },
    /// It runs, and must not.
    #[error("it is still running")]
    StillRunning,
    /// It does not run.
    #[error("it does not run")]
    NotRunning,
    /// A signal that means nothing to a VM.
    #[error("signal {0} means nothing to a VM")]
    Signal(i32),
    /// Something of a container reached this engine.
    #[error("it is not a VM")]
    NotAVm,
    /// The VM's disk would shrink.
    #[error("its disk has {has} bytes and cannot shrink to {wanted}")]
    Shrink {
        /// Bytes it has.
        has: u64,
        /// Bytes that were asked for.
        wanted: u64,
    },
    /// What is to be mounted is not there.
    #[error("`{path}` does not exist", path = path.display())]
    MissingSource {
        /// What was to be mounted.
        path: PathBuf,
    },
    /// cloud-init would not do what a document says.
    #[error(transparent)]
    UserData(#[from] Complaint),
    /// A key could not be made.
    #[error("cannot make an ssh key")]
    Key(#[source] russh::keys::ssh_key::Error),
    /// QMP.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The guest could not be spoken to.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The shim.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// State on disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// The image store.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image store, as an engine.
    #[error(transparent)]
    Lookup(Box<EngineError>),
    /// A task of ours was cancelled or panicked.
    #[error("a task ended before it was done")]
    Task(#[from] tokio::task::JoinError),
}

impl QemuError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotInstalled { .. } | Self::NoKvm { .. } => ErrorKind::Unavailable,
            Self::NeverReady { .. } => ErrorKind::TimedOut,
            Self::EndedAtOnce { .. } | Self::EndedEarly { .. } | Self::CloudInit(_) => {
                ErrorKind::Failed
            }
            Self::Missing | Self::HalfMade | Self::NotRunning | Self::NoImage { .. } => {
                ErrorKind::NotFound
            }
            Self::StillRunning => ErrorKind::Refused,
            Self::Lookup(error) => error.kind,
            Self::Signal(_) | Self::NotAVm => ErrorKind::Unsupported,
            Self::UserData(_) | Self::MissingSource { .. } | Self::Shrink { .. } => {
                ErrorKind::Invalid
            }
            Self::Guest(error) => error.kind(),
            Self::Program { said, .. } if said.contains("No space left") => ErrorKind::DiskFull,
            Self::State(error) => error.into(),
            Self::Shim(error) => error.into(),
            _ => ErrorKind::System,
        }
    }

    fn help(&self, id: &InstanceId) -> Option<String> {
        Some(match self {
            Self::NotInstalled { .. } => INSTALL.to_owned(),
            Self::NoKvm { .. } => {
                "`windlass doctor` says more; without WINDLASS_ACCEL=kvm and `accel: kvm` \
                 it would run emulated"
                    .to_owned()
            }
            Self::NeverReady { .. } => format!(
                "`windlass logs {id}` shows the console; `ready_timeout:` gives it more time"
            ),
            Self::EndedEarly { .. } | Self::EndedAtOnce { .. } => {
                format!("`windlass logs {id}` shows all of it")
            }
            Self::CloudInit(_) => {
                format!("`windlass logs {id}` shows all of it; `windlass shell {id}` gets you in")
            }
            Self::State(error) => return error.help(),
            Self::Guest(error) => return error.help(&id.to_string()),
            Self::UserData(complaint) => complaint.help().to_owned(),
            Self::Shrink { .. } => {
                format!("`--replace-disk {id}` makes a new disk and keeps this one")
            }
            _ => return None,
        })
    }
}

impl From<EngineError> for QemuError {
    fn from(error: EngineError) -> Self {
        Self::Lookup(Box::new(error))
    }
}

/// The engine's error about one VM.
pub(super) fn about(
    operation: &'static str,
    id: &InstanceId,
) -> impl FnOnce(QemuError) -> EngineError {
    let id = id.clone();
    move |error| {
        let (kind, help) = (error.kind(), error.help(&id));
        let mut wrapped = EngineError::new("qemu", operation, format!("vm {id}"), kind, error);
        wrapped.help = help;
        wrapped
    }
}
