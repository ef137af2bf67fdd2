//! Opens the host's ports: all of them, or none.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::getsockname;

use super::ForwarderError;
use crate::network::sockets::{Presence, listen_on};
use crate::network::{allocation, ports};
use crate::plan::Forward;
use crate::stack::{Port, Protocol};

/// How often another free number is tried, where one is free for IPv4 alone.
const ATTEMPTS: usize = 16;

/// One published port, open.
#[derive(Debug)]
pub(super) struct Listening {
    /// With its number.
    pub(super) port: Port,
    /// Where it leads.
    pub(super) to: Ipv4Addr,
    /// TCP.
    pub(super) streams: Vec<TcpListener>,
    /// UDP.
    pub(super) datagrams: Vec<UdpSocket>,
}

/// Opens every port. Where the file leaves a number to us, the one that it had
/// `before` is taken again if it is free.
pub(super) fn open_all(
    forwards: &[Forward],
    before: &BTreeSet<Port>,
) -> Result<Vec<Listening>, ForwarderError> {
    let mut open: Vec<Listening> = Vec::new();
    // Numbers that the file gives first: a chosen one must not take theirs.
    let (given, chosen): (Vec<_>, Vec<_>) =
        forwards.iter().partition(|forward| forward.port.published.is_some());
    for forward in given.into_iter().chain(chosen) {
        let in_use: BTreeSet<u16> = open.iter().filter_map(|one| one.port.published).collect();
        let wish = allocation::published(&forward.port, before)
            .filter(|number| forward.port.published.is_some() || !in_use.contains(number));
        open.push(open_one(forward, wish)?);
    }
    Ok(open)
}

fn open_one(forward: &Forward, wish: Option<u16>) -> Result<Listening, ForwarderError> {
    let port = &forward.port;
    let opened = match (port.published, wish) {
        (Some(number), _) => bind(port, number),
        (None, Some(number)) => bind(port, number).or_else(|_| bind_any(port)),
        (None, None) => bind_any(port),
    };
    let (number, sockets) = opened?;
    let mut listening = Listening {
        port: Port { published: Some(number), ..port.clone() },
        to: forward.to,
        streams: Vec::new(),
        datagrams: Vec::new(),
    };
    match port.protocol {
        Protocol::Tcp => listening.streams.extend(sockets.into_iter().map(TcpListener::from)),
        Protocol::Udp => listening.datagrams.extend(sockets.into_iter().map(UdpSocket::from)),
    }
    Ok(listening)
}

fn bind_any(port: &Port) -> Result<(u16, Vec<OwnedFd>), ForwarderError> {
    (1..ATTEMPTS).find_map(|_| bind(port, 0).ok()).map_or_else(|| bind(port, 0), Ok)
}

/// Binds every address of the port to one number; 0: any that is free.
fn bind(port: &Port, number: u16) -> Result<(u16, Vec<OwnedFd>), ForwarderError> {
    let mut number = number;
    let mut sockets = Vec::new();
    for ip in addresses(port) {
        let address = SocketAddr::new(ip, number);
        match listen_on(port.protocol, address, Presence::Present) {
            Ok(socket) => {
                number = number_of(&socket)?;
                sockets.push(socket);
            }
            Err(error) if port.host_ip.is_none() && ip.is_ipv6() && no_ipv6(&error) => {}
            Err(error) => return Err(refusal(&error, port.protocol, address)),
        }
    }
    Ok((number, sockets))
}

/// Both loopbacks are reached by way of the unspecified addresses.
fn addresses(port: &Port) -> Vec<IpAddr> {
    match port.host_ip {
        Some(ip) => vec![ip],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// A host may have IPv6 turned off.
fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn refusal(error: &io::Error, protocol: Protocol, address: SocketAddr) -> ForwarderError {
    let said = ports::bind_failure(error, protocol, address);
    match error.kind() {
        io::ErrorKind::AddrInUse => ForwarderError::Taken(said),
        io::ErrorKind::AddrNotAvailable => ForwarderError::NoSuchAddress(said),
        _ => ForwarderError::System(format!(
            "cannot listen on {protocol} port {}: {said}",
            address.port()
        )),
    }
}

fn number_of(socket: &impl AsFd) -> io::Result<u16> {
    use std::os::fd::AsRawFd;
    let name: nix::sys::socket::SockaddrStorage = getsockname(socket.as_fd().as_raw_fd())?;
    let v4 = name.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    let v6 = name.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port);
    v4.or(v6).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(host_ip: Option<&str>, published: Option<u16>, protocol: Protocol) -> Forward {
        let host_ip = host_ip.map(|ip| ip.parse().expect("address"));
        let port = Port { host_ip, published, target: 80, protocol };
        Forward { port, to: Ipv4Addr::LOCALHOST }
    }

    fn number(listening: &Listening) -> u16 {
        listening.port.published.expect("a number")
    }

    #[test]
    fn a_chosen_number_is_taken_again() {
        let wanted = [forward(None, None, Protocol::Tcp), forward(None, None, Protocol::Udp)];
        let first = open_all(&wanted, &BTreeSet::new()).expect("open");
        let numbers: Vec<u16> = first.iter().map(number).collect();
        let before = first.iter().map(|one| one.port.clone()).collect();
        let second = open_all(&wanted, &before).expect("open beside");
        assert!(
            second.iter().zip(&numbers).all(|(one, number_before)| number(one) != *number_before)
        );
        drop((first, second));
        let third = open_all(&wanted, &before).expect("open again");
        assert_eq!(third.iter().map(number).collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let holder = TcpListener::bind("127.0.0.1:0").expect("listen");
        let taken = holder.local_addr().expect("address").port();
        let error = open_all(&[forward(None, Some(taken), Protocol::Tcp)], &BTreeSet::new());
        let said = error.expect_err("taken").to_string();
        assert!(said.starts_with(&format!("tcp port {taken} is in use by ")), "{said}");
        assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let wanted = forward(Some("192.0.2.1"), Some(8080), Protocol::Tcp);
        let error = open_all(&[wanted], &BTreeSet::new()).expect_err("no such address");
        assert!(matches!(error, ForwarderError::NoSuchAddress(_)), "{error:?}");
    }
}
