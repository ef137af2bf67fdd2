//! What services and VMs have in common.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::field::{duration, items, pairs, text, texts, truth};
use super::{Resolver, Written, among};
use crate::diagnostic::Diagnostic;
use crate::stack::workload::Attachment;
use crate::stack::{
    Condition, Dependency, MountSource, OnUnhealthy, Restart, Role, Volume, Workload,
};
use crate::yaml::Node;

const POLICIES: &[&str] = &["no", "always", "on-failure", "unless-stopped"];
/// The most copies of one workload.
const MOST_REPLICAS: i64 = 1000;

impl Workload {
    /// The volumes it mounts or has as disks, by the file's names.
    pub(super) fn volume_names(&self) -> impl Iterator<Item = &str> {
        let mounts = self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.as_str()),
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } => None,
        });
        let disks = match &self.role {
            Role::Vm(vm) => vm.disks.as_slice(),
            Role::Container(_) => &[],
        };
        mounts.chain(disks.iter().map(|disk| disk.volume.as_str()))
    }
}

impl Resolver<'_> {
    /// One service or VM; `None` where nothing can be made from it.
    pub(super) fn workload(
        &mut self,
        written: Written<'_>,
        volumes: &mut BTreeMap<String, Volume>,
    ) -> Option<Workload> {
        let Written { name, node, is_vm, .. } = written;
        self.name_is_valid(written);
        let image = self.image(written);
        let replicas = self.replicas(node);
        let role = if is_vm {
            Role::Vm(Box::new(self.vm(written, replicas, volumes)))
        } else {
            Role::Container(Box::new(self.container(node)))
        };
        let default_grace = Duration::from_secs(if is_vm { 60 } else { 10 });
        let mut workload = Workload {
            name: name.to_owned(),
            role,
            // Without one an error was said; the rest is still worth looking at.
            image: image?,
            replicas,
            hostname: text(node, "hostname"),
            environment: pairs(node, "environment"),
            labels: pairs(node, "labels"),
            depends_on: dependencies(node),
            networks: self.attachments(node),
            ports: self.ports(node),
            mounts: self.mounts(written, volumes),
            healthcheck: self.healthcheck(node),
            restart: self.restart(node),
            drift: super::drift(node)
                .or_else(|| super::drift(&self.spec.document))
                .unwrap_or_default(),
            stop_grace_period: duration(node, "stop_grace_period").unwrap_or(default_grace),
            extra_hosts: self.extra_hosts(node),
            secrets: Vec::new(),
            configs: Vec::new(),
            develop: Vec::new(),
        };
        workload.develop = self.develop(written, Some(&workload.image), &workload.mounts);
        workload.secrets = self.workload_files(written, "secrets");
        workload.configs = self.workload_files(written, "configs");
        Some(workload)
    }

    fn name_is_valid(&mut self, written: Written<'_>) {
        let starts = written.name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = written.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !starts || !rest || written.name.len() > 63 {
            let title = format!("`{}` is not a name for a workload", written.name);
            self.found.push(
                Diagnostic::error(title)
                    .at(written.key)
                    .help("letters, digits, `-`, `_` and `.`, a letter or digit first, at most 63"),
            );
        }
    }

    fn replicas(&mut self, node: &Node) -> u32 {
        let deploy = node.get("deploy");
        let deployed = deploy.and_then(|deploy| deploy.get("replicas"));
        let Some(written) = node.get("scale").or(deployed) else { return 1 };
        let number = written.as_scalar().and_then(crate::yaml::Scalar::as_integer).unwrap_or(1);
        if !(0..=MOST_REPLICAS).contains(&number) {
            self.error(format!("replicas must be 0 to {MOST_REPLICAS}"), written.span);
        }
        u32::try_from(number).unwrap_or(1)
    }

    fn restart(&mut self, node: &Node) -> Restart {
        let Some(written) = node.get("restart") else { return Restart::No };
        let policy = written.as_text().unwrap_or_default();
        let (word, limit) =
            policy.split_once(':').map_or((policy, None), |(word, n)| (word, Some(n)));
        match (word, limit.map(str::parse::<u32>)) {
            ("no", None) => Restart::No,
            ("always", None) => Restart::Always,
            ("unless-stopped", None) => Restart::UnlessStopped,
            ("on-failure", None) => Restart::OnFailure(None),
            ("on-failure", Some(Ok(limit))) => Restart::OnFailure(Some(limit)),
            _ => {
                self.found.push(
                    Diagnostic::error(format!("`{policy}` is not a restart policy"))
                        .at(written.span)
                        .help(format!("one of `{}`", POLICIES.join("`, `")))
                        .maybe_help(among(word, POLICIES)),
                );
                Restart::No
            }
        }
    }

    fn attachments(&mut self, node: &Node) -> BTreeMap<String, Attachment> {
        let mut attachments = BTreeMap::new();
        let networks = node.get("networks").and_then(Node::as_mapping).into_iter().flatten();
        for (network, entry) in networks {
            if self.section("networks").is_none_or(|declared| !declared.contains_key(network)) {
                let title = format!("there is no network `{network}`");
                self.unknown(title, network, "networks", "network", entry.key);
                continue;
            }
            let ipv4_address = entry.value.get("ipv4_address").and_then(|address| {
                let text = address.as_text().unwrap_or_default();
                let parsed = text.parse().ok();
                if parsed.is_none() {
                    self.error(format!("`{text}` is not an IPv4 address"), address.span);
                }
                parsed
            });
            let mac = entry.value.get("mac_address").or_else(|| node.get("mac_address"));
            attachments.insert(
                network.clone(),
                Attachment {
                    aliases: texts(&entry.value, "aliases"),
                    ipv4_address,
                    mac_address: mac.and_then(|mac| self.mac(mac)),
                },
            );
        }
        attachments
    }

    fn mac(&mut self, node: &Node) -> Option<String> {
        let text = node.as_text()?.to_ascii_lowercase().replace('-', ":");
        let bytes: Vec<_> = text.split(':').collect();
        let byte = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
        if bytes.len() != 6 || !bytes.iter().all(byte) {
            self.error(format!("`{text}` is not a hardware address"), node.span);
            return None;
        }
        if u8::from_str_radix(bytes[0], 16).is_ok_and(|first| first & 1 == 1) {
            self.error(format!("`{text}` is a group's hardware address"), node.span);
        }
        Some(text)
    }

    fn extra_hosts(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut hosts = BTreeMap::new();
        for line in items(node, "extra_hosts") {
            let written = line.as_text().unwrap_or_default();
            match written.split_once('=') {
                Some((host, address)) if !host.is_empty() && is_host_address(address) => {
                    hosts.insert(host.to_owned(), address.trim_matches(['[', ']']).to_owned());
                }
                _ => self.found.push(
                    Diagnostic::error(format!("`{written}` is not a host and its address"))
                        .at(line.span)
                        .help("write `name=10.0.0.5`"),
                ),
            }
        }
        hosts
    }
}

fn is_host_address(text: &str) -> bool {
    text == "host-gateway" || text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

fn dependencies(node: &Node) -> BTreeMap<String, Dependency> {
    let entries = node.get("depends_on").and_then(Node::as_mapping).into_iter().flatten();
    entries
        .map(|(name, entry)| {
            let condition = match text(&entry.value, "condition").as_deref() {
                Some("service_ready") => Condition::ServiceReady,
                Some("service_healthy") => Condition::ServiceHealthy,
                Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            let (restart, required) =
                (truth(&entry.value, "restart"), truth(&entry.value, "required"));
            let on_unhealthy = match text(&entry.value, "on_unhealthy").as_deref() {
                Some("stop") => OnUnhealthy::Stop,
                Some("restart") => OnUnhealthy::Restart,
                _ => OnUnhealthy::Keep,
            };
            (name.clone(), Dependency { condition, restart, required, on_unhealthy })
        })
        .collect()
}
