//! What [`super::GUEST_SCRIPT`] is told: a file of shell calls, one line each
//! for an address, a disk, a mount, a file. Every value is quoted.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{Guest, quote};
use crate::plan::Desired;

/// A directory or file of the host, shared through virtiofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestMount {
    /// The device's tag.
    pub tag: String,
    /// Absolute path in the guest.
    pub target: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
    /// The name of the one file that is shared; `None`: a directory.
    pub file: Option<String>,
    /// Whether it is a volume that, empty, receives what the image has there.
    pub fill: bool,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestTmpfs {
    /// Absolute path in the guest.
    pub target: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: u32,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// A disk volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// The device's serial, at most 20 characters.
    pub serial: String,
    /// Absolute path in the guest.
    pub target: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// A secret or a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute path in the guest.
    pub target: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// The calls, in the order they are made: what lies deeper is mounted later.
pub(super) fn text(guest: &Guest<'_>) -> String {
    let mut lines = vec![format!("nonce={}", quote(guest.nonce))];
    if guest.cloud_init.network_config.is_none() {
        lines.extend(network(guest.desired));
    }
    let mut mounted: Vec<(&str, String)> = Vec::new();
    mounted.extend(guest.disks.iter().map(|disk| (disk.target.as_str(), disk_line(disk))));
    mounted.extend(guest.mounts.iter().map(|mount| (mount.target.as_str(), share_line(mount))));
    mounted.extend(guest.tmpfs.iter().map(|tmpfs| (tmpfs.target.as_str(), tmpfs_line(tmpfs))));
    mounted.sort();
    lines.extend(mounted.into_iter().map(|(_, line)| line));
    lines.extend(guest.files.iter().enumerate().map(|(number, file)| {
        let GuestFile { target, uid, gid, mode, .. } = file;
        format!("file {number} {} {mode:04o} {uid} {gid}", quote(target))
    }));
    lines.join("\n") + "\n"
}

fn network(desired: &Desired) -> Vec<String> {
    let mut lines: Vec<String> = desired
        .addresses
        .iter()
        .map(|address| {
            let route = if address.default_route { "default" } else { "link" };
            format!(
                "address {} {}/{} {} {route} {} {}",
                quote(&address.mac),
                address.ipv4,
                address.subnet.prefix_len(),
                address.gateway,
                address.mtu,
                quote(&desired.search_domain),
            )
        })
        .collect();
    if let Some(first) = desired.addresses.first() {
        lines.push(format!("names {} {}", first.gateway, quote(&desired.search_domain)));
    }
    lines
}

fn access(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

fn disk_line(disk: &GuestDisk) -> String {
    format!("disk {} {} {}", quote(&disk.serial), quote(&disk.target), access(disk.read_only))
}

fn share_line(mount: &GuestMount) -> String {
    let fill = if mount.fill { " fill" } else { "" };
    format!(
        "share {} {} {} {}{fill}",
        quote(&mount.tag),
        quote(&mount.target),
        access(mount.read_only),
        quote(mount.file.as_deref().unwrap_or_default()),
    )
}

fn tmpfs_line(tmpfs: &GuestTmpfs) -> String {
    let size = tmpfs.size.map(|size| format!(",size={size}")).unwrap_or_default();
    let access = if tmpfs.read_only { ",ro" } else { "" };
    format!("memory {} mode={:04o}{size}{access}", quote(&tmpfs.target), tmpfs.mode)
}

/// `/run/windlass/environment`: for a shell to source.
pub(super) fn environment(variables: &BTreeMap<String, String>) -> String {
    let lines = variables.iter().map(|(name, value)| format!("{name}={}", quote(value)));
    text_of(lines)
}

/// More lines for the guest's hosts file.
pub(super) fn hosts(desired: &Desired) -> String {
    let hosts = desired.workload.extra_hosts.iter();
    text_of(hosts.map(|(name, address)| format!("{address} {name}")))
}

/// Each line with its end; nothing of no lines.
fn text_of(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}
