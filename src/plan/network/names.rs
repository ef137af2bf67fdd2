//! The names each network serves: every instance by its own name, its
//! workload's, its host name and its aliases.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Networks;
use crate::network::zone::Zone;
use crate::plan::address::Addresses;
use crate::plan::given::{Given, aliases_in};
use crate::stack::{InstanceId, Workload};

/// The zone of every network that will exist, by name.
pub(in crate::plan) fn zones(
    given: Given<'_>,
    networks: &Networks,
    addresses: &Addresses,
    leaving: &BTreeSet<InstanceId>,
) -> BTreeMap<String, Zone> {
    let mut zones: BTreeMap<String, Found> =
        networks.all().map(|network| (network.name.clone(), Found::default())).collect();
    for (id, on) in addresses {
        for (network, address) in on {
            let (Some(zone), Some(workload)) =
                (zones.get_mut(network), given.stack.workloads.get(&id.workload))
            else {
                continue;
            };
            for name in names(id, workload, network) {
                zone.add(&name, *address);
            }
        }
    }
    for other in given.observed.instances.values() {
        let stays = other.is_alive() || given.is_in_file(&other.id);
        if addresses.contains_key(&other.id) || leaving.contains(&other.id) || !stays {
            continue;
        }
        for (network, address) in &other.addresses {
            let Some(zone) = zones.get_mut(network) else { continue };
            let mut names = aliases_in(other, network);
            names.extend([other.id.to_string(), other.id.workload.clone()]);
            names.extend(other.definition.get("hostname").map(str::to_owned));
            for name in names {
                zone.add(&name, *address);
            }
        }
    }
    zones.into_iter().map(|(network, found)| (network, found.into_zone())).collect()
}

/// The names by which one instance is found on one network.
fn names(id: &InstanceId, workload: &Workload, network: &str) -> Vec<String> {
    let aliases = workload.networks.get(network).map(|it| it.aliases.clone()).unwrap_or_default();
    let mut names = vec![id.to_string(), workload.name.clone()];
    names.extend(workload.hostname.clone());
    names.extend(aliases);
    names
}

#[derive(Default)]
struct Found(BTreeMap<String, BTreeSet<Ipv4Addr>>);

impl Found {
    fn add(&mut self, name: &str, address: Ipv4Addr) {
        self.0.entry(name.to_lowercase()).or_default().insert(address);
    }

    fn into_zone(self) -> Zone {
        let lists = self.0.into_iter().map(|(name, set)| (name, set.into_iter().collect()));
        Zone(lists.collect())
    }
}
