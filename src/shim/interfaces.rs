//! The interfaces of a process: a veth pair for a container, an open tap for
//! QEMU. Both are held by the process alone: when it ends, they are gone.
#![expect(unsafe_code, reason = "the tun device is configured by an ioctl")]

use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::{Interface, Refusal};
use crate::netlink::{Netlink, link, link_up};

/// Enters a network namespace of its own and makes the interfaces there.
pub(super) fn enter_own_network(interfaces: &[Interface]) -> Result<(), Refusal> {
    // Numbers and socket of the host's namespace, before it is left.
    let mut host = Netlink::open().map_err(Refusal::system("open a netlink socket"))?;
    let bridges: Vec<u32> = interfaces.iter().map(bridge).collect::<Result<_, _>>()?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(Refusal::system("make a network namespace"))?;
    let own =
        File::open("/proc/self/ns/net").map_err(Refusal::system("open the network namespace"))?;
    let mut inside = Netlink::open().map_err(Refusal::system("open a netlink socket"))?;

    inside
        .change(RouteNetlinkMessage::NewLink(link_up("lo", Vec::new())))
        .map_err(Refusal::system("bring up `lo`"))?;
    for (number, (interface, bridge)) in interfaces.iter().zip(bridges).enumerate() {
        let failed = |error| of_interface(interface, &error);
        make_pair(&mut host, interface, bridge, &format!("eth{number}"), &own).map_err(failed)?;
        configure(&mut inside, interface, &format!("eth{number}")).map_err(failed)?;
    }
    open_low_ports();
    Ok(())
}

/// Opens the taps; each exists as long as its descriptor.
pub(super) fn open_taps(interfaces: &[Interface]) -> Result<Vec<OwnedFd>, Refusal> {
    if interfaces.is_empty() {
        return Ok(Vec::new());
    }
    let mut host = Netlink::open().map_err(Refusal::system("open a netlink socket"))?;
    interfaces
        .iter()
        .map(|interface| {
            let bridge = bridge(interface)?;
            open_tap(&mut host, interface, bridge).map_err(|error| of_interface(interface, &error))
        })
        .collect()
}

fn of_interface(interface: &Interface, error: &io::Error) -> Refusal {
    Refusal::system(format!("make the interface `{}`", interface.host_name))(error)
}

fn bridge(interface: &Interface) -> Result<u32, Refusal> {
    if_nametoindex(interface.bridge.as_str())
        .map_err(Refusal::system(format!("find the bridge `{}`", interface.bridge)))
}

fn hardware_address(text: &str) -> io::Result<Vec<u8>> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    bytes.filter(|bytes| bytes.len() == 6).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}` is no hardware address"))
    })
}

/// Both ends in one message: the host's on its bridge, the inner one already
/// in its namespace.
fn make_pair(
    host: &mut Netlink,
    interface: &Interface,
    bridge: u32,
    inner: &str,
    own: &File,
) -> io::Result<()> {
    let peer = link(
        inner,
        vec![
            LinkAttribute::Address(hardware_address(&interface.mac)?),
            LinkAttribute::Mtu(interface.mtu),
            LinkAttribute::NetNsFd(own.as_raw_fd()),
        ],
    );
    let attributes = vec![
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let pair = RouteNetlinkMessage::NewLink(link_up(&interface.host_name, attributes));
    match host.make(pair.clone()) {
        // The kernel takes a namespace away some time after its last process,
        // and the host's end of the pair with it. The name is this instance's
        // own, so whatever has it is what its last run left.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(host, &interface.host_name)?;
            host.make(pair)?;
        }
        other => other?,
    }
    // The kernel takes no alias while it makes a link.
    let label = vec![LinkAttribute::IfAlias(interface.label.clone())];
    host.change(RouteNetlinkMessage::NewLink(link(&interface.host_name, label)))
}

/// Removes the host's ends. They would go with the namespace, but only some time
/// after the last process in it: whoever waits for the shim finds them gone.
pub(super) fn remove_host_ends(interfaces: &[Interface]) -> io::Result<()> {
    if interfaces.is_empty() {
        return Ok(());
    }
    let mut host = Netlink::open()?;
    interfaces.iter().try_for_each(|interface| remove(&mut host, &interface.host_name))
}

/// Removes a link; one that is gone by then is as good.
fn remove(host: &mut Netlink, name: &str) -> io::Result<()> {
    match host.change(RouteNetlinkMessage::DelLink(link(name, Vec::new()))) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

fn configure(inside: &mut Netlink, interface: &Interface, name: &str) -> io::Result<()> {
    inside.change(RouteNetlinkMessage::NewLink(link_up(name, Vec::new())))?;
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = interface.prefix;
    address.header.index = if_nametoindex(name)?;
    let own = IpAddr::V4(interface.ipv4);
    address.attributes = vec![AddressAttribute::Local(own), AddressAttribute::Address(own)];
    let hosts = u32::MAX.checked_shr(u32::from(interface.prefix)).unwrap_or(0);
    if hosts > 1 {
        let broadcast = (interface.ipv4.to_bits() | hosts).into();
        address.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    inside.make(RouteNetlinkMessage::NewAddress(address))?;
    let Some(gateway) = interface.gateway else { return Ok(()) };
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    inside.make(RouteNetlinkMessage::NewRoute(route))
}

/// As Docker has it: a container needs no privilege for port 80 or a ping.
/// These belong to the namespace; a kernel without them has no such rule.
fn open_low_ports() {
    drop(std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
    drop(std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"));
}

fn open_tap(host: &mut Netlink, interface: &Interface, bridge: u32) -> io::Result<OwnedFd> {
    let tap = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.host_name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.host_name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
    // The flags are sixteen bits; that the last one is the sign is as it shall be.
    #[expect(clippy::cast_possible_truncation, reason = "the kernel's field is a short")]
    let flags = flags as libc::c_short;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: an open tun device and a request that lives through the call.
    if unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let attributes = vec![
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::Controller(bridge),
        LinkAttribute::IfAlias(interface.label.clone()),
    ];
    host.change(RouteNetlinkMessage::NewLink(link_up(&interface.host_name, attributes)))?;
    Ok(tap.into())
}
