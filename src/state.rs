//! State on disk: where everything lies, the record beside each instance, the
//! ledger, locks. Data (records, disks, volumes) and cache (ledger, downloads)
//! are kept apart; this module never decides what to do about either.

pub mod answers;
pub mod atomic;
pub mod directories;
pub(crate) mod file_lock;
mod instances;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod names;
pub mod project;
pub mod record;

pub use directories::Directories;
pub use instances::UnknownName;
pub use record::InstanceRecord;

/// What can go wrong with state on disk.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or directory could not be read or written.
    #[error("cannot {operation} `{path}`", path = path.display())]
    Io {
        /// `read`, `write`, `create`, `lock`.
        operation: &'static str,
        /// Which one.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file was written by a newer Windlass.
    #[error("`{path}` has version {found}, this Windlass reads up to {known}", path = path.display())]
    Newer {
        /// Which one.
        path: std::path::PathBuf,
        /// The version it carries.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A file that is data, not cache, cannot be understood.
    #[error("`{path}` is damaged", path = path.display())]
    Damaged {
        /// Which one.
        path: std::path::PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The path of a socket would not fit into 108 bytes.
    #[error("`{path}` is too long for a socket", path = path.display())]
    PathTooLong {
        /// Which one.
        path: std::path::PathBuf,
    },
}

impl StateError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("use the newer Windlass that wrote it".to_owned()),
            Self::Damaged { .. } => Some(
                "put it back from a backup; without one, `windlass up` makes a container anew, \
                 and a VM is given up by moving its directory, with its disk, out of the way"
                    .to_owned(),
            ),
            Self::Io { .. } | Self::PathTooLong { .. } => None,
        }
    }

    /// Wraps what the kernel said about `path`.
    pub fn io(
        operation: &'static str,
        path: impl Into<std::path::PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}
