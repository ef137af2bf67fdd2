//! What is in the kernel's firewall tables, asked of it directly: a listing by
//! `nft` takes a process of its own. Only the comments of rules are read, for
//! they say which rules are there; what a rule does is [`super::ruleset`]'s.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::Netlink;

/// `NFNL_SUBSYS_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const SUBSYSTEM: u16 = 10 << 8;
/// `NFPROTO_INET` (`linux/netfilter.h`).
const INET: u8 = 1;
/// Family, version, and a number that asking does not use: `struct nfgenmsg`.
const HEADER: usize = 4;

// From `linux/netfilter/nf_tables.h`.
const GET_TABLE: u16 = 1;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
/// `NFTA_TABLE_NAME` and `NFTA_RULE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_RULE_USERDATA`.
const USER_DATA: u16 = 7;

/// `NFTNL_UDATA_RULE_COMMENT` (`libnftnl/udata.h`).
const COMMENT: u8 = 0;

/// The comments of the rules in an `inet` table, in the network namespace of the
/// calling thread; `None`: no such table.
pub(super) fn comments(table: &str) -> io::Result<Option<BTreeSet<String>>> {
    let mut kernel = Netlink::open_to(NETLINK_NETFILTER)?;
    match kernel.ask(Message::about(GET_TABLE, table)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let rules = kernel.list(Message::about(GET_RULE, table))?;
    Ok(Some(rules.iter().filter_map(Message::comment).collect()))
}

/// What is said about tables: a kind, and a family with attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    kind: u16,
    body: Vec<u8>,
}

impl Message {
    fn about(kind: u16, table: &str) -> Self {
        let name = DefaultNla::new(TABLE, [table.as_bytes(), &[0]].concat());
        let mut body = vec![0; HEADER + name.buffer_len()];
        body[0] = INET;
        name.emit(&mut body[HEADER..]);
        Self { kind, body }
    }

    /// The comment, if this is a rule that has one.
    fn comment(&self) -> Option<String> {
        if self.kind != NEW_RULE {
            return None;
        }
        let mut attributes = NlasIterator::new(self.body.get(HEADER..)?).flatten();
        let found = attributes.find(|attribute| attribute.kind() == USER_DATA)?;
        // A kind, a length and so many bytes, again and again.
        let mut rest = found.value();
        while let [kind, length, after @ ..] = rest {
            let (value, others) = after.split_at_checked(usize::from(*length))?;
            if *kind == COMMENT {
                let text = value.strip_suffix(&[0]).unwrap_or(value);
                return Some(String::from_utf8_lossy(text).into_owned());
            }
            rest = others;
        }
        None
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        SUBSYSTEM | self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type & 0xff, body: payload.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(user_data: &[u8]) -> Message {
        let mut body = vec![INET, 0, 0, 0];
        for attribute in [DefaultNla::new(2, b"forward\0".to_vec()), user(user_data)] {
            let at = body.len();
            body.resize(at + attribute.buffer_len(), 0);
            attribute.emit(&mut body[at..]);
        }
        Message { kind: NEW_RULE, body }
    }

    fn user(data: &[u8]) -> DefaultNla {
        DefaultNla::new(USER_DATA, data.to_vec())
    }

    #[test]
    fn a_comment_is_found_behind_other_user_data() {
        assert_eq!(rule(b"\x01\x02ab\x00\x05web:\x00").comment().as_deref(), Some("web:"));
    }

    #[test]
    fn a_rule_without_a_comment_or_with_a_torn_one_has_none() {
        assert_eq!(rule(b"\x01\x02ab").comment(), None);
        assert_eq!(rule(b"\x00\x09web").comment(), None);
        assert_eq!(rule(b"").comment(), None);
    }

    #[test]
    fn what_is_no_rule_has_no_comment() {
        let table = Message { kind: 0, ..rule(b"\x00\x04web\x00") };
        assert_eq!(table.comment(), None);
    }

    #[test]
    fn a_question_names_the_family_and_the_table() {
        let question = Message::about(GET_RULE, "ours");
        assert_eq!(question.message_type(), 0x0a07);
        assert_eq!(question.body, b"\x01\0\0\0\x09\0\x01\0ours\0\0\0\0");
    }
}
