//! Networks: which subnet each has, what must be made, mended or renumbered,
//! the names each serves, and the firewall over all of them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod firewall;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::given::Given;
use super::{Blocked, Cause, Resource};
use crate::network::{NetworkPlan, allocation};
use crate::observed::{ObservedInstance, ObservedNetwork};
use crate::stack::definition::Difference;
use crate::stack::{InstanceId, Network, StackName};
use crate::state::names as host_names;

pub(super) use firewall::{Rules, ruleset};
pub(super) use names::zones;

/// The stack's networks as they shall be.
#[derive(Default)]
pub(super) struct Networks {
    /// Those of the file that this plan is about, by name.
    pub(super) wanted: BTreeMap<String, Wanted>,
    /// Those that exist, are not in the file and stay, because something is on them.
    pub(super) lingering: BTreeMap<String, NetworkPlan>,
    /// Those that exist, are not in the file and have nothing on them.
    pub(super) unused: BTreeMap<String, NetworkPlan>,
    /// What cannot be done.
    pub(super) blocked: Vec<Blocked>,
}

/// A network of the file.
pub(super) struct Wanted {
    /// As it shall be.
    pub(super) plan: NetworkPlan,
    /// What is done to the bridge.
    pub(super) fate: Fate,
}

/// What is done to a bridge.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// Nothing.
    Keep,
    /// It is made.
    Create,
    /// It is there, and something of it is not.
    Mend(Cause),
    /// It is made again with other addresses; whoever is on it must leave first.
    Renumber(Cause, Box<NetworkPlan>),
}

impl Networks {
    /// Every network that will exist afterwards.
    pub(super) fn all(&self) -> impl Iterator<Item = &NetworkPlan> {
        self.wanted.values().map(|it| &it.plan).chain(self.lingering.values())
    }

    /// The plan of a network that will exist afterwards.
    pub(super) fn get(&self, name: &str) -> Option<&NetworkPlan> {
        self.wanted.get(name).map(|it| &it.plan).or_else(|| self.lingering.get(name))
    }

    /// Whether whoever is on this network must leave it first, and why.
    pub(super) fn must_leave(&self, name: &str) -> Option<&Cause> {
        match &self.wanted.get(name)?.fate {
            Fate::Renumber(cause, _) => Some(cause),
            _ => None,
        }
    }
}

/// Decides every network's subnet and fate.
pub(super) fn networks(given: Given<'_>, scope: &BTreeSet<&str>) -> Networks {
    let mut networks = Networks::default();
    let relevant = relevant(given, scope);
    let mut chosen: Vec<(String, Ipv4Net)> = Vec::new();
    for pass in [Pass::Written, Pass::Known, Pass::Free] {
        for network in relevant.iter().filter(|network| Pass::of(given, network) == pass) {
            match subnet(given, network, pass, &chosen) {
                Ok(subnet) => {
                    chosen.push((network.name.clone(), subnet));
                    match wanted(given, network, subnet) {
                        Ok(wanted) => {
                            networks.wanted.insert(network.name.clone(), wanted);
                        }
                        Err(blocked) => networks.blocked.push(*blocked),
                    }
                }
                Err(blocked) => networks.blocked.push(*blocked),
            }
        }
    }
    sort_out_the_rest(given, &mut networks);
    networks
}

/// Networks that somebody in scope joins, or that exist.
fn relevant<'a>(given: Given<'a>, scope: &BTreeSet<&str>) -> Vec<&'a Network> {
    let joined: BTreeSet<&str> = scope
        .iter()
        .filter_map(|name| given.stack.workloads.get(*name))
        .flat_map(|workload| workload.networks.keys().map(String::as_str))
        .collect();
    let exists = |name: &str| given.observed.networks.contains_key(name);
    given
        .stack
        .networks
        .values()
        .filter(|network| joined.contains(network.name.as_str()) || exists(&network.name))
        .collect()
}

/// Where a subnet comes from. What the file says goes first, what is known is
/// kept, and only then are free ones chosen.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Written,
    Known,
    Free,
}

