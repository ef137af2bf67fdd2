//! What only containers have.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

/// The container's part of a workload. `None` means "as the image says".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Replaces the image's arguments. A string in the file is split as a shell splits.
    pub command: Option<Vec<String>>,
    /// Replaces the image's entrypoint (and drops its command).
    pub entrypoint: Option<Vec<String>>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Bytes of memory.
    pub mem_limit: Option<u64>,
    /// Processors, in thousandths.
    pub milli_cpus: Option<u64>,
    /// Number of processes.
    pub pids_limit: Option<i64>,
    /// Capabilities on top of the default set, without `CAP_`; `ALL` for all.
    pub cap_add: Vec<String>,
    /// Capabilities taken from the default set.
    pub cap_drop: Vec<String>,
    /// Everything allowed: all capabilities, no seccomp, devices.
    pub privileged: bool,
    /// Root file system mounted read-only.
    pub read_only: bool,
    /// Signal that asks it to stop (name or number); default the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin_open: bool,
}
