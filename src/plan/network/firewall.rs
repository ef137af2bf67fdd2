//! The stack's firewall table: its networks and every published port.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::Networks;
use crate::network::NetworkPlan;
use crate::network::ruleset::{Published, Ruleset, RulesetNetwork};
use crate::plan::Forward;
use crate::stack::{InstanceId, StackName};
use crate::state::names;

/// The ports that lead to each instance afterwards.
pub(in crate::plan) type Rules = BTreeMap<InstanceId, Vec<Forward>>;

/// The table as it shall be; `None`: there is no network, so there is no table.
pub(in crate::plan) fn ruleset(
    stack: &StackName,
    home_id: &str,
    networks: &Networks,
    forwards: &Rules,
) -> Option<Ruleset> {
    let all: Vec<&NetworkPlan> = networks.all().collect();
    if all.is_empty() {
        return None;
    }
    let published = forwards.values().flatten().filter_map(|forward| {
        let network = all.iter().find(|network| network.subnet.contains(&forward.to))?;
        let bridge = network.bridge.clone();
        Some(Published { port: forward.port.clone(), to: forward.to, bridge })
    });
    Some(Ruleset {
        table: names::table(home_id, stack),
        networks: all.iter().map(|network| of(network)).collect(),
        published: published.collect(),
    })
}

fn of(network: &NetworkPlan) -> RulesetNetwork {
    RulesetNetwork {
        bridge: network.bridge.clone(),
        subnet: network.subnet,
        internal: network.internal,
    }
}
