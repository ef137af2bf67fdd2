//! `boot.json` in the run directory: how the present run was started. It goes
//! with the host's boot, as the run does.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stack::health::duration;
use crate::state::{StateError, atomic};

const VERSION: u32 = 1;
const FILE: &str = "boot.json";

/// How the present run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Form of this file.
    pub(super) version: u32,
    /// What the guest repeats when it says that it is ready.
    pub(super) nonce: String,
    /// Bytes of memory it was given.
    pub(super) memory: u64,
    /// Why it is emulated; `None`: KVM.
    pub(super) emulated: Option<String>,
    /// How long it may take to say that it is ready.
    #[serde(with = "duration")]
    pub(super) ready_timeout: Duration,
    /// How long it may take to stop before it is killed.
    #[serde(with = "duration")]
    pub(super) grace: Duration,
    /// Whether it has cloud-init, and so will ever say that it is ready.
    pub(super) says_ready: bool,
    /// Where in the guest its virtiofsd processes show, in order.
    pub(super) shares: Vec<String>,
}

impl Boot {
    /// A boot with nothing shared.
    pub(super) fn new(nonce: String, memory: u64) -> Self {
        Self {
            version: VERSION,
            nonce,
            memory,
            emulated: None,
            ready_timeout: Duration::ZERO,
            grace: Duration::ZERO,
            says_ready: true,
            shares: Vec::new(),
        }
    }

    /// As it was written; damaged is as good as none.
    pub(super) fn read(run_directory: &Path) -> Option<Self> {
        atomic::read_versioned(&run_directory.join(FILE), VERSION).ok().flatten()
    }

    /// Replaces it.
    pub(super) fn write(&self, run_directory: &Path) -> Result<(), StateError> {
        atomic::write_cache(&run_directory.join(FILE), self)
    }
}
