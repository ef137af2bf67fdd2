//! The sockets of a name server: datagrams and streams in, answers out. Every
//! question is a task of its own, so that a slow resolver delays nobody else;
//! their number is bounded.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Served;
use super::answer::{self, Verdict};
use super::files::{Fresh, read_resolvers};
use super::upstream::{self, Transport, read_framed, write_framed};
use crate::network::sockets::Presence;
use crate::network::{accepting, sockets};
use crate::stack::Protocol;

/// How many questions may wait for resolvers at once.
const MOST_FORWARDED: usize = 512;

/// How many connections may be open at once.
const MOST_STREAMS: usize = 64;

/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);

/// The largest message over a stream.
const LARGEST: usize = 65535;

/// What all tasks share; they run on one thread.
#[derive(Debug)]
pub(super) struct Server {
    served: RefCell<Fresh<Served>>,
    resolvers: RefCell<Option<Fresh<Vec<SocketAddr>>>>,
    turn: Cell<usize>,
    forwarded: Cell<usize>,
    streams: Cell<usize>,
}

impl Server {
    pub(super) fn new(served: Fresh<Served>) -> Self {
        Self {
            served: RefCell::new(served),
            resolvers: RefCell::new(None),
            turn: Cell::new(0),
            forwarded: Cell::new(0),
            streams: Cell::new(0),
        }
    }

    /// Answers datagrams for good.
    pub(super) async fn datagrams(self: Rc<Self>, socket: UdpSocket) {
        let socket = Rc::new(socket);
        let mut packet = [0; 4096];
        loop {
            // An error here is about an earlier answer that nobody took.
            let Ok((length, client)) = socket.recv_from(&mut packet).await else { continue };
            let question = packet[..length].to_vec();
            let (server, socket) = (Rc::clone(&self), Rc::clone(&socket));
            spawn_local(async move {
                let limit = answer::datagram_limit(&question);
                if let Some(answer) = server.answer(&question, Transport::Datagram, limit).await {
                    drop(socket.send_to(&answer, client).await);
                }
            });
        }
    }

    /// Answers streams for good.
    pub(super) async fn streams(self: Rc<Self>, listener: TcpListener) {
        loop {
            let stream = accepting::next(&listener).await;
            if self.streams.get() >= MOST_STREAMS {
                continue;
            }
            let server = Rc::clone(&self);
            spawn_local(async move {
                let _open = Counted::one_more(&server.streams);
                server.converse(stream).await;
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) {
        while let Ok(Ok(question)) = timeout(IDLE, read_framed(&mut stream)).await {
            let Some(answer) = self.answer(&question, Transport::Stream, LARGEST).await else {
                return;
            };
            let written = timeout(IDLE, write_framed(&mut stream, &answer)).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn answer(&self, question: &[u8], transport: Transport, limit: usize) -> Option<Vec<u8>> {
        self.turn.set(self.turn.get().wrapping_add(1));
        let verdict = answer::decide(self.served.borrow_mut().get(), question, self.turn.get());
        match verdict {
            Verdict::Ignore => None,
            Verdict::Reply(reply) => answer::encode(&reply, limit),
            Verdict::Forward(otherwise) => match self.forward(question, transport).await {
                Some(answer) if answer.len() <= limit => Some(answer),
                Some(_) => {
                    let mut cut = otherwise.truncate();
                    cut.metadata.response_code = hickory_proto::op::ResponseCode::NoError;
                    answer::encode(&cut, limit)
                }
                None => answer::encode(&otherwise, limit),
            },
        }
    }

    async fn forward(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        if self.forwarded.get() >= MOST_FORWARDED {
            return None;
        }
        let _waiting = Counted::one_more(&self.forwarded);
        upstream::ask(&self.resolvers(), question, transport).await
    }

    fn resolvers(&self) -> Vec<SocketAddr> {
        let served = self.served.borrow();
        let served = served.last();
        let mut known = self.resolvers.borrow_mut();
        if known.is_none() {
            *known = Fresh::open(&served.resolvers, read_resolvers).ok();
        }
        let listed = known.as_mut().map(|file| file.get().clone()).unwrap_or_default();
        listed.into_iter().filter(|one| !answer::is_self(served, one.ip())).collect()
    }
}

/// One more of something, as long as it lives.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn one_more(counter: &'a Cell<usize>) -> Self {
        counter.set(counter.get() + 1);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub(super) fn bind_udp(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = sockets::listen_on(Protocol::Udp, address.into(), Presence::ComesAndGoes)?;
    UdpSocket::from_std(socket.into())
}

pub(super) fn bind_tcp(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = sockets::listen_on(Protocol::Tcp, address.into(), Presence::ComesAndGoes)?;
    TcpListener::from_std(socket.into())
}
