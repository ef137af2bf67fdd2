//! The stack's firewall table as pure data and text: one table per stack,
//! `inet windlass_<id>`, replaced as a whole.
//!
//! - **prerouting**: what is addressed to the host at a published port goes to
//!   the instance. Traffic from the instance's own bridge is left to the
//!   forwarder process: sent back into the bridge it came from, a frame for the
//!   sender itself would be dropped where bridged frames pass the firewall
//!   (`br_netfilter`), and so the way is the same on every host.
//! - **postrouting**: what leaves a network gets the host's address; published
//!   traffic from one network to another so gets the gateway's there, and an
//!   instance on both answers the way the question came.
//! - **forward**: into a network only what was published or answers; out of
//!   it everything, unless it is internal. Other stacks' networks keep their
//!   own door shut the same way.
//! - **input**: a name server answers its own network alone.
//!
//! Never `route_localnet`: it would let a container reach what the host serves
//! on its loopback.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::stack::Port;
use crate::state::names;

/// Names one rule for good: a digest of its text, carried in its comment, so
/// that a rule deleted behind our back is missed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub String);

/// What the table shall do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Name of the table, `windlass_<id>`.
    pub table: String,
    /// The stack's networks.
    pub networks: Vec<RulesetNetwork>,
    /// Published ports.
    pub published: BTreeSet<Published>,
}

/// A network, as far as the firewall cares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RulesetNetwork {
    /// Name of the bridge.
    pub bridge: String,
    /// Its subnet.
    pub subnet: Ipv4Net,
    /// Nothing of it reaches beyond the host.
    pub internal: bool,
}

/// A published port, as far as the firewall cares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The port as the file has it, `published` filled in.
    pub port: Port,
    /// Where it leads.
    pub to: Ipv4Addr,
    /// The bridge that leads there.
    pub bridge: String,
}

/// The table's chains, in the order of their text.
const CHAINS: [(&str, &str); 4] = [
    ("prerouting", "type nat hook prerouting priority dstnat; policy accept;"),
    ("postrouting", "type nat hook postrouting priority srcnat; policy accept;"),
    ("forward", "type filter hook forward priority filter; policy accept;"),
    ("input", "type filter hook input priority filter; policy accept;"),
];

/// One rule, in the chain it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    chain: &'static str,
    text: String,
}

impl Rule {
    /// Order matters within a chain and duplicates do not occur, so that chain
    /// and text identify a rule.
    fn id(&self) -> RuleId {
        RuleId(names::hash(&[self.chain, &self.text], 10))
    }
}

impl Ruleset {
    /// Every rule with its name: `forward oifname "wl-…" drop`.
    pub fn rules(&self) -> Vec<(RuleId, String)> {
        let rules = self.ordered().into_iter();
        rules.map(|rule| (rule.id(), format!("{} {}", rule.chain, rule.text))).collect()
    }

    /// What [`crate::engine::Networks::observe_firewall`] gives when all is there.
    pub fn rule_ids(&self) -> BTreeSet<RuleId> {
        self.ordered().iter().map(Rule::id).collect()
    }

    /// The script for `nft -f -`: one transaction that replaces the table,
    /// whether or not it is there.
    pub fn text(&self) -> String {
        let table = &self.table;
        let rules = self.ordered();
        let mut text = format!("table inet {table}\ndelete table inet {table}\n");
        let _ = writeln!(text, "table inet {table} {{");
        for (chain, head) in CHAINS {
            let _ = writeln!(text, "  chain {chain} {{\n    {head}");
            for rule in rules.iter().filter(|rule| rule.chain == chain) {
                let _ = writeln!(text, "    {} comment \"{}\"", rule.text, rule.id().0);
            }
            text.push_str("  }\n");
        }
        text.push_str("}\n");
        text
    }

