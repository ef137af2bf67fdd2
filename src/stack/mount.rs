//! What is mounted into a workload: the same words for both kinds.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One entry of `volumes:` / `mounts:` / `tmpfs:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path inside.
    pub target: String,
    /// Whether it may not be written to.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A path of the host, absolute. `create` makes a missing directory, as Compose's short form does.
    Bind {
        /// The path.
        path: PathBuf,
        /// Make the directory when it is missing.
        create: bool,
    },
    /// A named volume, by the file's name for it.
    Volume {
        /// The volume's name in the file.
        name: String,
        /// Do not fill an empty volume with what the image has there.
        nocopy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; `None`: the kernel's default.
        size: Option<u64>,
        /// Permission bits; 1777 when absent.
        mode: Option<u32>,
    },
}
