//! Directories shared through virtiofs: QEMU's end of a virtiofsd's socket.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::{Arguments, escape, path};

/// A shared directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// What the guest mounts it by.
    pub tag: String,
}

pub(super) fn add(arguments: &mut Arguments, number: usize, filesystem: &Filesystem) {
    arguments.option("-chardev", format!("socket,id=fs{number},path={}", path(&filesystem.socket)));
    arguments.option(
        "-device",
        format!("vhost-user-fs-pci,chardev=fs{number},tag={}", escape(&filesystem.tag)),
    );
}
