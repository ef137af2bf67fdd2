//! What can go wrong with volumes, and what to do about it.

use std::io;

use crate::engine::ErrorKind;
use crate::stack::StackName;
use crate::state::StateError;

/// What can go wrong with volumes.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A name that would be a path.
    #[error("`{name}` cannot be a volume's name")]
    Name {
        /// As written.
        name: String,
    },
    /// An external volume that nobody has made.
    #[error("there is no volume `{name}`, and it is declared `external`")]
    Missing {
        /// Its name on disk.
        name: String,
    },
    /// Another stack's.
    #[error("the volume `{name}` belongs to the stack `{stack}`")]
    NotOurs {
        /// Its name on disk.
        name: String,
        /// Whose it is.
        stack: StackName,
    },
    /// It exists in another form.
    #[error("the volume `{name}` is a {found}, not a {wanted}")]
    OtherKind {
        /// Its name on disk.
        name: String,
        /// What it is.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A disk would become smaller.
    #[error("the disk `{name}` has {has} bytes and cannot shrink to {wanted}")]
    Shrinks {
        /// Its name on disk.
        name: String,
        /// Its size.
        has: u64,
        /// The size that was asked for.
        wanted: u64,
    },
    /// `qemu-img` is not installed.
    #[error("`qemu-img` is not installed")]
    ProgramMissing,
    /// `qemu-img` failed.
    #[error("qemu-img failed: {said}")]
    Program {
        /// What it wrote.
        said: String,
    },
    /// A file of the volume's.
    #[error(transparent)]
    State(#[from] StateError),
}

impl VolumeError {
    /// What callers act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. } | Self::OtherKind { .. } => ErrorKind::Invalid,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::NotOurs { .. } | Self::Shrinks { .. } => ErrorKind::Refused,
            Self::ProgramMissing => ErrorKind::Unavailable,
            Self::State(StateError::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                ErrorKind::DiskFull
            }
            Self::Program { .. } | Self::State(_) => ErrorKind::System,
        }
    }

    pub(super) fn help(&self) -> Option<String> {
        Some(match self {
            Self::Missing { name } => format!("make it, or take `external` away from `{name}`"),
            Self::NotOurs { .. } => "declare it `external: true` to share it".to_owned(),
            Self::Shrinks { name, .. } => {
                format!("a new, smaller one needs `windlass volume rm {name}` first, with its data")
            }
            Self::OtherKind { name, .. } => {
                format!("give the volume another name, or `windlass volume rm {name}`")
            }
            Self::ProgramMissing => "`apt-get install qemu-utils`".to_owned(),
            _ => return None,
        })
    }
}
