//! Block devices.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::{Arguments, escape, path};

/// A virtio block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file behind it.
    pub file: PathBuf,
    /// The file's form.
    pub format: DriveFormat,
    /// What the guest finds it by, at most 20 characters.
    pub serial: Option<String>,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// The form of a drive's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveFormat {
    /// The bytes as the guest sees them.
    Raw,
    /// QEMU's own.
    Qcow2,
}

pub(super) fn add(arguments: &mut Arguments, number: usize, drive: &Drive) {
    let format = match drive.format {
        DriveFormat::Raw => "raw",
        DriveFormat::Qcow2 => "qcow2",
    };
    let read_only = if drive.read_only { "on" } else { "off" };
    // The guest's flushes reach the host's disk: what it was told is written, is.
    arguments.option(
        "-drive",
        format!(
            "if=none,id=drive{number},file={},format={format},cache=writeback,discard=unmap,\
             detect-zeroes=unmap,read-only={read_only}",
            path(&drive.file)
        ),
    );
    let serial = drive
        .serial
        .as_ref()
        .map(|serial| format!(",serial={}", escape(serial)))
        .unwrap_or_default();
    let first = if number == 0 { ",bootindex=1" } else { "" };
    arguments.option("-device", format!("virtio-blk-pci,drive=drive{number}{serial}{first}"));
}
