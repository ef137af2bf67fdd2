//! network-config version 2: static addresses, interfaces told apart by MAC.
//! No interface is `optional`: that makes systemd-networkd-wait-online hang.
//! None waits for a router's advertisement: nobody sends one here, and networkd
//! takes a link for configured only after three solicitations, 12 s (RFC 4861, 10).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write;

use crate::plan::Address;

/// The document.
pub(super) fn text(addresses: &[Address], search_domain: &str) -> String {
    let mut text = String::from("version: 2\n");
    if addresses.is_empty() {
        text.push_str("ethernets: {}\n");
        return text;
    }
    text.push_str("ethernets:\n");
    for (number, address) in addresses.iter().enumerate() {
        ethernet(&mut text, number, address, search_domain);
    }
    text
}

fn ethernet(text: &mut String, number: usize, address: &Address, search_domain: &str) {
    let Address { ipv4, subnet, gateway, mac, mtu, default_route, .. } = address;
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "  eth{number}:\n    \
           match: {{ macaddress: \"{mac}\" }}\n    \
           dhcp4: false\n    \
           dhcp6: false\n    \
           accept-ra: false\n    \
           mtu: {mtu}\n    \
           addresses: [ {ipv4}/{prefix} ]\n    \
           nameservers: {{ addresses: [ {gateway} ], search: [ {search_domain} ] }}\n",
        prefix = subnet.prefix_len(),
    );
    if *default_route {
        let _ = writeln!(text, "    routes: [ {{ to: 0.0.0.0/0, via: {gateway} }} ]");
    }
}
