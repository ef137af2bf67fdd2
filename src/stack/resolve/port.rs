//! Published ports of a workload.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::IpAddr;

use super::Resolver;
use super::field::{items, text};
use crate::diagnostic::Diagnostic;
use crate::stack::{Port, Protocol};
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn ports(&mut self, node: &Node) -> Vec<Port> {
        let mut ports = Vec::new();
        for item in items(node, "ports") {
            match port(item) {
                Ok(port) => ports.push(port),
                Err(diagnostic) => self.found.push(diagnostic),
            }
        }
        ports
    }
}

/// One port in its long form.
pub(super) fn port(item: &Node) -> Result<Port, Diagnostic> {
    let wrong = |title: String| Err(Diagnostic::error(title).at(item.span));
    let protocol = match text(item, "protocol").as_deref() {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(other) => {
            return wrong(format!("protocol `{other}` cannot be published: only tcp and udp"));
        }
    };
    let target = text(item, "target").unwrap_or_default();
    let Some(target) = target.parse().ok().filter(|port| *port > 0) else {
        return wrong(format!("`{target}` is not a port"));
    };
    let published = match text(item, "published").filter(|port| !port.is_empty()) {
        None => None,
        Some(range) if range.contains('-') => {
            return Err(Diagnostic::error("one port inside cannot take a range of the host's yet")
                .at(item.span)
                .help("name one port of the host, or none for any free one"));
        }
        // Docker reads 0 as "any".
        Some(port) => match port.parse::<u16>() {
            Ok(port) => Some(port).filter(|port| *port > 0),
            Err(_) => return wrong(format!("`{port}` is not a port of the host")),
        },
    };
    let host_ip = match text(item, "host_ip").filter(|ip| !ip.is_empty()) {
        None => None,
        Some(ip) => match ip.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Some(ip).filter(|ip| !ip.is_unspecified()),
            Err(_) => return wrong(format!("`{ip}` is not an address of the host")),
        },
    };
    Ok(Port { host_ip, published, target, protocol })
}
