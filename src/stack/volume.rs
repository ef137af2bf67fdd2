//! Volumes: data that outlives workloads.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A named volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in the file.
    pub name: String,
    /// The name it has on disk: `<stack>_<name>`, or `name:` as written.
    pub resolved: String,
    /// Directory or block device.
    pub kind: VolumeKind,
    /// It must exist already and is never removed.
    pub external: bool,
    /// Labels, which Windlass carries and never reads.
    pub labels: BTreeMap<String, String>,
}

/// How a volume is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeKind {
    /// A directory on the host (`driver: local`).
    Directory,
    /// A block device in a qcow2 file (`driver: disk`), for one VM at a time.
    Disk {
        /// Bytes.
        size: u64,
    },
}
