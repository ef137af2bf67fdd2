//! What the store gives to engines: images that are whole, by digest. These
//! types only say where things lie; nobody changes what they point to.

use std::path::PathBuf;

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use crate::stack::{Healthcheck, Kind};

/// A container image, unpacked.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerImage {
    /// `sha256:…`, what records pin.
    pub digest: String,
    /// Lower directories for overlayfs, topmost first. Shared between images,
    /// never written to.
    pub layers: Vec<PathBuf>,
    /// Entrypoint, command, environment, user and so on, as the image has them.
    pub config: Config,
    /// The image's own healthcheck, where it has one.
    pub healthcheck: Option<Healthcheck>,
}

/// A disk image that VMs' disks are overlays of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// `sha256:…`, what records pin.
    pub digest: String,
    /// The base, absolute; never modified.
    pub path: PathBuf,
    /// How the base is kept.
    pub format: DiskFormat,
    /// Bytes that a guest sees; the least size of an overlay.
    pub virtual_size: u64,
    /// How it is started.
    pub boot: Boot,
    /// The login that cloud-init makes by default.
    pub user: String,
    /// `Debian GNU/Linux 12 (bookworm)`, where it is known.
    pub os: Option<String>,
}

/// The form of a disk image's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// The bytes as the guest sees them.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl DiskFormat {
    /// QEMU's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// How a disk image is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// QEMU loads the kernel; the disk has no boot loader.
    Direct {
        /// The kernel's file, absolute.
        kernel: PathBuf,
        /// The initial RAM disk's file, absolute.
        initrd: Option<PathBuf>,
        /// The kernel's command line; the engine appends to it.
        cmdline: String,
    },
    /// The firmware finds a boot loader on the disk.
    Firmware,
}

/// One image, as `images` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredImage {
    /// What it was asked for as; empty: nothing leads to it any more.
    pub names: Vec<String>,
    /// `sha256:…`
    pub digest: String,
    /// Of containers or of VMs.
    pub kind: Kind,
    /// Bytes it takes on the host; layers shared with others count in each.
    pub bytes: u64,
    /// Seconds since the epoch when it came into the store.
    pub created: i64,
}