impl Pass {
    fn of(given: Given<'_>, network: &Network) -> Self {
        if network.subnet.is_some() {
            Self::Written
        } else if known_subnet(given, network).is_some() {
            Self::Known
        } else {
            Self::Free
        }
    }
}

/// The subnet a network has, had before a reboot, or that the addresses on
/// record speak for.
fn known_subnet(given: Given<'_>, network: &Network) -> Option<Ipv4Net> {
    let seen = given.observed.networks.get(&network.name).and_then(|it| it.subnet);
    let recorded = || given.facts.recorded_subnets.get(&network.name).copied();
    let on_record = || {
        let mut addresses =
            given.observed.instances.values().filter_map(|it| it.addresses.get(&network.name));
        let first = Ipv4Net::new(*addresses.next()?, 24).ok()?.trunc();
        addresses.all(|address| first.contains(address)).then_some(first)
    };
    seen.or_else(recorded).or_else(on_record)
}

fn subnet(
    given: Given<'_>,
    network: &Network,
    pass: Pass,
    chosen: &[(String, Ipv4Net)],
) -> Result<Ipv4Net, Box<Blocked>> {
    let has = given.observed.networks.get(&network.name).and_then(|it| it.subnet);
    let taken_by = |subnet: Ipv4Net| -> Option<String> {
        let of_stack = chosen.iter().find(|(_, other)| allocation::overlap(&subnet, other));
        let of_host = || {
            let mut others = given.facts.taken_subnets.iter();
            others.find(|(other, _)| has != Some(subnet) && allocation::overlap(&subnet, other))
        };
        of_stack
            .map(|(name, other)| format!("network {name} ({other})"))
            .or_else(|| of_host().map(|(other, who)| format!("{who} ({other})")))
    };
    let known = match pass {
        Pass::Written => network.subnet,
        Pass::Known => known_subnet(given, network),
        Pass::Free => None,
    };
    match (known, pass) {
        (Some(subnet), Pass::Written) => match taken_by(subnet) {
            None => Ok(subnet),
            Some(who) => Err(blocked(
                network,
                format!("subnet {subnet} is taken by {who}"),
                "ask for another one, or for none: Windlass chooses a free one",
            )),
        },
        (Some(subnet), _) if taken_by(subnet).is_none() => Ok(subnet),
        _ => {
            let of_stack = chosen.iter().map(|(_, subnet)| subnet);
            // What other networks of this stack have keeps being theirs.
            let observed = given.observed.networks.values().filter_map(|it| it.subnet.as_ref());
            let recorded = given.facts.recorded_subnets.values();
            let taken = given.facts.taken_subnets.keys().chain(of_stack);
            allocation::subnet(taken.chain(observed).chain(recorded)).ok_or_else(|| {
                blocked(
                    network,
                    "no free subnet is left on this host".into(),
                    "name one: `subnet:`",
                )
            })
        }
    }
}

fn wanted(given: Given<'_>, network: &Network, subnet: Ipv4Net) -> Result<Wanted, Box<Blocked>> {
    let existing = given.observed.networks.get(&network.name);
    let same_subnet = existing.filter(|it| it.subnet == Some(subnet));
    let gateway = network
        .gateway
        .or_else(|| same_subnet.and_then(|it| it.gateway))
        .or_else(|| allocation::gateway(subnet))
        .filter(|gateway| allocation::is_host(subnet, *gateway));
    let Some(gateway) = gateway else {
        let reason = match network.gateway {
            Some(gateway) => format!("gateway {gateway} is no host address of {subnet}"),
            None => format!("subnet {subnet} has no room for a gateway and an instance"),
        };
        return Err(blocked(network, reason, "give it a larger `subnet:`"));
    };
    let plan = NetworkPlan {
        internal: network.internal,
        ..network_plan(&given.stack.name, &given.facts.home_id, &network.name, (subnet, gateway))
    };
    let plan = NetworkPlan { mtu: mtu(given.facts.mtu), ..plan };
    let fate = fate(given, existing, &plan);
    if let Fate::Renumber(..) = &fate
        && let Some(who) = who_stays_on(given, &network.name)
    {
        return Err(blocked(
            network,
            format!("its addresses change, and {} {} is on it", who.kind, who.id),
            "plan for all workloads, with `--remove-orphans` for those no longer in the file",
        ));
    }
    Ok(Wanted { plan, fate })
}

