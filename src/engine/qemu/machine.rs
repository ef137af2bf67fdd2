//! The machine that a VM becomes: from what is desired, recorded and stored to
//! what QEMU is told. Nothing is looked up here.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::acceleration::Choice;
use super::command_line::{
    Channels, DirectBoot, Drive, DriveFormat, DropTo, Filesystem, Machine, Nic,
};
use super::error::QemuError;
use super::installed::Installed;
use super::place::{GREETING, Place, QMP};
use super::shares::Mounted;
use super::vm_of;
use crate::cloud_init::READY_PORT;
use crate::image::{Boot, DiskImage};
use crate::plan::Desired;
use crate::stack::Vm;
use crate::state::names;
use crate::state::record::VmRecord;

/// First of the users that QEMU processes become: a range that nobody hands out.
const FIRST_USER: u32 = 1_879_048_192;

/// Where the parts of a machine come from.
pub(super) struct Parts<'a> {
    pub(super) home_id: &'a str,
    pub(super) desired: &'a Desired,
    pub(super) record: &'a VmRecord,
    pub(super) image: &'a DiskImage,
    pub(super) installed: &'a Installed,
    pub(super) choice: &'a Choice,
    pub(super) mounted: &'a Mounted,
    pub(super) place: &'a Place,
}

/// The machine.
pub(super) fn machine(parts: &Parts<'_>) -> Result<Machine, QemuError> {
    let Parts { desired, place, mounted, .. } = parts;
    let vm = vm_of(desired)?;
    let identity = identity(parts.home_id, desired);
    Ok(Machine {
        program: parts.installed.program.clone(),
        name: format!("{}/{}", desired.stack, desired.id),
        uuid: uuid(&identity),
        machine: parts.record.machine.clone(),
        accelerator: parts.choice.accelerator,
        cpus: vm.cpus,
        memory: vm.memory,
        boot: boot(vm, parts.image),
        drives: drives(vm, place, mounted),
        nics: (desired.addresses.iter().enumerate())
            .map(|(number, address)| Nic {
                descriptor: format!("{{tap{number}}}"),
                mac: address.mac.clone(),
                mtu: address.mtu,
            })
            .collect(),
        filesystems: (mounted.shares.iter().enumerate())
            .map(|(number, share)| Filesystem {
                socket: Place::share_socket(number).into(),
                tag: share.guest.tag.clone(),
            })
            .collect(),
        channels: Channels {
            console: place.console(),
            ready: place.ready(),
            ready_port: READY_PORT.to_owned(),
            qmp: PathBuf::from(QMP),
            greet: PathBuf::from(GREETING),
        },
        drop_to: Some(DropTo { id: user(&identity), run_with: parts.installed.run_with() }),
    })
}

fn drives(vm: &Vm, place: &Place, mounted: &Mounted) -> Vec<Drive> {
    let root =
        Drive { file: place.disk(), format: DriveFormat::Qcow2, serial: None, read_only: false };
    let volumes = mounted.disks.iter().map(|disk| Drive {
        file: disk.file.clone(),
        format: DriveFormat::Qcow2,
        serial: Some(disk.guest.serial.clone()),
        read_only: disk.guest.read_only,
    });
    let seed = vm.cloud_init.as_ref().map(|_| Drive {
        file: place.seed(),
        format: DriveFormat::Raw,
        serial: Some("windlass-seed".to_owned()),
        read_only: true,
    });
    std::iter::once(root).chain(volumes).chain(seed).collect()
}

/// The file's kernel before the image's own; `cmdline:` is added to the image's.
fn boot(vm: &Vm, image: &DiskImage) -> Option<DirectBoot> {
    let (kernel, initrd, base) = match (&vm.kernel, &image.boot) {
        (Some(kernel), Boot::Direct { cmdline, .. }) => {
            (kernel.clone(), vm.initrd.clone(), cmdline.as_str())
        }
        (Some(kernel), Boot::Firmware) => {
            (kernel.clone(), vm.initrd.clone(), "root=/dev/vda1 rw console=ttyS0")
        }
        (None, Boot::Direct { kernel, initrd, cmdline }) => {
            (kernel.clone(), vm.initrd.clone().or_else(|| initrd.clone()), cmdline.as_str())
        }
        (None, Boot::Firmware) => return None,
    };
    let mut words: Vec<&str> = base.split_ascii_whitespace().collect();
    if vm.cloud_init.is_some() && !words.iter().any(|word| word.starts_with("ds=")) {
        words.push("ds=nocloud");
    }
    words.extend(vm.cmdline.as_deref().unwrap_or_default().split_ascii_whitespace());
    Some(DirectBoot { kernel, initrd, cmdline: words.join(" ") })
}

fn identity(home_id: &str, desired: &Desired) -> String {
    let number = desired.id.number.to_string();
    names::hash(&[home_id, desired.stack.as_str(), "vm", &desired.id.workload, &number], 32)
}

fn uuid(digits: &str) -> String {
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Each VM its own, so that a guest that breaks out meets no other one.
fn user(digits: &str) -> u32 {
    FIRST_USER + u32::from_str_radix(&digits[..6], 16).unwrap_or_default()
}
