//! What is answered to a question: pure, from the zone and the packet alone.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::Served;

/// Seconds that an answer may be kept. Short: an instance that is made again
/// elsewhere is found again soon.
const TTL: u32 = 5;

/// The largest answer over UDP: what crosses the internet unfragmented.
pub(super) const LARGEST_DATAGRAM: usize = 1232;

/// The largest answer to somebody who says nothing about sizes.
const SMALLEST_LIMIT: usize = 512;

/// Domain of every stack.
const OUR_DOMAIN: &str = "windlass.internal";

/// Names of the host itself.
const HOST_NAMES: [&str; 2] = ["host.windlass.internal", "host.docker.internal"];

/// What to do with a packet.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Answer this.
    Reply(Box<Message>),
    /// Ask the host's resolvers; this is the answer when they do not help.
    Forward(Box<Message>),
    /// Say nothing: it is no question.
    Ignore,
}

/// Decides about one packet. `turn` counts questions: it rotates the order of
/// several addresses.
pub(super) fn decide(served: &Served, packet: &[u8], turn: usize) -> Verdict {
    let Ok(question) = Message::from_vec(packet) else {
        return malformed(packet);
    };
    if question.metadata.message_type != MessageType::Query {
        return Verdict::Ignore;
    }
    let mut reply = reply_to(&question);
    let [query] = question.queries.as_slice() else {
        return failed(reply, ResponseCode::FormErr);
    };
    if question.metadata.op_code != OpCode::Query {
        return failed(reply, ResponseCode::NotImp);
    }
    if !matches!(query.query_class, DNSClass::IN | DNSClass::ANY) {
        return failed(reply, ResponseCode::Refused);
    }
    match find(served, query) {
        Found::Records(mut records) => {
            let places = records.len().max(1);
            records.rotate_left(turn % places);
            reply.metadata.authoritative = true;
            reply.answers = records;
            Verdict::Reply(Box::new(reply))
        }
        Found::NoSuchName => {
            reply.metadata.authoritative = true;
            failed(reply, ResponseCode::NXDomain)
        }
        Found::NotOurs if served.internal => failed(reply, ResponseCode::NXDomain),
        Found::NotOurs => {
            reply.metadata.response_code = ResponseCode::ServFail;
            Verdict::Forward(Box::new(reply))
        }
    }
}

/// The most bytes that whoever sent `packet` takes over UDP.
pub(super) fn datagram_limit(packet: &[u8]) -> usize {
    let edns = Message::from_vec(packet).ok().and_then(|question| question.edns);
    let offered = edns.map_or(SMALLEST_LIMIT, |edns| usize::from(edns.max_payload()));
    offered.clamp(SMALLEST_LIMIT, LARGEST_DATAGRAM)
}

/// As bytes; where they are more than `limit`, only the word that it was too long.
pub(super) fn encode(message: &Message, limit: usize) -> Option<Vec<u8>> {
    let whole = message.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    message.truncate().to_vec().ok()
}

enum Found {
    /// The name is ours; it may have no record of that type.
    Records(Vec<Record>),
    /// It would be ours, and there is no such name.
    NoSuchName,
    /// Somebody else's.
    NotOurs,
}

fn find(served: &Served, query: &Query) -> Found {
    let name = query.name.to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    if let Some(address) = reversed(name) {
        return reverse(served, query, address);
    }
    match addresses(served, name) {
        Some(addresses) => {
            let asked = matches!(query.query_type, RecordType::A | RecordType::ANY);
            let given = addresses.iter().filter(|_| asked);
            Found::Records(given.map(|address| record(query, RData::A(A(*address)))).collect())
        }
        None if name == served.domain => Found::Records(Vec::new()),
        None if is_under(name, OUR_DOMAIN) || is_under(name, &served.domain) => Found::NoSuchName,
        None => Found::NotOurs,
    }
}

