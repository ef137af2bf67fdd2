//! Who listens on the host's ports, from `/proc/net`: looked up only for ports
//! that somebody wants and cannot have.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::allocation::ANY_PORT;
use super::forwarder;
use crate::facts::PortOwner;
use crate::stack::Protocol;

/// `TCP_LISTEN` and, for UDP, a socket that is bound and not connected.
const LISTENING: [(&str, Protocol, u8); 4] = [
    ("tcp", Protocol::Tcp, 0x0A),
    ("tcp6", Protocol::Tcp, 0x0A),
    ("udp", Protocol::Udp, 0x07),
    ("udp6", Protocol::Udp, 0x07),
];

/// A socket that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    protocol: Protocol,
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// Ports that may be wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These.
    pub fixed: BTreeSet<(Protocol, u16)>,
    /// Any of [`ANY_PORT`] of these protocols.
    pub any: BTreeSet<Protocol>,
    /// But none of these.
    pub not: BTreeSet<(Protocol, u16)>,
}

impl Wanted {
    /// Whether any port of this protocol may be wanted.
    fn has(&self, protocol: Protocol) -> bool {
        self.any.contains(&protocol)
            || self.fixed.difference(&self.not).any(|(wanted, _)| *wanted == protocol)
    }

    fn contains(&self, protocol: Protocol, port: u16) -> bool {
        let any = self.any.contains(&protocol) && ANY_PORT.contains(&port);
        (any || self.fixed.contains(&(protocol, port))) && !self.not.contains(&(protocol, port))
    }
}

/// Those of the wanted ports that somebody listens on. Forwarders whose file
/// lies below `own` (the stack's directory of this boot) are left out.
pub fn taken(wanted: &Wanted, own: &Path) -> BTreeMap<(Protocol, u16), PortOwner> {
    let mut listeners = listeners(|protocol| wanted.has(protocol));
    listeners.retain(|one| wanted.contains(one.protocol, one.port));
    let inodes: BTreeSet<u64> = listeners.iter().map(|one| one.inode).collect();
    let holders = if inodes.is_empty() { BTreeMap::new() } else { holders(&inodes) };
    let mut taken = BTreeMap::new();
    for listener in listeners {
        let holder = holders.get(&listener.inode);
        if holder.is_some_and(|holder| holder.file.as_ref().is_some_and(|f| f.starts_with(own))) {
            continue;
        }
        let owner =
            PortOwner { address: listener.address, who: holder.map(|holder| holder.who.clone()) };
        let key = (listener.protocol, listener.port);
        // Whoever has all addresses is in everybody's way.
        if owner.address.is_unspecified() || !taken.contains_key(&key) {
            taken.insert(key, owner);
        }
    }
    taken
}

/// Addresses that no interface has and at which somebody else answers for names
/// all the same, with who: of a network whose bridge was deleted by hand.
pub fn stray_name_servers(own: &Path, assigned: &BTreeSet<Ipv4Addr>) -> BTreeMap<Ipv4Addr, String> {
    let served = |one: &Listener| {
        let stray = matches!(one.address, IpAddr::V4(address) if !assigned.contains(&address)
            && !address.is_unspecified() && !address.is_loopback());
        stray && one.protocol == Protocol::Udp && one.port == 53
    };
    let mut listeners = listeners(|protocol| protocol == Protocol::Udp);
    listeners.retain(served);
    let inodes: BTreeSet<u64> = listeners.iter().map(|one| one.inode).collect();
    let holders = if inodes.is_empty() { BTreeMap::new() } else { holders(&inodes) };
    let mut found = BTreeMap::new();
    for listener in listeners {
        let holder = holders.get(&listener.inode);
        let is_own = holder.is_some_and(|it| it.file.as_ref().is_some_and(|f| f.starts_with(own)));
        if let IpAddr::V4(address) = listener.address
            && !is_own
        {
            let who = holder.map_or("a name server", |holder| &*holder.who);
            found.insert(address, who.to_owned());
        }
    }
    found
}

