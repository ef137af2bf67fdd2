//! What only VMs have.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::field::{bytes, duration, integer, items, text, truth};
use super::{Resolver, Written};
use crate::diagnostic::Diagnostic;
use crate::stack::vm::{Accel, Disk};
use crate::stack::{Vm, Volume, VolumeKind};
use crate::yaml::Node;

const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_CPUS: u32 = 1;
/// Below this no distribution boots.
const LEAST_MEMORY: u64 = 64 << 20;

/// Keys that act within a guest.
const WITHIN: [&str; 7] =
    ["mounts", "disks", "secrets", "configs", "environment", "extra_hosts", "healthcheck"];

impl Resolver<'_> {
    pub(super) fn vm(
        &mut self,
        written: Written<'_>,
        replicas: u32,
        volumes: &BTreeMap<String, Volume>,
    ) -> Vm {
        let node = written.node;
        if let Some(deploy) = node.get("deploy").filter(|deploy| deploy.get("resources").is_some())
        {
            self.found.push(
                Diagnostic::warning("`deploy.resources` of a VM is ignored")
                    .at(deploy.key_span("resources"))
                    .help("write `cpus` and `memory` of the VM itself"),
            );
        }
        let memory = bytes(node, "memory").unwrap_or(DEFAULT_MEMORY);
        if memory < LEAST_MEMORY {
            self.found.push(
                Diagnostic::error("a VM needs at least 64 MiB of memory")
                    .at(node.get("memory").map_or(written.key, |memory| memory.span))
                    .help("write a size with its unit: `1GiB`"),
            );
        }
        let cpus = integer(node, "cpus").map_or(Some(DEFAULT_CPUS), |cpus| cpus.try_into().ok());
        let cpus = cpus.filter(|cpus| (1..=512).contains(cpus));
        if cpus.is_none() {
            self.error(
                "a VM has 1 to 512 cpus",
                node.get("cpus").map_or(written.key, |cpus| cpus.span),
            );
        }
        let cloud_init = self.cloud_init(written);
        if cloud_init.is_none() {
            self.nothing_within(written);
        }
        Vm {
            cpus: cpus.unwrap_or(DEFAULT_CPUS),
            memory,
            disk: bytes(node, "disk"),
            disks: self.disks(written, replicas, volumes),
            cloud_init,
            kernel: self.boot_file(node, "kernel"),
            initrd: self.boot_file(node, "initrd"),
            cmdline: text(node, "cmdline"),
            accel: match text(node, "accel").as_deref() {
                Some("kvm") => Accel::Kvm,
                Some("tcg") => Accel::Tcg,
                _ => Accel::Auto,
            },
            ssh_user: node.get("ssh").and_then(|ssh| text(ssh, "user")),
            ready_timeout: duration(node, "ready_timeout"),
        }
    }

    /// What Windlass does within a guest, it does by way of cloud-init.
    fn nothing_within(&mut self, written: Written<'_>) {
        for key in WITHIN.iter().filter(|key| written.node.get(key).is_some()) {
            let title = format!("`{key}` of a VM without cloud-init does nothing in its guest");
            self.found.push(
                Diagnostic::warning(title)
                    .at(written.node.key_span(key))
                    .help("take `cloud_init: false` away, or have the image do it itself"),
            );
        }
    }

    fn boot_file(&mut self, node: &Node, key: &str) -> Option<PathBuf> {
        let path = PathBuf::from(text(node, key)?);
        if !self.files.exists(&path) {
            let shown = self.sources.shown_path(&path);
            self.error(format!("there is no file `{shown}`"), node.get(key)?.span);
        }
        Some(path)
    }

    fn disks(
        &mut self,
        written: Written<'_>,
        replicas: u32,
        volumes: &BTreeMap<String, Volume>,
    ) -> Vec<Disk> {
        let mut disks = Vec::new();
        for item in items(written.node, "disks") {
            let (Some(volume), Some(target)) = (text(item, "source"), text(item, "target")) else {
                continue;
            };
            let span = item.get("source").map_or(item.span, |source| source.span);
            match volumes.get(&volume).map(|volume| volume.kind) {
                None if self.section("volumes").is_some_and(|all| all.contains_key(&volume)) => {}
                None => {
                    let title = format!("there is no volume `{volume}`");
                    self.unknown(title, &volume, "volumes", "volume", span);
                }
                Some(VolumeKind::Directory) => self.found.push(
                    Diagnostic::error(format!("volume `{volume}` is a directory, not a disk"))
                        .at(span)
                        .help(format!(
                            "mount it under `mounts`, or declare `{volume}: {{ driver: disk, driver_opts: {{ size: 10GiB }} }}`"
                        )),
                ),
                Some(VolumeKind::Disk { .. }) if replicas > 1 => self.found.push(
                    Diagnostic::error(format!(
                        "disk volume `{volume}` is for one VM, but `{}` has {replicas} replicas",
                        written.name
                    ))
                    .at(span)
                    .help("a directory volume under `mounts` can be shared"),
                ),
                Some(VolumeKind::Disk { .. }) => {}
            }
            disks.push(Disk { volume, target, read_only: truth(item, "read_only") });
        }
        disks
    }
}
