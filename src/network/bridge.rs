//! A network's bridge: made, mended, removed. It never touches an interface
//! that does not carry our label.

use std::io;

use ipnet::Ipv4Net;

use super::kernel::{Assigned, Kernel, Link, Route};
use super::{NetworkPlan, allocation, claims, label};
use crate::state::{StateError, names};

/// What can go wrong with a bridge.
#[derive(Debug, thiserror::Error)]
pub(super) enum BridgeError {
    /// Another interface has the name.
    #[error("an interface `{name}` is there and is not ours")]
    NotOurs {
        /// The interface.
        name: String,
    },
    /// The subnet is somebody else's.
    #[error("the subnet `{subnet}` overlaps {other} ({owner})")]
    Taken {
        /// What was wanted.
        subnet: Ipv4Net,
        /// What is there.
        other: Ipv4Net,
        /// Who has it.
        owner: String,
    },
    /// The gateway is no address of the subnet.
    #[error("the gateway `{gateway}` is not a host address of `{subnet}`")]
    Gateway {
        /// The gateway.
        gateway: std::net::Ipv4Addr,
        /// The subnet.
        subnet: Ipv4Net,
    },
    /// The host-wide lock could not be taken.
    #[error(transparent)]
    Claims(#[from] StateError),
    /// The kernel refused.
    #[error("cannot {operation}")]
    Kernel {
        /// `make the bridge`, `set its address` …
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl BridgeError {
    fn kernel(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Kernel { operation, source }
    }
}

/// Has the bridge: makes what is missing of it, changes what differs. Two
/// callers on one host never end up with overlapping subnets: the check and the
/// making happen under one lock.
pub(super) fn ensure(plan: &NetworkPlan) -> Result<(), BridgeError> {
    let BridgeAddress(address) = BridgeAddress::of(plan)?;
    let _lock = claims::lock()?;
    let mut kernel = Kernel::open().map_err(BridgeError::kernel("speak to the kernel"))?;
    let seen = Seen::look(&mut kernel).map_err(BridgeError::kernel("look at the interfaces"))?;
    let found = seen.named(&plan.bridge);
    if found.is_some_and(|link| !is_ours(link, plan)) {
        return Err(BridgeError::NotOurs { name: plan.bridge.clone() });
    }
    seen.refuse_overlap(plan)?;

    if found.is_none() {
        kernel
            .make_bridge(&plan.bridge, &mac(&plan.label), plan.mtu)
            .map_err(BridgeError::kernel("make the bridge"))?;
        tracing::debug!(bridge = plan.bridge, network = plan.name, "made a bridge");
    }
    let seen = Seen::look(&mut kernel).map_err(BridgeError::kernel("look at the interfaces"))?;
    let link = seen.named(&plan.bridge).ok_or_else(|| {
        BridgeError::kernel("find the bridge")(io::Error::from(io::ErrorKind::NotFound))
    })?;
    mend(&mut kernel, link, &seen, plan, address)
}

/// The gateway's address with the subnet's prefix, known to be sound.
struct BridgeAddress(Ipv4Net);

impl BridgeAddress {
    fn of(plan: &NetworkPlan) -> Result<Self, BridgeError> {
        let wrong = BridgeError::Gateway { gateway: plan.gateway, subnet: plan.subnet };
        if !allocation::is_host(plan.subnet, plan.gateway) {
            return Err(wrong);
        }
        Ipv4Net::new(plan.gateway, plan.subnet.prefix_len()).map(Self).map_err(|_| wrong)
    }
}

/// Everything that is compared with a plan, looked at once.
struct Seen {
    links: Vec<Link>,
    addresses: Vec<Assigned>,
    routes: Vec<Route>,
}

impl Seen {
    fn look(kernel: &mut Kernel) -> io::Result<Self> {
        Ok(Self {
            links: kernel.links()?.into_values().collect(),
            addresses: kernel.addresses()?,
            routes: kernel.routes()?,
        })
    }

    fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Refuses a subnet that a route or an address of any other interface overlaps.
    fn refuse_overlap(&self, plan: &NetworkPlan) -> Result<(), BridgeError> {
        let own = self.named(&plan.bridge).map(|link| link.index);
        let taken = super::facts::taken(&self.links, &self.addresses, &self.routes, |link| {
            Some(link.index) == own
        });
        let other = taken.into_iter().find(|(other, _)| allocation::overlap(&plan.subnet, other));
        match other {
            Some((other, owner)) => Err(BridgeError::Taken { subnet: plan.subnet, other, owner }),
            None => Ok(()),
        }
    }
}

/// The label before the link comes up: from then on everybody sees whose it is.
fn mend(
    kernel: &mut Kernel,
    link: &Link,
    seen: &Seen,
    plan: &NetworkPlan,
    address: Ipv4Net,
) -> Result<(), BridgeError> {
    let failed = BridgeError::kernel;
    if link.alias.as_ref() != Some(&plan.label) {
        kernel.set_alias(link.index, &plan.label).map_err(failed("label the bridge"))?;
    }
    if link.mtu != plan.mtu {
        kernel.set_mtu(link.index, plan.mtu).map_err(failed("set the bridge's MTU"))?;
    }
    let on_it = |assigned: &&Assigned| assigned.link == link.index;
    for assigned in seen.addresses.iter().filter(on_it).filter(|other| other.address != address) {
        kernel
            .remove_address(link.index, assigned.address)
            .map_err(failed("remove an address of the bridge"))?;
    }
    if !seen.addresses.iter().filter(on_it).any(|assigned| assigned.address == address) {
        kernel.add_address(link.index, address).map_err(failed("set the bridge's address"))?;
    }
    if !link.up {
        kernel.set_up(link.index).map_err(failed("bring the bridge up"))?;
    }
    Ok(())
}

/// Removes the bridge, if it is there and ours.
pub(super) fn remove(plan: &NetworkPlan) -> Result<(), BridgeError> {
    let mut kernel = Kernel::open().map_err(BridgeError::kernel("speak to the kernel"))?;
    let links = kernel.links().map_err(BridgeError::kernel("look at the interfaces"))?;
    let Some(link) = links.values().find(|link| link.name == plan.bridge) else {
        return Ok(());
    };
    if !is_ours(link, plan) {
        return Err(BridgeError::NotOurs { name: plan.bridge.clone() });
    }
    match kernel.remove_link(link.index) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other.map_err(BridgeError::kernel("remove the bridge")),
    }
}

/// Whether it carries our label, or is one of ours whose maker was killed
/// before it could put the label on: its hardware address tells.
fn is_ours(link: &Link, plan: &NetworkPlan) -> bool {
    match &link.alias {
        Some(alias) => label::same_owner(alias, &plan.label),
        None => link.bridge && !link.up && link.mac == mac(&plan.label),
    }
}

/// A locally administered address that is a function of the label.
fn mac(label: &str) -> [u8; 6] {
    let mut mac = [0x02, 0, 0, 0, 0, 0];
    let _ = hex::decode_to_slice(names::hash(&["bridge", label], 10), &mut mac[1..]);
    mac
}
