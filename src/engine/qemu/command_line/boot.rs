//! Booting a kernel without a boot loader.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::Arguments;

/// What QEMU loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub cmdline: String,
}

pub(super) fn add(arguments: &mut Arguments, direct: &DirectBoot) {
    // These take the path as it is: a comma does not end it.
    arguments.option("-kernel", direct.kernel.to_string_lossy());
    if let Some(initrd) = &direct.initrd {
        arguments.option("-initrd", initrd.to_string_lossy());
    }
    arguments.option("-append", direct.cmdline.as_str());
}
