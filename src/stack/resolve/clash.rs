//! Things of one stack that cannot be together: ports, subnets, addresses,
//! disks, names of copies.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::field::items;
use super::port::port;
use super::{Resolver, Written};
use crate::diagnostic::{Diagnostic, Span};
use crate::stack::{Network, Protocol, Role, Workload};
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn no_clash(
        &mut self,
        written: &[Written<'_>],
        workloads: &BTreeMap<String, Workload>,
        networks: &BTreeMap<String, Network>,
    ) {
        self.ports_are_free(written, workloads);
        self.subnets_are_apart(networks);
        self.addresses_fit(written, workloads, networks);
        self.disks_have_one_owner(written, workloads);
        self.copies_have_names_of_their_own(written, workloads);
    }

    fn ports_are_free(&mut self, written: &[Written<'_>], workloads: &BTreeMap<String, Workload>) {
        type Taken<'a> = Vec<(Option<IpAddr>, &'a str, Span)>;
        let mut taken: HashMap<(u16, Protocol), Taken<'_>> = HashMap::new();
        for one in written {
            let Some(workload) = workloads.get(one.name) else { continue };
            for item in items(one.node, "ports") {
                // What is wrong with it was said when the workload was resolved.
                let Ok(port) = port(item) else { continue };
                let Some(number) = port.published else { continue };
                if workload.replicas > 1 {
                    self.found.push(
                        Diagnostic::error(format!(
                            "the {} replicas of `{}` cannot all have port {number} of the host",
                            workload.replicas, one.name
                        ))
                        .at(item.span)
                        .help(format!("write `{}` alone: each gets a free port", port.target)),
                    );
                }
                let others = taken.entry((number, port.protocol)).or_default();
                let clash = others
                    .iter()
                    .find(|(ip, ..)| *ip == port.host_ip || ip.is_none() || port.host_ip.is_none());
                if let Some((_, other, place)) = clash {
                    self.found.push(
                        Diagnostic::error(format!(
                            "port {number}/{} is published twice",
                            port.protocol
                        ))
                        .label(item.span, format!("by `{}`", one.name))
                        .label(*place, format!("and by `{other}`"))
                        .help("give one of them another port of the host"),
                    );
                }
                others.push((port.host_ip, one.name, item.span));
            }
        }
    }

    /// Sorted by where they begin, only neighbours need comparing with the widest so far.
    fn subnets_are_apart(&mut self, networks: &BTreeMap<String, Network>) {
        let mut subnets: Vec<(Ipv4Net, &str)> = networks
            .values()
            .filter_map(|network| Some((network.subnet?, network.name.as_str())))
            .collect();
        subnets.sort_by_key(|(subnet, name)| (subnet.network(), subnet.prefix_len(), *name));
        let mut widest: Option<(Ipv4Net, &str)> = None;
        for (subnet, name) in subnets {
            match widest {
                Some((other, other_name)) if other.contains(&subnet.network()) => {
                    let (here, there) = (self.subnet_place(name), self.subnet_place(other_name));
                    self.found.push(
                        Diagnostic::error(format!("networks `{other_name}` and `{name}` overlap"))
                            .label(here, format!("`{subnet}`"))
                            .label(there, format!("lies in `{other}`, or they are the same"))
                            .help("give one of them another subnet, or leave it to Windlass"),
                    );
                }
                _ => widest = Some((subnet, name)),
            }
        }
    }

    fn subnet_place(&self, network: &str) -> Span {
        let entry = self.section("networks").and_then(|networks| networks.get(network));
        let subnet = entry
            .and_then(|entry| entry.value.get("ipam"))
            .and_then(|ipam| items(ipam, "config").iter().find_map(|config| config.get("subnet")));
        subnet
            .map_or_else(|| entry.map_or(Span::default(), |entry| entry.key), |subnet| subnet.span)
    }

    fn addresses_fit(
        &mut self,
        written: &[Written<'_>],
        workloads: &BTreeMap<String, Workload>,
        networks: &BTreeMap<String, Network>,
    ) {
        let mut taken: HashMap<(&str, Ipv4Addr), (&str, Span)> = HashMap::new();
        for one in written {
            let Some(workload) = workloads.get(one.name) else { continue };
            for (name, attachment) in &workload.networks {
                let (Some(address), Some(network)) = (attachment.ipv4_address, networks.get(name))
                else {
                    continue;
                };
                let place = address_place(one.node, name).unwrap_or(one.key);
                if let Some(problem) = misfit(address, network, workload.replicas) {
                    self.found.push(problem.at(place));
                }
                if let Some((other, there)) = taken.insert((name, address), (one.name, place)) {
                    self.found.push(
                        Diagnostic::error(format!("address {address} is given twice on `{name}`"))
                            .label(place, format!("to `{}`", one.name))
                            .label(there, format!("and to `{other}`"))
                            .help("give one of them another address"),
                    );
                }
            }
        }
    }

    fn disks_have_one_owner(
        &mut self,
        written: &[Written<'_>],
        workloads: &BTreeMap<String, Workload>,
    ) {
        let mut owners: HashMap<&str, (&str, Span)> = HashMap::new();
        for one in written {
            let Some(Role::Vm(vm)) = workloads.get(one.name).map(|workload| &workload.role) else {
                continue;
            };
            for disk in &vm.disks {
                let place = items(one.node, "disks")
                    .iter()
                    .find(|item| item.get("source").and_then(Node::as_text) == Some(&disk.volume))
                    .map_or(one.key, |item| item.span);
                if let Some((other, there)) = owners.insert(&disk.volume, (one.name, place)) {
                    self.found.push(
                        Diagnostic::error(format!("disk volume `{}` is given twice", disk.volume))
                            .label(place, format!("to vm `{}`", one.name))
                            .label(there, format!("and to vm `{other}`"))
                            .help("a disk is for one VM; a directory volume can be shared"),
                    );
                }
            }
        }
    }

    /// `web-1` may be the first copy of `web`, or a workload, not both.
    fn copies_have_names_of_their_own(
        &mut self,
        written: &[Written<'_>],
        workloads: &BTreeMap<String, Workload>,
    ) {
        for one in written {
            let Some((base, number)) = one.name.rsplit_once('-') else { continue };
            let number: Option<u32> = number.parse().ok();
            let clash = workloads.get(base).zip(number).filter(|(workload, number)| {
                workload.replicas > 1 && (1..=workload.replicas).contains(number)
            });
            if clash.is_some() {
                self.found.push(
                    Diagnostic::error(format!(
                        "`{}` is also the name of a copy of `{base}`",
                        one.name
                    ))
                    .at(one.key)
                    .help("rename it"),
                );
            }
        }
    }
}

fn address_place(node: &Node, network: &str) -> Option<Span> {
    Some(node.get("networks")?.get(network)?.get("ipv4_address")?.span)
}

/// Why `address` cannot be had on `network`.
fn misfit(address: Ipv4Addr, network: &Network, replicas: u32) -> Option<Diagnostic> {
    let name = &network.name;
    let Some(subnet) = network.subnet else {
        return Some(
            Diagnostic::error(format!("network `{name}` has no subnet to take {address} from"))
                .help(format!(
                    "declare it: `{name}: {{ ipam: {{ config: [ {{ subnet: 10.77.0.0/24 }} ] }} }}`"
                )),
        );
    };
    let gateway = network.gateway.or_else(|| subnet.hosts().next());
    if !subnet.contains(&address) {
        Some(Diagnostic::error(format!("{address} is outside `{subnet}`, the subnet of `{name}`")))
    } else if address == subnet.network() || address == subnet.broadcast() {
        Some(Diagnostic::error(format!("{address} is not an address that `{subnet}` can give")))
    } else if gateway == Some(address) {
        Some(Diagnostic::error(format!("{address} is the gateway of `{name}`")))
    } else if replicas > 1 {
        Some(Diagnostic::error(format!("{replicas} replicas cannot share {address}")))
    } else {
        None
    }
}
