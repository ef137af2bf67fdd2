//! Chooses free subnets and addresses. Pure and deterministic: the first that
//! is free in a fixed order. It never looks at the host; what is taken is given.
//!
//! Subnets are /24s from these pools, in this order:
//!
//! | pool | why |
//! |---|---|
//! | `10.77.0.0/16` | seldom used by homes, clouds, Docker or libvirt |
//! | `172.30.0.0/16` | for hosts whose VPN routes all of `10.0.0.0/8` |
//! | `192.168.128.0/17` | for hosts where that one is taken too |
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::stack::Port;

/// Where subnets are taken from, in this order.
const POOLS: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(10, 77, 0, 0), 16),
    (Ipv4Addr::new(172, 30, 0, 0), 16),
    (Ipv4Addr::new(192, 168, 128, 0), 17),
];

/// Length of the prefix of a chosen subnet.
const PREFIX: u8 = 24;

/// The first /24 that overlaps nothing in `taken`; `None`: every pool is used up.
///
/// ```
/// # use windlass::network::allocation::subnet;
/// let taken = ["10.77.0.0/23".parse().unwrap()];
/// assert_eq!(subnet(&taken), Some("10.77.2.0/24".parse().unwrap()));
/// ```
pub fn subnet<'a>(taken: impl IntoIterator<Item = &'a Ipv4Net>) -> Option<Ipv4Net> {
    let taken: Vec<&Ipv4Net> = taken.into_iter().collect();
    POOLS
        .iter()
        .filter_map(|(address, prefix)| Ipv4Net::new(*address, *prefix).ok())
        .filter_map(|pool| pool.subnets(PREFIX).ok())
        .flatten()
        .find(|candidate| !taken.iter().any(|other| overlap(candidate, other)))
}

/// Whether two subnets share an address.
pub fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The gateway of a subnet whose file names none: its first host address.
/// `None`: the subnet is too small to hold a gateway and one instance.
pub fn gateway(subnet: Ipv4Net) -> Option<Ipv4Addr> {
    hosts(subnet).next()
}

/// The first host address of `subnet` that is neither the gateway nor taken;
/// `None`: the subnet is full.
pub fn address(subnet: Ipv4Net, gateway: Ipv4Addr, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    hosts(subnet).find(|candidate| *candidate != gateway && !taken.contains(candidate))
}

/// Whether `address` can be given to a gateway or an instance of `subnet`.
pub fn is_host(subnet: Ipv4Net, address: Ipv4Addr) -> bool {
    subnet.prefix_len() <= 30
        && subnet.contains(&address)
        && address != subnet.network()
        && address != subnet.broadcast()
}

/// The host's port under which `wanted` is open, where the file leaves the
/// number to us; `open` is what
/// [`crate::engine::Networks::observe_ports`] gave for the instance.
pub fn published(wanted: &Port, open: &BTreeSet<Port>) -> Option<u16> {
    let same = |one: &&Port| {
        (one.host_ip, one.target, one.protocol) == (wanted.host_ip, wanted.target, wanted.protocol)
    };
    wanted.published.or_else(|| open.iter().find(same)?.published)
}

/// Host addresses in ascending order, never the network's own or the
/// broadcast address; nothing for /31 and /32.
fn hosts(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let enough = subnet.prefix_len() <= 30;
    subnet.hosts().filter(move |_| enough)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a subnet")
    }

    #[test]
    fn pools_follow_one_another() {
        assert_eq!(subnet([]), Some(net("10.77.0.0/24")));
        assert_eq!(subnet([&net("10.0.0.0/8")]), Some(net("172.30.0.0/24")));
        let two = [net("10.0.0.0/8"), net("172.16.0.0/12")];
        assert_eq!(subnet(&two), Some(net("192.168.128.0/24")));
    }

    #[test]
    fn exhaustion_gives_nothing() {
        assert_eq!(subnet([&net("0.0.0.0/0")]), None);
        let full = BTreeSet::from(["10.0.0.2".parse().expect("an address")]);
        let first = gateway(net("10.0.0.0/30")).expect("a gateway");
        assert_eq!(address(net("10.0.0.0/30"), first, &full), None);
        assert_eq!(gateway(net("10.0.0.0/31")), None);
        assert_eq!(gateway(net("10.0.0.7/32")), None);
    }

    #[test]
    fn a_large_subnet_is_not_walked_whole() {
        let all = net("10.0.0.0/8");
        assert_eq!(address(all, "10.0.0.1".parse().expect("ip"), &BTreeSet::new()), {
            Some("10.0.0.2".parse().expect("ip"))
        });
    }

    #[test]
    fn every_subnet_of_every_pool_is_given_out_once() {
        let mut taken = vec![net("10.77.4.0/22"), net("172.30.0.0/17")];
        while let Some(chosen) = subnet(&taken) {
            taken.push(chosen);
        }
        assert_eq!(taken.len(), 2 + (256 - 4) + 128 + 128);
    }

    fn any_subnet() -> impl Strategy<Value = Ipv4Net> {
        let near = (0u8..4, any::<u8>(), 17u8..=32).prop_map(|(pool, third, prefix)| {
            let base = match pool {
                0 | 1 => Ipv4Addr::new(10, 77, third, 0),
                2 => Ipv4Addr::new(172, 30, third, 0),
                _ => Ipv4Addr::new(192, 168, third, 0),
            };
            Ipv4Net::new(base, prefix).expect("a prefix").trunc()
        });
        let far = (any::<u32>(), 8u8..=32).prop_map(|(bits, prefix)| {
            Ipv4Net::new(bits.into(), prefix).expect("a prefix").trunc()
        });
        prop_oneof![3 => near, 1 => far]
    }

    proptest! {
        #[test]
        fn a_chosen_subnet_meets_no_other(taken in prop::collection::vec(any_subnet(), 0..80)) {
            if let Some(chosen) = subnet(&taken) {
                prop_assert_eq!(chosen.prefix_len(), 24);
                for other in &taken {
                    prop_assert!(!chosen.contains(other) && !other.contains(&chosen));
                }
            }
            prop_assert_eq!(subnet(&taken), subnet(taken.iter().rev()));
        }

        #[test]
        fn addresses_are_distinct_hosts_until_the_subnet_is_full(
            bits in any::<u32>(), prefix in 24u8..=32, skip in 0usize..4,
        ) {
            let subnet = Ipv4Net::new(bits.into(), prefix).expect("a prefix").trunc();
            let gateway = hosts(subnet).nth(skip).unwrap_or(subnet.network());
            let mut taken = BTreeSet::new();
            while let Some(chosen) = address(subnet, gateway, &taken) {
                prop_assert!(is_host(subnet, chosen));
                prop_assert_ne!(chosen, gateway);
                prop_assert!(taken.insert(chosen));
            }
            let usable = if prefix <= 30 { (1usize << (32 - prefix)) - 2 } else { 0 };
            let of_gateway = usize::from(is_host(subnet, gateway));
            prop_assert_eq!(taken.len(), usable - of_gateway);
        }
    }
}
