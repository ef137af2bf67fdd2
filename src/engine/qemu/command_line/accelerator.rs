//! What runs the guest's instructions, and on how many processors.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use super::Arguments;

/// KVM where it works, else QEMU's own translator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// Emulation, one thread a virtual processor.
    Tcg,
}

pub(super) fn add(arguments: &mut Arguments, accelerator: Accelerator, cpus: u32) {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", "max"),
    };
    arguments.option("-accel", accel);
    arguments.option("-cpu", cpu);
    arguments.option("-smp", cpus.to_string());
}
