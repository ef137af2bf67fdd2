//! Netlink: one request, one answer, without a runtime, in the network namespace
//! that the calling thread was in when the socket was opened. It carries messages
//! and knows nothing of what they are about.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

/// How often something is listed again that was changed meanwhile.
const LISTINGS: usize = 10;

/// A message of a part of the kernel.
pub(crate) trait Spoken:
    NetlinkSerializable + NetlinkDeserializable + Clone + std::fmt::Debug
{
}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone + std::fmt::Debug> Spoken for M {}

/// A conversation with the kernel about one network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// About links, addresses and routes.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_to(NETLINK_ROUTE)
    }

    /// With another part of the kernel (`NETLINK_…`).
    pub(crate) fn open_to(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes what must not be there yet.
    pub(crate) fn make(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.request(&NetlinkPayload::InnerMessage(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Changes or removes what is there.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message).map(drop)
    }

    /// What the kernel has to say to one question.
    pub(crate) fn ask<M: Spoken>(&mut self, question: M) -> io::Result<Vec<M>> {
        self.request(&NetlinkPayload::InnerMessage(question), 0)
    }

    /// All there is of a kind.
    pub(crate) fn list<M: Spoken>(&mut self, question: M) -> io::Result<Vec<M>> {
        let question = NetlinkPayload::InnerMessage(question);
        for _ in 0..LISTINGS {
            match self.request(&question, NLM_F_DUMP) {
                // It was changed while it was listed.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                listed => return listed,
            }
        }
        self.request(&question, NLM_F_DUMP)
    }

    fn request<M: Spoken>(
        &mut self,
        question: &NetlinkPayload<M>,
        flags: u16,
    ) -> io::Result<Vec<M>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        let acknowledged = if flags & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        header.flags = NLM_F_REQUEST | acknowledged | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, question.clone());
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.collect()
    }

    fn collect<M: Spoken>(&mut self) -> io::Result<Vec<M>> {
        let mut answers = Vec::new();
        let mut torn = false;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let length = message_length(rest)?;
                let answer = NetlinkMessage::<M>::deserialize(&rest[..length])
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                // Messages are padded to four bytes; the last one need not be.
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                torn |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => answers.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) if torn => {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

fn message_length(bytes: &[u8]) -> io::Result<usize> {
    let length = bytes.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize);
    length
        .filter(|length| (16..=bytes.len()).contains(length))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// A message about the link of this name.
pub(crate) fn link(name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

/// The same, and it shall be up.
pub(crate) fn link_up(name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = link(name, attributes);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}