fn addresses(served: &Served, name: &str) -> Option<Vec<Ipv4Addr>> {
    let bare = name.strip_suffix(served.domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
    let zone = &served.zone.0;
    let found = bare.and_then(|bare| zone.get(bare)).or_else(|| zone.get(name));
    found.cloned().or_else(|| HOST_NAMES.contains(&name).then(|| vec![served.gateway]))
}

fn reverse(served: &Served, query: &Query, address: Ipv4Addr) -> Found {
    if !served.subnet.contains(&address) {
        return Found::NotOurs;
    }
    let Some(name) = name_of(served, address) else { return Found::NoSuchName };
    let pointer = Name::from_ascii(format!("{name}."))
        .ok()
        .filter(|_| matches!(query.query_type, RecordType::PTR | RecordType::ANY));
    Found::Records(pointer.map(|name| record(query, RData::PTR(PTR(name)))).into_iter().collect())
}

/// The name that says most about an address: the one that the fewest share.
fn name_of(served: &Served, address: Ipv4Addr) -> Option<String> {
    if address == served.gateway {
        return Some(HOST_NAMES[0].to_owned());
    }
    let names = served.zone.0.iter().filter(|(_, addresses)| addresses.contains(&address));
    let (name, _) = names.min_by_key(|(name, addresses)| (addresses.len(), *name))?;
    Some(format!("{name}.{}", served.domain))
}

/// The address in `4.3.2.1.in-addr.arpa`.
fn reversed(name: &str) -> Option<Ipv4Addr> {
    let mut octets = name.strip_suffix(".in-addr.arpa")?.split('.').rev();
    let mut address = [0; 4];
    for octet in &mut address {
        *octet = octets.next()?.parse().ok()?;
    }
    octets.next().is_none().then(|| Ipv4Addr::from(address))
}

fn is_under(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn record(query: &Query, data: RData) -> Record {
    Record::from_rdata(query.name.clone(), TTL, data)
}

fn reply_to(question: &Message) -> Message {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&question.metadata);
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&question.queries);
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(u16::try_from(LARGEST_DATAGRAM).unwrap_or(u16::MAX));
        reply.edns = Some(edns);
    }
    reply
}

fn failed(mut reply: Message, code: ResponseCode) -> Verdict {
    reply.metadata.response_code = code;
    Verdict::Reply(Box::new(reply))
}

/// Whoever sent something with a question's head is told that it is no good.
fn malformed(packet: &[u8]) -> Verdict {
    let is_response = packet.get(2).is_none_or(|flags| flags & 0x80 != 0);
    match packet.first_chunk() {
        Some(id) if packet.len() >= 12 && !is_response => {
            let reply = Message::response(u16::from_be_bytes(*id), OpCode::Query);
            failed(reply, ResponseCode::FormErr)
        }
        _ => Verdict::Ignore,
    }
}

/// Where the one question of a packet ends; it starts after the twelve bytes
/// of the head. `None`: there is none, or it is compressed.
pub(super) fn question_end(packet: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match packet.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(*length),
            _ => return None,
        }
    }
    // The zero byte, then type and class.
    let end = at + 5;
    (end <= packet.len()).then_some(end)
}