fn fate(given: Given<'_>, existing: Option<&ObservedNetwork>, plan: &NetworkPlan) -> Fate {
    let Some(existing) = existing else { return Fate::Create };
    let changed = |field: &str, from: String, to: String| {
        let old = existing_plan(&given.stack.name, &given.facts.home_id, existing);
        let difference = Difference { field: field.into(), from: Some(from), to: Some(to) };
        Fate::Renumber(Cause::Field(difference), Box::new(old))
    };
    match (existing.subnet, existing.gateway) {
        (Some(subnet), _) if subnet != plan.subnet => {
            changed("subnet", subnet.to_string(), plan.subnet.to_string())
        }
        (Some(_), Some(gateway)) if gateway != plan.gateway => {
            changed("gateway", gateway.to_string(), plan.gateway.to_string())
        }
        (Some(_), Some(_)) if !existing.up => Fate::Mend(Cause::Seen("its bridge is down".into())),
        (Some(_), Some(_)) => Fate::Keep,
        _ => Fate::Mend(Cause::Seen("its bridge lost its address".into())),
    }
}

/// Somebody alive on a network whom this plan leaves alone.
fn who_stays_on<'a>(given: Given<'a>, network: &str) -> Option<&'a ObservedInstance> {
    let scope = given.scope();
    let goes = |id: &InstanceId| match given.stack.workloads.contains_key(&id.workload) {
        true => scope.contains(id.workload.as_str()),
        false => given.options.remove_orphans && given.options.only.is_none(),
    };
    let mut instances = given.observed.instances.values();
    instances.find(|it| it.is_alive() && it.addresses.contains_key(network) && !goes(&it.id))
}

/// What exists and is not in the file: taken away unless somebody is on it.
/// A plan for some workloads only takes nothing away.
fn sort_out_the_rest(given: Given<'_>, networks: &mut Networks) {
    for existing in given.observed.networks.values() {
        if given.stack.networks.contains_key(&existing.name) {
            continue;
        }
        let lingers = given.options.only.is_some() || who_stays_on(given, &existing.name).is_some();
        let plan = existing_plan(&given.stack.name, &given.facts.home_id, existing);
        let place = if lingers { &mut networks.lingering } else { &mut networks.unused };
        place.insert(existing.name.clone(), plan);
    }
}

/// A network as it is, in the plan's form: for taking it away.
pub(super) fn existing_plan(
    stack: &StackName,
    home_id: &str,
    existing: &ObservedNetwork,
) -> NetworkPlan {
    let subnet = existing.subnet.unwrap_or_default();
    let gateway = existing.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
    NetworkPlan {
        bridge: existing.bridge.clone(),
        ..network_plan(stack, home_id, &existing.name, (subnet, gateway))
    }
}

fn network_plan(
    stack: &StackName,
    home_id: &str,
    name: &str,
    (subnet, gateway): (Ipv4Net, Ipv4Addr),
) -> NetworkPlan {
    NetworkPlan {
        name: name.to_owned(),
        bridge: host_names::bridge(home_id, stack, name),
        label: host_names::label(home_id, stack, &format!("network {name}")),
        subnet,
        gateway,
        internal: false,
        mtu: mtu(0),
        domain: domain(stack),
    }
}

/// `<stack>.windlass.internal`
pub(super) fn domain(stack: &StackName) -> String {
    format!("{stack}.windlass.internal")
}

/// Ethernet's own where the uplink's is not known.
fn mtu(of_uplink: u32) -> u32 {
    if of_uplink == 0 { 1500 } else { of_uplink }
}

fn blocked(network: &Network, reason: String, help: &str) -> Box<Blocked> {
    Box::new(Blocked {
        resource: Resource::Network(network.name.clone()),
        reason,
        help: Some(help.to_owned()),
    })
}
