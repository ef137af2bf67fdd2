//! What only virtual machines have.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::yaml::Node;

/// The VM's part of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    /// Virtual processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of the root disk; `None`: as large as the image.
    pub disk: Option<u64>,
    /// Block devices of its own: `volume:path`.
    pub disks: Vec<Disk>,
    /// What cloud-init is given; `None` for images without it (`cloud_init: false`).
    pub cloud_init: Option<CloudInit>,
    /// A kernel to boot directly, instead of the image's own boot loader.
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// More words for the kernel's command line.
    pub cmdline: Option<String>,
    /// How it is accelerated.
    pub accel: Accel,
    /// Login of the image's default user; `None`: what the image says.
    pub ssh_user: Option<String>,
    /// How long it may take to say that it is ready; `None`: 5 min on KVM, 15 min emulated.
    pub ready_timeout: Option<Duration>,
}

/// `accel:` of a VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where it works, else emulation.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Emulation.
    Tcg,
}

/// A `disk` volume given to a VM as a block device and mounted at `target`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The volume's name in the file.
    pub volume: String,
    /// Where the guest mounts it.
    pub target: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// What cloud-init is given. User-data is never interpolated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CloudInit {
    /// The user's documents, byte for byte, in order.
    pub user_data: Vec<Document>,
    /// The user's vendor-data, beside ours.
    pub vendor_data: Vec<Document>,
    /// Keys that go into meta-data, interpolated.
    pub meta_data: serde_json::Map<String, serde_json::Value>,
    /// Replaces the network-config that Windlass makes.
    pub network_config: Option<Document>,
    /// What a changed user-data does.
    pub on_change: OnChange,
}

/// One cloud-init document and where it came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    /// For messages: the file's path as written, or `cloud_init.NAME`.
    pub origin: String,
    /// The bytes, as they are.
    pub body: String,
    /// Where it stands, if it has no file of its own.
    #[serde(skip)]
    pub inline: Option<Inline>,
}

/// Where it stands is no part of what it means.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.body == other.body
    }
}

/// A document that is written within a stack file: its places are that file's.
#[derive(Clone)]
pub struct Inline {
    /// The file, as it is shown.
    pub path: PathBuf,
    /// All of its text.
    pub text: Arc<str>,
    /// The document in it.
    pub node: Arc<Node>,
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.node.span;
        write!(f, "{}:{}:{}", self.path.display(), span.line, span.column)
    }
}

impl Document {
    /// A document with a file of its own.
    pub fn new(origin: impl Into<String>, body: impl Into<String>) -> Self {
        Self { origin: origin.into(), body: body.into(), inline: None }
    }
}

/// What a changed user-data does to a VM that exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// A new instance-id and a restart: cloud-init runs again.
    #[default]
    Rerun,
    /// A new disk.
    Replace,
    /// Nothing until the next disk.
    Ignore,
}
