//! Sockets that listen on the host, bound exactly where they are asked to be.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

use crate::stack::Protocol;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Whether the address must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It must be an address of the host.
    Present,
    /// It may come and go, as a bridge's does when it is made again.
    ComesAndGoes,
}

/// A non-blocking socket that listens (TCP) or is bound (UDP). IPv6 means IPv6
/// alone: what is meant for both is bound twice.
pub(super) fn listen_on(
    protocol: Protocol,
    address: SocketAddr,
    presence: Presence,
) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, kind, flags, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if presence == Presence::ComesAndGoes {
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
    }
    if protocol == Protocol::Tcp {
        // For connections of a process before this one that are still ending;
        // another listener is refused all the same.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    if protocol == Protocol::Tcp {
        listen(&socket, Backlog::new(BACKLOG)?)?;
    }
    Ok(socket)
}
