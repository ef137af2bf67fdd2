//! Who has which address. What is written goes first, what is on record is
//! kept, the rest get the lowest free one.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::given::Given;
use super::network::{Networks, domain};
use super::{Address, Blocked, Desired, Resource};
use crate::network::{NetworkPlan, allocation};
use crate::stack::{Definition, InstanceId, Port, Workload};
use crate::state::names;

/// Addresses by instance and network.
pub(super) type Addresses = BTreeMap<InstanceId, BTreeMap<String, Ipv4Addr>>;

/// Gives every instance in `scope` an address on each network it joins.
pub(super) fn assign(
    given: Given<'_>,
    networks: &Networks,
    scope: &BTreeSet<&str>,
    blocked: &mut Vec<Blocked>,
) -> Addresses {
    let mut addresses = Addresses::new();
    for (name, wanted) in &networks.wanted {
        let joining: Vec<(InstanceId, &Workload)> = scope
            .iter()
            .flat_map(|workload| given.copies(workload))
            .filter(|(_, workload)| workload.networks.contains_key(name))
            .collect();
        let mut on_network = OnNetwork::new(given, &wanted.plan, scope);
        for (id, workload) in &joining {
            on_network.give_what_is_written(id, workload, blocked);
        }
        for (id, _) in &joining {
            on_network.keep_what_is_on_record(given, id);
        }
        for (id, workload) in &joining {
            on_network.give_a_free_one(id, workload, blocked);
        }
        for (id, address) in on_network.given {
            addresses.entry(id).or_default().insert(name.clone(), address);
        }
    }
    addresses
}

/// The addresses of one network while they are given out.
struct OnNetwork<'a> {
    network: &'a NetworkPlan,
    /// Held by instances this plan does not touch: their names.
    others: BTreeMap<Ipv4Addr, String>,
    taken: BTreeSet<Ipv4Addr>,
    /// On anybody's record, also of those who leave: not given to somebody else
    /// while a free one is left.
    recorded: BTreeSet<Ipv4Addr>,
    given: BTreeMap<InstanceId, Ipv4Addr>,
}

impl<'a> OnNetwork<'a> {
    fn new(given: Given<'_>, network: &'a NetworkPlan, scope: &BTreeSet<&str>) -> Self {
        let ours = |id: &InstanceId| given.is_in_file(id) && scope.contains(id.workload.as_str());
        let others: BTreeMap<Ipv4Addr, String> = given
            .observed
            .instances
            .values()
            .filter(|it| !ours(&it.id))
            .filter_map(|it| {
                Some((*it.addresses.get(&network.name)?, format!("{} {}", it.kind, it.id)))
            })
            .collect();
        let all = given.observed.instances.values();
        let recorded = all.filter_map(|it| it.addresses.get(&network.name)).copied().collect();
        let taken = others.keys().copied().chain([network.gateway]).collect();
        Self { network, others, taken, recorded, given: BTreeMap::new() }
    }

    fn give_what_is_written(
        &mut self,
        id: &InstanceId,
        workload: &Workload,
        blocked: &mut Vec<Blocked>,
    ) {
        let written = workload.networks.get(&self.network.name).and_then(|it| it.ipv4_address);
        let Some(address) = written else { return };
        let name = &self.network.name;
        let reason = if !allocation::is_host(self.network.subnet, address) {
            format!("address {address} is no host address of {} ({name})", self.network.subnet)
        } else if address == self.network.gateway {
            format!("address {address} is the gateway of {name}")
        } else if let Some(who) = self.others.get(&address) {
            format!("address {address} on {name} is held by {who}")
        } else if !self.taken.insert(address) {
            format!("address {address} on {name} is asked for more than once")
        } else {
            self.given.insert(id.clone(), address);
            return;
        };
        let help = Some("change `ipv4_address:`, or leave it out".into());
        blocked.push(Blocked { resource: resource(id, workload), reason, help });
    }

    fn keep_what_is_on_record(&mut self, given: Given<'_>, id: &InstanceId) {
        let existing = given.existing(id);
        let recorded = existing.and_then(|it| it.addresses.get(&self.network.name)).copied();
        let Some(address) = recorded else { return };
        if !self.given.contains_key(id)
            && allocation::is_host(self.network.subnet, address)
            && self.taken.insert(address)
        {
            self.given.insert(id.clone(), address);
        }
    }

    fn give_a_free_one(
        &mut self,
        id: &InstanceId,
        workload: &Workload,
        blocked: &mut Vec<Blocked>,
    ) {
        if self.given.contains_key(id) || has_written(workload, &self.network.name) {
            return;
        }
        let (subnet, gateway) = (self.network.subnet, self.network.gateway);
        let unused = &self.taken | &self.recorded;
        let free = allocation::address(subnet, gateway, &unused)
            .or_else(|| allocation::address(subnet, gateway, &self.taken));
        if let Some(address) = free {
            self.taken.insert(address);
            self.given.insert(id.clone(), address);
        } else {
            blocked.push(Blocked {
                resource: resource(id, workload),
                reason: format!("no free address is left on {} ({subnet})", self.network.name),
                help: Some(format!("give network `{}` a larger `subnet:`", self.network.name)),
            });
        }
    }
}

fn has_written(workload: &Workload, network: &str) -> bool {
    workload.networks.get(network).is_some_and(|it| it.ipv4_address.is_some())
}

fn resource(id: &InstanceId, workload: &Workload) -> Resource {
    Resource::Instance(workload.kind(), id.clone())
}

/// An instance with everything that was chosen for it.
pub(super) fn desired(
    given: Given<'_>,
    networks: &Networks,
    addresses: &Addresses,
    id: &InstanceId,
    workload: &Workload,
    ports: &[Port],
) -> Desired {
    let volumes = super::volume::used_by(workload).into_iter().filter_map(|name| {
        let volume = given.stack.volumes.get(name)?;
        Some((volume.name.clone(), volume.resolved.clone()))
    });
    Desired {
        stack: given.stack.name.clone(),
        id: id.clone(),
        workload: Workload { ports: ports.to_vec(), ..workload.clone() },
        definition: Definition::of(workload, &given.facts.contents),
        addresses: interfaces(given, networks, addresses, id, workload),
        hostname: workload.hostname.clone().unwrap_or_else(|| id.to_string()),
        volumes: volumes.collect(),
        search_domain: domain(&given.stack.name),
        rerun_cloud_init: false,
    }
}

fn interfaces(
    given: Given<'_>,
    networks: &Networks,
    addresses: &Addresses,
    id: &InstanceId,
    workload: &Workload,
) -> Vec<Address> {
    let (home, stack) = (&given.facts.home_id, &given.stack.name);
    let mut has_default_route = false;
    let mut interfaces = Vec::new();
    for (name, attachment) in &workload.networks {
        let address = addresses.get(id).and_then(|on| on.get(name));
        let (Some(network), Some(ipv4)) = (networks.get(name), address) else { continue };
        let default_route = !network.internal && !has_default_route;
        has_default_route |= default_route;
        interfaces.push(Address {
            network: name.clone(),
            bridge: network.bridge.clone(),
            host_interface: names::interface(home, stack, id, name),
            ipv4: *ipv4,
            subnet: network.subnet,
            gateway: network.gateway,
            default_route,
            mac: attachment
                .mac_address
                .clone()
                .unwrap_or_else(|| names::mac(home, stack, id, name)),
            mtu: network.mtu,
        });
    }
    interfaces
}