/// Why a port could not be bound, in words that name who holds it.
pub(super) fn bind_failure(error: &io::Error, protocol: Protocol, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = (protocol, address.port());
            let nowhere = Path::new("/nonexistent");
            let wanted = Wanted { fixed: [port].into(), ..Wanted::default() };
            let who = taken(&wanted, nowhere)
                .remove(&port)
                .and_then(|owner| owner.who)
                .map_or(String::new(), |who| format!(" by {who}"));
            format!("{protocol} port {} is in use{who}", address.port())
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("`{}` is not an address of this host", address.ip())
        }
        _ => error.to_string(),
    }
}

/// Whoever listens by these protocols. To list TCP's sockets the kernel walks
/// through all connections there may be, so it is asked only where that matters.
fn listeners(of: impl Fn(Protocol) -> bool) -> Vec<Listener> {
    let tables = LISTENING.iter().filter(|(_, protocol, _)| of(*protocol)).flat_map(
        |(table, protocol, state)| {
            // The calling thread's namespace, not the first thread's.
            let text = fs::read_to_string(format!("/proc/thread-self/net/{table}"));
            let text = text.unwrap_or_default();
            let lines = text.lines().skip(1);
            lines.filter_map(|line| listener(line, *protocol, *state)).collect::<Vec<_>>()
        },
    );
    tables.collect()
}

/// One line: `sl local_address rem_address st … inode`.
fn listener(line: &str, protocol: Protocol, listening: u8) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
    if state != listening {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        protocol,
        address: hexadecimal_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The kernel prints addresses as words in the machine's own byte order.
fn hexadecimal_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// A process that holds a socket.
struct Holder {
    /// `nginx (pid 812)`, `stack shop`.
    who: String,
    /// The file of a forwarder.
    file: Option<PathBuf>,
}

/// The processes that have these sockets open, as far as one may look.
fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Holder> {
    let mut found = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for descriptor in descriptors {
            let Some(inode) = socket_inode(&descriptor.path()) else { continue };
            if inodes.contains(&inode) && !found.contains_key(&inode) {
                found.insert(inode, holder(pid));
            }
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

fn socket_inode(descriptor: &Path) -> Option<u64> {
    let target = fs::read_link(descriptor).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder(pid: i32) -> Holder {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let file = forwarder_file(&arguments);
    let stack = file.as_deref().and_then(forwarder::stack_of);
    let who = stack.map_or_else(
        || {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} (pid {pid})", name.trim_end())
        },
        |stack| format!("stack {stack}"),
    );
    Holder { who, file }
}

/// The file in a command line `windlass internal forward FILE`.
fn forwarder_file(arguments: &[u8]) -> Option<PathBuf> {
    let mut words = arguments.split(|byte| *byte == 0).skip(1);
    let ours = words.next() == Some(b"internal") && words.next() == Some(b"forward");
    ours.then(|| words.next().map(|file| OsString::from_vec(file.to_vec()).into()))?
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_taken_port_names_its_process() {
        let stream = TcpListener::bind("127.0.0.1:0").expect("listen");
        let datagram = UdpSocket::bind("[::1]:0").expect("bind");
        let tcp = (Protocol::Tcp, stream.local_addr().expect("address").port());
        let udp = (Protocol::Udp, datagram.local_addr().expect("address").port());
        let wanted = Wanted { fixed: [tcp, udp].into(), ..Wanted::default() };
        let found = taken(&wanted, Path::new("/nonexistent"));
        assert_eq!(found[&tcp].address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(found[&udp].address, IpAddr::V6(Ipv6Addr::LOCALHOST));
        let own = format!("(pid {})", std::process::id());
        assert!(found[&tcp].who.as_ref().is_some_and(|who| who.ends_with(&own)), "{found:?}");
        assert!(taken(&Wanted::default(), Path::new("/")).is_empty());
    }

    #[test]
    fn a_forwarder_is_known_by_its_arguments() {
        let file = forwarder_file(b"windlass\0internal\0forward\0/run/x/forward.json\0");
        assert_eq!(file, Some("/run/x/forward.json".into()));
        assert_eq!(forwarder_file(b"nginx\0internal\0"), None);
        assert_eq!(forwarder_file(b""), None);
    }
}
