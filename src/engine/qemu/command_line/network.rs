//! Network interfaces on taps that the shim has opened.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Arguments;

/// A virtio network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The tap's descriptor: a number, or `{tap0}` for the shim to fill in.
    pub descriptor: String,
    /// Hardware address.
    pub mac: String,
    /// Told to the guest.
    pub mtu: u32,
}

pub(super) fn add(arguments: &mut Arguments, number: usize, nic: &Nic) {
    arguments.option("-netdev", format!("tap,id=net{number},fd={}", nic.descriptor));
    // No option ROM: nothing boots over the network.
    arguments.option(
        "-device",
        format!("virtio-net-pci,netdev=net{number},mac={},host_mtu={},romfile=", nic.mac, nic.mtu),
    );
}