/// Whether an address would be asked for its own answer.
pub(super) fn is_self(served: &Served, resolver: IpAddr) -> bool {
    resolver == IpAddr::V4(served.gateway)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::network::zone::Zone;

    fn served(internal: bool) -> Served {
        let ip = |last| Ipv4Addr::new(10, 77, 0, last);
        let names = [("db", vec![ip(2)]), ("web", vec![ip(3), ip(4)]), ("web-1", vec![ip(3)])];
        let names = names.into_iter().map(|(name, list)| (name.to_owned(), list));
        Served {
            version: 1,
            domain: "shop.windlass.internal".to_owned(),
            gateway: ip(1),
            subnet: "10.77.0.0/24".parse().expect("subnet"),
            internal,
            resolvers: "/etc/resolv.conf".into(),
            zone: Zone(names.collect::<BTreeMap<_, _>>()),
        }
    }

    fn packet(name: &str, kind: RecordType) -> Vec<u8> {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        let name = Name::from_ascii(format!("{name}.")).expect("name");
        question.add_query(Query::query(name, kind));
        question.to_vec().expect("bytes")
    }

    /// `code data…`, or what else was decided.
    fn said(served: &Served, name: &str, kind: RecordType) -> String {
        match decide(served, &packet(name, kind), 0) {
            Verdict::Reply(reply) => {
                let data = reply.answers.iter().map(|record| format!(" {}", record.data));
                format!("{:?}{}", reply.metadata.response_code, data.collect::<String>())
            }
            Verdict::Forward(_) => "forward".to_owned(),
            Verdict::Ignore => "ignore".to_owned(),
        }
    }

    #[test]
    fn names_of_the_zone() {
        use RecordType::{A, AAAA, ANY, MX};
        let zone = served(false);
        let table = [
            ("db", A, "NoError 10.77.0.2"),
            ("DB.Shop.Windlass.Internal", A, "NoError 10.77.0.2"),
            ("web", A, "NoError 10.77.0.3 10.77.0.4"),
            ("web", ANY, "NoError 10.77.0.3 10.77.0.4"),
            ("web", AAAA, "NoError"),
            ("db", MX, "NoError"),
            ("shop.windlass.internal", A, "NoError"),
            ("dbx.shop.windlass.internal", A, "NXDomain"),
            ("db.blog.windlass.internal", A, "NXDomain"),
            ("host.docker.internal", A, "NoError 10.77.0.1"),
            ("host.windlass.internal", A, "NoError 10.77.0.1"),
            ("notshop.windlass.internalx", A, "forward"),
            ("printer", A, "forward"),
            ("example.org", AAAA, "forward"),
        ];
        for (name, kind, expected) in table {
            assert_eq!(said(&zone, name, kind), expected, "{name} {kind}");
        }
        assert_eq!(said(&served(true), "example.org", A), "NXDomain");
    }

    #[test]
    fn addresses_have_names() {
        use RecordType::{A, PTR};
        let zone = served(false);
        let table = [
            ("3.0.77.10.in-addr.arpa", PTR, "NoError web-1.shop.windlass.internal."),
            ("4.0.77.10.in-addr.arpa", PTR, "NoError web.shop.windlass.internal."),
            ("1.0.77.10.in-addr.arpa", PTR, "NoError host.windlass.internal."),
            ("9.0.77.10.in-addr.arpa", PTR, "NXDomain"),
            ("3.0.77.10.in-addr.arpa", A, "NoError"),
            ("8.8.8.8.in-addr.arpa", PTR, "forward"),
            ("77.10.in-addr.arpa", PTR, "forward"),
        ];
        for (name, kind, expected) in table {
            assert_eq!(said(&zone, name, kind), expected, "{name} {kind}");
        }
    }

    #[test]
    fn several_addresses_take_turns() {
        let first = |turn| match decide(&served(false), &packet("web", RecordType::A), turn) {
            Verdict::Reply(reply) => reply.answers[0].data.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!([first(0), first(1), first(2)], ["10.77.0.3", "10.77.0.4", "10.77.0.3"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let mut zone = served(false);
        let many = (1..=200).map(|last| Ipv4Addr::new(10, 77, 0, last)).collect();
        zone.zone.0.insert("many".to_owned(), many);
        let question = packet("many", RecordType::A);
        let Verdict::Reply(reply) = decide(&zone, &question, 0) else { panic!("no reply") };
        assert_eq!(datagram_limit(&question), 512);
        let cut = Message::from_vec(&encode(&reply, 512).expect("bytes")).expect("message");
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = Message::from_vec(&encode(&reply, 65535).expect("bytes")).expect("message");
        assert_eq!(whole.answers.len(), 200);
    }

    #[test]
    fn a_question_ends_after_type_and_class() {
        let question = packet("db", RecordType::A);
        assert_eq!(question_end(&question), Some(question.len()));
        assert_eq!(question_end(&question[..question.len() - 1]), None);
        assert_eq!(question_end(&[]), None);
    }

    proptest! {
        #[test]
        fn no_packet_harms(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let limit = datagram_limit(&bytes);
            if let Verdict::Reply(reply) | Verdict::Forward(reply) = decide(&served(false), &bytes, 7) {
                prop_assert!(encode(&reply, limit).is_none_or(|bytes| bytes.len() <= limit));
            }
            question_end(&bytes);
        }

        #[test]
        fn no_damage_to_a_question_harms(at in 0usize..40, with: u8, cut in 0usize..60) {
            let mut bytes = packet("web.shop.windlass.internal", RecordType::A);
            let place = at % bytes.len();
            bytes[place] = with;
            bytes.truncate(bytes.len().saturating_sub(cut / 2));
            decide(&served(false), &bytes, 0);
            question_end(&bytes);
        }
    }
}
