//! Carries datagrams. Every client has a socket of its own towards the
//! instance, until neither has said anything for a while; answers leave from
//! the address that the client spoke to.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How long a client is remembered that says nothing and hears nothing.
const IDLE: Duration = Duration::from_mins(1);

/// How many clients are remembered at once.
const MOST: usize = 4096;

/// The largest datagram.
const LARGEST: usize = 65535;

/// Who spoke, and to which address of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    client: SocketAddr,
    local: Option<IpAddr>,
}

/// A client's way to the instance.
#[derive(Debug)]
struct Session {
    upstream: UdpSocket,
    last_heard: Cell<Instant>,
}

type Sessions = Rc<RefCell<HashMap<Peer, Rc<Session>>>>;

/// Carries every datagram to `to`, for good.
pub(super) fn serve(socket: UdpSocket, to: SocketAddr) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    spawn_local(listen(Rc::new(socket), to));
    Ok(())
}

async fn listen(socket: Rc<UdpSocket>, to: SocketAddr) {
    let sessions = Sessions::default();
    let mut bytes = vec![0; LARGEST];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut bytes)).await;
        // An error here is about an earlier answer that nobody took.
        let Ok((length, peer)) = received else { continue };
        let known = sessions.borrow().get(&peer).cloned();
        let session = match known {
            Some(session) => session,
            None if sessions.borrow().len() >= MOST => continue,
            None => {
                let Ok(session) = connect(to).await else { continue };
                let session = Rc::new(session);
                sessions.borrow_mut().insert(peer, Rc::clone(&session));
                spawn_local(answer(
                    Rc::clone(&socket),
                    peer,
                    Rc::clone(&session),
                    Rc::clone(&sessions),
                ));
                session
            }
        };
        session.last_heard.set(Instant::now());
        drop(session.upstream.send(&bytes[..length]).await);
    }
}

async fn connect(to: SocketAddr) -> io::Result<Session> {
    let upstream = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    upstream.connect(to).await?;
    Ok(Session { upstream, last_heard: Cell::new(Instant::now()) })
}

/// Brings the instance's answers back until both have been silent for long.
async fn answer(socket: Rc<UdpSocket>, peer: Peer, session: Rc<Session>, sessions: Sessions) {
    let mut bytes = Vec::new();
    loop {
        bytes.resize(LARGEST, 0);
        match timeout(IDLE, session.upstream.recv(&mut bytes)).await {
            Ok(Ok(length)) => {
                session.last_heard.set(Instant::now());
                let answer = &bytes[..length];
                drop(socket.async_io(Interest::WRITABLE, || send(&socket, answer, peer)).await);
            }
            // Nobody listens there now: the client asks again if it cares.
            Ok(Err(_)) => {}
            Err(_) if session.last_heard.get().elapsed() < IDLE => {}
            Err(_) => break,
        }
        // Between datagrams a client costs no buffer.
        bytes = Vec::new();
    }
    sessions.borrow_mut().remove(&peer);
}

fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> io::Result<(usize, Peer)> {
    let mut parts = [IoSliceMut::new(bytes)];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo);
    let descriptor = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(
        descriptor,
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let client = message.address.as_ref().and_then(socket_address);
    let client = client.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let local = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    });
    Ok((message.bytes, Peer { client, local }))
}

fn send(socket: &UdpSocket, bytes: &[u8], peer: Peer) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(peer.client);
    let send_with = |control: &[ControlMessage<'_>]| {
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_DONTWAIT, Some(&to))
    };
    let result = match peer.local {
        Some(IpAddr::V4(from)) => {
            let from = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
            send_with(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(IpAddr::V6(from)) => {
            let from = libc::in6_addr { s6_addr: from.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
            send_with(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
        None => send_with(&[]),
    };
    Ok(result?)
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn every_client_hears_its_own_answers() {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let to = upstream.local_addr().expect("address");
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
        let port = socket.local_addr().expect("address").port();
        let echo = async {
            let mut bytes = [0; 16];
            loop {
                let (length, from) = upstream.recv_from(&mut bytes).await.expect("hear");
                upstream.send_to(&bytes[..length], from).await.expect("answer");
            }
        };
        let ask = async |name: u8, address: Ipv4Addr| {
            let client = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
            client.connect((address, port)).await.expect("connect");
            client.send(&[name]).await.expect("ask");
            let mut answer = [0; 16];
            let length = client.recv(&mut answer).await.expect("answer from where it was asked");
            answer[..length].to_vec()
        };
        let both = async {
            serve(socket, to).expect("serve");
            let other = Ipv4Addr::new(127, 0, 0, 9);
            tokio::join!(ask(b'a', Ipv4Addr::LOCALHOST), ask(b'b', other))
        };
        let tasks = LocalSet::new();
        let answers = tasks.run_until(async {
            tokio::select! { answers = both => answers, () = echo => unreachable!() }
        });
        let answers = timeout(Duration::from_secs(5), answers).await.expect("in time");
        assert_eq!(answers, (vec![b'a'], vec![b'b']));
    }
}
