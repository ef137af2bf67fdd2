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

#[cfg(test)]
mod tests {
    use super::{
        Accelerator, Channels, DirectBoot, Drive, DriveFormat, DropTo, Filesystem, Machine, Nic,
        arguments,
    };

    fn bare() -> Machine {
        Machine {
            program: "/usr/bin/qemu-system-x86_64".into(),
            name: "shop/db".into(),
            uuid: "00000000-0000-0000-0000-000000000001".into(),
            machine: "pc-q35-10.0".into(),
            accelerator: Accelerator::Kvm,
            cpus: 1,
            memory: 1 << 30,
            boot: None,
            drives: vec![Drive {
                file: "/d/disk.qcow2".into(),
                format: DriveFormat::Qcow2,
                serial: None,
                read_only: false,
            }],
            nics: Vec::new(),
            filesystems: Vec::new(),
            channels: Channels {
                console: "/d/console.log".into(),
                ready: "/d/ready".into(),
                ready_port: "windlass.ready".into(),
                qmp: "qmp.sock".into(),
                greet: "greet.sock".into(),
            },
            drop_to: None,
        }
    }

    /// An option a line.
    fn text(machine: &Machine) -> String {
        arguments(machine).join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_bare_machine_on_kvm() {
        insta::assert_snapshot!(text(&bare()));
    }

    #[test]
    fn a_furnished_machine_that_is_emulated() {
        let drive = |file: &str, format, serial: &str, read_only| Drive {
            file: file.into(),
            format,
            serial: Some(serial.to_owned()),
            read_only,
        };
        let mut machine = bare();
        machine.accelerator = Accelerator::Tcg;
        machine.cpus = 2;
        machine.boot = Some(DirectBoot {
            kernel: "/i/vmlinuz".into(),
            initrd: Some("/i/initrd".into()),
            cmdline: "root=/dev/vda rw console=ttyS0 ds=nocloud".into(),
        });
        machine.drives.push(drive(
            "/v/a,b/disk.qcow2",
            DriveFormat::Qcow2,
            "0123456789abcdef",
            false,
        ));
        machine.drives.push(drive("/d/seed.img", DriveFormat::Raw, "windlass-seed", true));
        machine.nics.push(Nic {
            descriptor: "{tap0}".into(),
            mac: "02:00:00:00:00:01".into(),
            mtu: 1450,
        });
        machine.filesystems.push(Filesystem { socket: "fs0.sock".into(), tag: "fs0".into() });
        machine.drop_to = Some(DropTo { id: 1_879_048_193, run_with: true });
        insta::assert_snapshot!(text(&machine));
        machine.drop_to = Some(DropTo { id: 1_879_048_193, run_with: false });
        assert!(text(&machine).ends_with("-runas 1879048193:1879048193"));
    }
}
