//! What the plan must know about the host's networks: subnets that are taken
//! and by whom, the uplink's MTU. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::kernel::{Assigned, Kernel, Link, Route};
use super::label;
use crate::stack::StackName;

/// MTU of a host without an uplink.
const DEFAULT_MTU: u32 = 1500;

/// A route this wide is a default route, also where a VPN writes two halves.
const WIDEST_ROUTE: u8 = 8;

/// Subnets and MTU, as the plan wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Subnets that something else has, with who: `route via eth0`, `stack shop`.
    pub taken_subnets: BTreeMap<Ipv4Net, String>,
    /// The uplink's MTU.
    pub uplink_mtu: u32,
    /// Every address that an interface has.
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// Looks at the caller's namespace. What `stack` of the state directory
/// `home_id` has itself is left out.
pub fn look(home_id: &str, stack: &StackName) -> io::Result<HostNetwork> {
    let mut kernel = Kernel::open()?;
    let links = kernel.links()?;
    let routes = kernel.routes()?;
    let addresses = kernel.addresses()?;
    let list: Vec<Link> = links.values().cloned().collect();
    let taken_subnets = taken(&list, &addresses, &routes, |link| {
        let label = link.alias.as_deref().and_then(label::parse);
        label.is_some_and(|label| label.home_id == home_id && label.stack == stack.as_str())
    });
    let uplink_mtu = uplink_mtu(&links, &routes);
    let addresses = addresses.iter().map(|one| one.address.addr()).collect();
    Ok(HostNetwork { taken_subnets, uplink_mtu, addresses })
}

/// The MTU of the default route with the lowest metric.
fn uplink_mtu(links: &BTreeMap<u32, Link>, routes: &[Route]) -> u32 {
    let default = routes.iter().filter(|route| route.destination.prefix_len() == 0);
    let uplink = default.min_by_key(|route| route.metric).and_then(|route| route.links.first());
    uplink.and_then(|index| links.get(index)).map_or(DEFAULT_MTU, |link| link.mtu)
}

/// Subnets of routes and addresses, except those of links that are `own`.
pub(super) fn taken(
    links: &[Link],
    addresses: &[Assigned],
    routes: &[Route],
    own: impl Fn(&Link) -> bool,
) -> BTreeMap<Ipv4Net, String> {
    let by_index: BTreeMap<u32, &Link> = links.iter().map(|link| (link.index, link)).collect();
    let own: BTreeSet<u32> = links.iter().filter(|link| own(link)).map(|link| link.index).collect();
    let mut taken = BTreeMap::new();
    for route in routes {
        let ours = !route.links.is_empty() && route.links.iter().all(|link| own.contains(link));
        if ours || route.destination.prefix_len() < WIDEST_ROUTE {
            continue;
        }
        let via = route.links.iter().find_map(|index| by_index.get(index));
        let owner = via.map_or("a route that leads nowhere".to_owned(), |link| {
            stack_of(link).unwrap_or_else(|| format!("route via {}", link.name))
        });
        taken.entry(route.destination).or_insert(owner);
    }
    for assigned in addresses.iter().filter(|assigned| !own.contains(&assigned.link)) {
        let Some(link) = by_index.get(&assigned.link) else { continue };
        let owner = stack_of(link).unwrap_or_else(|| format!("address of {}", link.name));
        taken.entry(assigned.address.trunc()).or_insert(owner);
    }
    taken
}

fn stack_of(link: &Link) -> Option<String> {
    let label = link.alias.as_deref().and_then(label::parse)?;
    Some(format!("stack {}", label.stack))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, alias: Option<&str>) -> Link {
        let alias = alias.map(str::to_owned);
        Link { index, name: name.to_owned(), alias, mtu: 1400, ..Link::default() }
    }

    fn route(destination: &str, links: &[u32], metric: u32) -> Route {
        let destination = destination.parse().expect("a subnet");
        Route { destination, links: links.to_vec(), metric }
    }

    #[test]
    fn taken_subnets_name_who_has_them() {
        let links = [
            link(2, "eth0", None),
            link(3, "wl-own", Some("windlass:h:shop:network back")),
            link(4, "wl-other", Some("windlass:h:blog:network back")),
            link(5, "tun0", None),
        ];
        let routes = [
            route("0.0.0.0/0", &[2], 0),
            route("0.0.0.0/1", &[5], 0),
            route("10.77.0.0/24", &[3], 0),
            route("10.77.1.0/24", &[4], 0),
            route("192.168.0.0/16", &[5], 0),
            route("10.99.0.0/16", &[], 0),
        ];
        let down = Assigned { link: 2, address: "172.30.4.7/24".parse().expect("an address") };
        let taken = taken(&links, &[down], &routes, |link| link.name == "wl-own");
        let said: Vec<String> =
            taken.iter().map(|(subnet, owner)| format!("{subnet} {owner}")).collect();
        assert_eq!(
            said,
            [
                "10.77.1.0/24 stack blog",
                "10.99.0.0/16 a route that leads nowhere",
                "172.30.4.0/24 address of eth0",
                "192.168.0.0/16 route via tun0",
            ]
        );
    }

    #[test]
    fn the_uplink_is_the_default_route_with_the_lowest_metric() {
        let mut slow = link(7, "wlan0", None);
        slow.mtu = 1280;
        let links = BTreeMap::from([(2, link(2, "eth0", None)), (7, slow)]);
        let routes = [route("0.0.0.0/0", &[7], 600), route("0.0.0.0/0", &[2], 100)];
        assert_eq!(uplink_mtu(&links, &routes), 1400);
        assert_eq!(uplink_mtu(&links, &[]), 1500);
    }
}
