//! What the kernel knows about links, addresses and routes of the caller's
//! network namespace, and the few changes that bridges need. Synchronous, on the
//! calling thread, because a namespace belongs to a thread. It knows nothing of
//! stacks.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Its `ifalias`.
    pub(crate) alias: Option<String>,
    pub(crate) up: bool,
    pub(crate) bridge: bool,
    pub(crate) mac: Vec<u8>,
    pub(crate) mtu: u32,
}

/// An IPv4 address on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) link: u32,
    /// The address with its prefix.
    pub(crate) address: Ipv4Net,
}

/// An IPv4 route of any table but the local one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// `0.0.0.0/0`: a default route.
    pub(crate) destination: Ipv4Net,
    /// Where it leads; empty for blackholes and the like.
    pub(crate) links: Vec<u32>,
    pub(crate) metric: u32,
}

/// A conversation with the kernel about one network namespace.
#[derive(Debug)]
pub(crate) struct Kernel(Netlink);

impl Kernel {
    /// In the namespace that the calling thread is in.
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open().map(Self)
    }

    pub(crate) fn links(&mut self) -> io::Result<BTreeMap<u32, Link>> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = self.0.list(RouteNetlinkMessage::GetLink(question))?;
        let links = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        });
        Ok(links.map(|link| (link.index, link)).collect())
    }

    pub(crate) fn addresses(&mut self) -> io::Result<Vec<Assigned>> {
        let mut question = AddressMessage::default();
        question.header.family = AddressFamily::Inet;
        let answers = self.0.list(RouteNetlinkMessage::GetAddress(question))?;
        let addresses = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => assigned(&message),
            _ => None,
        });
        Ok(addresses.collect())
    }

    pub(crate) fn routes(&mut self) -> io::Result<Vec<Route>> {
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet;
        let answers = self.0.list(RouteNetlinkMessage::GetRoute(question))?;
        let routes = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => route(message),
            _ => None,
        });
        Ok(routes.collect())
    }

    /// Makes a bridge, down, with a hardware address that stays: a bridge
    /// without one of its own changes it whenever a port joins or leaves.
    pub(crate) fn make_bridge(&mut self, name: &str, mac: &[u8], mtu: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.0.make(RouteNetlinkMessage::NewLink(message))
    }

    pub(crate) fn set_alias(&mut self, link: u32, alias: &str) -> io::Result<()> {
        self.change(link, vec![LinkAttribute::IfAlias(alias.to_owned())])
    }

    pub(crate) fn set_mtu(&mut self, link: u32, mtu: u32) -> io::Result<()> {
        self.change(link, vec![LinkAttribute::Mtu(mtu)])
    }

    pub(crate) fn set_up(&mut self, link: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.0.change(RouteNetlinkMessage::SetLink(message))
    }

    pub(crate) fn remove_link(&mut self, link: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        self.0.change(RouteNetlinkMessage::DelLink(message))
    }

    pub(crate) fn add_address(&mut self, link: u32, address: Ipv4Net) -> io::Result<()> {
        let mut message = about_address(link, address);
        message.attributes.push(AddressAttribute::Broadcast(address.broadcast()));
        self.0.make(RouteNetlinkMessage::NewAddress(message))
    }

    pub(crate) fn remove_address(&mut self, link: u32, address: Ipv4Net) -> io::Result<()> {
        let message = about_address(link, address);
        self.0.change(RouteNetlinkMessage::DelAddress(message))
    }

    fn change(&mut self, link: u32, attributes: Vec<LinkAttribute>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes = attributes;
        self.0.change(RouteNetlinkMessage::SetLink(message))
    }
}

fn about_address(link: u32, address: Ipv4Net) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = address.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = link;
    let ip = IpAddr::V4(address.addr());
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::LinkInfo(infos) => {
                link.bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
            }
            _ => {}
        }
    }
    link
}

fn assigned(message: &AddressMessage) -> Option<Assigned> {
    // `Local` is the interface's own; on a point-to-point link `Address` is the peer's.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })?;
    let address = Ipv4Net::new(local, message.header.prefix_len).ok()?;
    Some(Assigned { link: message.header.index, address })
}

fn route(message: RouteMessage) -> Option<Route> {
    use RouteType::{BlackHole, Prohibit, Throw, Unicast, Unreachable};
    let kinds = [Unicast, BlackHole, Unreachable, Prohibit, Throw];
    if !kinds.contains(&message.header.kind) {
        return None;
    }
    let mut address = Ipv4Addr::UNSPECIFIED;
    let mut links = Vec::new();
    let mut metric = 0;
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(destination)) => address = destination,
            RouteAttribute::Oif(link) => links.push(link),
            RouteAttribute::Priority(priority) => metric = priority,
            RouteAttribute::MultiPath(hops) => {
                links.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    let destination = Ipv4Net::new(address, message.header.destination_prefix_length).ok()?;
    Some(Route { destination: destination.trunc(), links, metric })
}