    fn ordered(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut add = |chain: &'static str, text: String| rules.push(Rule { chain, text });
        for published in &self.published {
            if let Some(text) = self.translation(published) {
                add("prerouting", text);
            }
        }
        for network in self.networks.iter().filter(|network| !network.internal) {
            let RulesetNetwork { bridge, subnet, .. } = network;
            add("postrouting", format!("ip saddr {subnet} oifname != \"{bridge}\" masquerade"));
        }
        for RulesetNetwork { bridge, internal, .. } in &self.networks {
            add("forward", format!("iifname \"{bridge}\" oifname \"{bridge}\" accept"));
            if *internal {
                add("forward", format!("iifname \"{bridge}\" drop"));
                add("forward", format!("oifname \"{bridge}\" drop"));
            }
        }
        for RulesetNetwork { bridge, .. } in self.networks.iter().filter(|one| !one.internal) {
            let states = "{ established, related }";
            add("forward", format!("oifname \"{bridge}\" ct state {states} accept"));
            add("forward", format!("oifname \"{bridge}\" ct status dnat accept"));
            add("forward", format!("oifname \"{bridge}\" drop"));
        }
        for RulesetNetwork { bridge, .. } in self.networks.iter().filter(|one| !one.internal) {
            add("forward", format!("iifname \"{bridge}\" accept"));
        }
        for RulesetNetwork { bridge, subnet, .. } in &self.networks {
            let dns = "meta l4proto { tcp, udp } th dport 53";
            add("input", format!("iifname \"{bridge}\" {dns} accept"));
            add(
                "input",
                format!("iifname != {{ \"lo\", \"{bridge}\" }} ip daddr {subnet} {dns} drop"),
            );
        }
        rules
    }

    /// Where a published port leads; `None` where only the forwarder serves it:
    /// on the loopback, over IPv6, and into an internal network.
    fn translation(&self, published: &Published) -> Option<String> {
        let Published { port, to, bridge } = published;
        let internal = self.networks.iter().any(|one| one.internal && &one.bridge == bridge);
        let number = port.published.filter(|_| !internal)?;
        let address = match port.host_ip {
            None => String::new(),
            Some(IpAddr::V4(any)) if any.is_unspecified() => String::new(),
            Some(IpAddr::V4(address)) if !address.is_loopback() => format!(" ip daddr {address}"),
            Some(_) => return None,
        };
        let (protocol, target) = (port.protocol, port.target);
        Some(format!(
            "iifname != {{ \"lo\", \"{bridge}\" }} fib daddr type local{address} \
             {protocol} dport {number} dnat ip to {to}:{target}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Protocol;

    fn published(host_ip: Option<&str>, number: u16, protocol: Protocol) -> Published {
        let host_ip = host_ip.map(|ip| ip.parse().expect("an address"));
        Published {
            port: Port { host_ip, published: Some(number), target: 80, protocol },
            to: Ipv4Addr::new(10, 77, 0, 3),
            bridge: "wl-back".to_owned(),
        }
    }

    fn network(bridge: &str, subnet: &str, internal: bool) -> RulesetNetwork {
        let subnet = subnet.parse().expect("a subnet");
        RulesetNetwork { bridge: bridge.to_owned(), subnet, internal }
    }

    fn two_networks() -> Ruleset {
        Ruleset {
            table: "windlass_0123456789".to_owned(),
            networks: vec![
                network("wl-back", "10.77.0.0/24", false),
                network("wl-dark", "10.77.1.0/24", true),
            ],
            published: BTreeSet::from([
                published(None, 8080, Protocol::Tcp),
                published(Some("192.0.2.7"), 5353, Protocol::Udp),
                published(Some("127.0.0.1"), 9000, Protocol::Tcp),
                published(Some("::1"), 9001, Protocol::Tcp),
            ]),
        }
    }

    #[test]
    fn the_whole_table() {
        let text = two_networks().text();
        let without_ids: Vec<&str> =
            text.lines().map(|line| line.split(" comment ").next().unwrap_or(line)).collect();
        insta::assert_snapshot!(without_ids.join("\n"));
    }

    #[test]
    fn every_rule_carries_its_own_name() {
        let ruleset = two_networks();
        let rules = ruleset.rules();
        assert_eq!(ruleset.rule_ids().len(), rules.len(), "no two rules share a name");
        for (id, _) in &rules {
            assert_eq!(ruleset.text().matches(&id.0).count(), 1);
        }
        let mut changed = ruleset.clone();
        changed.published.insert(published(None, 8081, Protocol::Tcp));
        assert_eq!(changed.rule_ids().difference(&ruleset.rule_ids()).count(), 1);
        assert!(ruleset.rule_ids().is_subset(&changed.rule_ids()));
    }

    #[test]
    fn nothing_leads_into_an_internal_network() {
        let mut ruleset = two_networks();
        ruleset.networks[0].internal = true;
        assert!(!ruleset.text().contains("dnat ip to"));
        assert!(!ruleset.text().contains("masquerade"));
    }
}
