//! What is said by and to the machine: its console, the port on which the guest
//! says that it is ready, and QMP. Console and port are files that QEMU appends
//! to: no reader's death loses what was said.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::{Arguments, escape, path};

/// Where it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// The serial console's file.
    pub console: PathBuf,
    /// The readiness port's file.
    pub ready: PathBuf,
    /// The readiness port's name in the guest.
    pub ready_port: String,
    /// QMP's socket.
    pub qmp: PathBuf,
    /// A socket that somebody listens on to hear when QMP answers.
    pub greet: PathBuf,
}

pub(super) fn add(arguments: &mut Arguments, channels: &Channels) {
    let file =
        |id: &str, file: &std::path::Path| format!("file,id={id},path={},append=on", path(file));
    arguments.option("-chardev", file("console", &channels.console));
    arguments.option("-serial", "chardev:console");
    arguments.option("-device", "virtio-serial-pci");
    arguments.option("-chardev", file("ready", &channels.ready));
    arguments.option(
        "-device",
        format!("virtserialport,chardev=ready,name={}", escape(&channels.ready_port)),
    );
    arguments.option(
        "-chardev",
        format!("socket,id=qmp,path={},server=on,wait=off", path(&channels.qmp)),
    );
    arguments.option("-mon", "chardev=qmp,mode=control");
    arguments.option("-chardev", format!("socket,id=greet,path={}", path(&channels.greet)));
    arguments.option("-mon", "chardev=greet,mode=control");
}
