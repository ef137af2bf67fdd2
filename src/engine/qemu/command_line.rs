//! QEMU's arguments, as a function of what the machine is made of. It looks at
//! nothing: paths are given, and whether they exist is somebody else's question.
//!
//! Every device says in its own file what it is and which words QEMU wants.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod accelerator;
mod boot;
mod channel;
mod disk;
mod filesystem;
mod memory;
mod network;
mod sandbox;

use std::path::PathBuf;

pub use accelerator::Accelerator;
pub use boot::DirectBoot;
pub use channel::Channels;
pub use disk::{Drive, DriveFormat};
pub use filesystem::Filesystem;
pub use network::Nic;
pub use sandbox::DropTo;

/// A virtual machine, as QEMU is told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's program.
    pub program: PathBuf,
    /// Shown in process lists: `shop/db`.
    pub name: String,
    /// Identity that the guest sees.
    pub uuid: String,
    /// Versioned machine type, pinned.
    pub machine: String,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Virtual processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// A kernel to load; `None`: the firmware boots from the first drive.
    pub boot: Option<DirectBoot>,
    /// Root disk first.
    pub drives: Vec<Drive>,
    /// Interfaces, in order.
    pub nics: Vec<Nic>,
    /// Shared directories.
    pub filesystems: Vec<Filesystem>,
    /// Console, readiness port, QMP.
    pub channels: Channels,
    /// Whom QEMU becomes once everything is open.
    pub drop_to: Option<DropTo>,
}

/// Program and arguments.
pub fn arguments(machine: &Machine) -> Vec<String> {
    let mut arguments = Arguments(vec![machine.program.to_string_lossy().into_owned()]);
    arguments.flag("-nodefaults");
    arguments.flag("-no-user-config");
    arguments.option("-name", format!("guest={},process=qemu", escape(&machine.name)));
    arguments.option("-uuid", machine.uuid.clone());
    memory::add(&mut arguments, &machine.machine, machine.memory);
    accelerator::add(&mut arguments, machine.accelerator, machine.cpus);
    arguments.option("-display", "none");
    arguments.option("-vga", "none");
    arguments.option("-msg", "timestamp=on");
    arguments.option("-rtc", "base=utc");
    arguments.option("-device", "virtio-rng-pci");
    arguments.option("-device", "pvpanic-pci");
    if let Some(direct) = &machine.boot {
        boot::add(&mut arguments, direct);
    }
    for (number, drive) in machine.drives.iter().enumerate() {
        disk::add(&mut arguments, number, drive);
    }
    for (number, nic) in machine.nics.iter().enumerate() {
        network::add(&mut arguments, number, nic);
    }
    for (number, filesystem) in machine.filesystems.iter().enumerate() {
        filesystem::add(&mut arguments, number, filesystem);
    }
    channel::add(&mut arguments, &machine.channels);
    sandbox::add(&mut arguments, machine.drop_to);
    arguments.0
}

/// The list under construction.
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }
}

/// QEMU's option lists end a value at a comma; two of them are one.
fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

fn path(path: &std::path::Path) -> String {
    escape(&path.to_string_lossy())
}
